"""False match rates that no photo has shown: the tail of the impostor scores, extrapolated. Never a measurement.

The scores above a high one follow a generalised Pareto distribution (peaks over threshold), as ISO/IEC 5152 uses it;
https://doi.org/10.1214/aos/1176343003.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from facezoo.evaluation.intervals import LEVEL
from facezoo.evaluation.pair_counts import PairCounts
from facezoo.evaluation.pair_resampling import draw_identities
from facezoo.evaluation.report import Interval
from facezoo.evaluation.verification import far_name
from facezoo.types import FloatArray, InputError

PEAKS = 500
"""Highest impostor scores that are fitted: few enough to be the tail, enough to show its shape."""

FEWEST = 50
STEPS = 40


@dataclass(frozen=True)
class Pareto:
    """The tail of a distribution above `start`.

    Attributes:
        start: score above which the tail is described.
        rate: share of all impostor pairs above it.
        shape: xi; below 0 the tail ends, at start - scale / shape.
        scale: sigma.
    """

    start: float
    rate: float
    shape: float
    scale: float

    def fmr(self, threshold: float) -> float:
        """The FMR at a threshold above `start`, extrapolated."""
        if threshold < self.start:
            raise InputError(f"tail: {threshold} lies below {self.start:.4f}, where the FMR is measured")
        above = (threshold - self.start) / self.scale
        if abs(self.shape) < 1e-9:
            return self.rate * math.exp(-above)
        return self.rate * max(0.0, 1 + self.shape * above) ** (-1 / self.shape)

    def threshold(self, fmr: float) -> float:
        """The threshold for an FMR below `rate`, extrapolated."""
        if not 0 < fmr <= self.rate:
            raise InputError(f"tail: FMR {fmr:g} is not below {self.rate:.1e}, where the tail begins")
        if abs(self.shape) < 1e-9:
            return self.start + self.scale * math.log(self.rate / fmr)
        return self.start + self.scale / self.shape * ((self.rate / fmr) ** self.shape - 1)


def fit_pareto(excesses: ArrayLike, weights: ArrayLike | None = None) -> tuple[float, float]:
    """Shape and scale of a generalised Pareto distribution by maximum likelihood, the shape in -1/2 .. 1.

    The likelihood is followed along shape / scale, for which the best shape is known (Grimshaw's reduction,
    https://doi.org/10.1080/00401706.1993.10485040). Below a shape of -1/2 it has no regular maximum.

    Args:
        excesses: scores above the start of the tail, (n,), none below 0.
        weights: of each, (n,).
    """
    values = np.asarray(excesses, np.float64)
    weight = np.ones(len(values)) if weights is None else np.asarray(weights, np.float64)
    total = weight.sum()
    if len(values) < 2 or (values < 0).any() or total <= 0 or values.max() <= 0:
        raise InputError("tail: two scores or more above its start are needed")
    mean = float(weight @ values / total)

    def shape_at(ratio: float) -> float:
        return float(weight @ np.log1p(ratio * values) / total)

    def cost(ratio: float) -> float:
        """The negative log-likelihood of an excess at shape / scale = ratio."""
        if abs(ratio) * mean < 1e-8:
            return math.log(mean) + 1
        shape = shape_at(ratio)
        if not -0.5 <= shape <= 1:
            return math.inf
        return math.log(shape / ratio) + 1 + shape

    lowest = -(1 - 1e-6) / float(values.max())
    grid = np.concatenate([np.linspace(lowest, 0, 60), np.geomspace(1e-3, 100, 60) / mean])
    costs = [cost(ratio) for ratio in grid]
    best = int(np.argmin(costs))
    ratio = _lowest(cost, float(grid[max(0, best - 1)]), float(grid[min(len(grid) - 1, best + 1)]))
    if cost(ratio) > costs[best]:
        ratio = float(grid[best])
    if abs(ratio) * mean < 1e-8:
        return 0.0, mean
    shape = shape_at(ratio)
    return shape, shape / ratio


def _lowest(cost: Callable[[float], float], low: float, high: float) -> float:
    """Where a function with one minimum, and infinite beside what is possible, has it: golden section."""
    golden = (math.sqrt(5) - 1) / 2
    first, second = high - golden * (high - low), low + golden * (high - low)
    costs = [cost(first), cost(second)]
    for _ in range(STEPS):
        if costs[0] <= costs[1]:
            high, second, costs[1] = second, first, costs[0]
            first = high - golden * (high - low)
            costs[0] = cost(first)
        else:
            low, first, costs[0] = first, second, costs[1]
            second = low + golden * (high - low)
            costs[1] = cost(second)
    return (low + high) / 2


@dataclass(frozen=True)
class Extrapolation:
    """A threshold for an FMR below what the pairs can show, from the shape of their tail.

    Attributes:
        target: the FMR.
        threshold: extrapolated; never above 1, as a cosine.
        interval: of the threshold, by drawing identities and the beginning of the tail; None without resamples.
        tail: the fit.
        peaks: scores it rests on.
        distance: largest difference between the fitted and the observed distribution of those (Kolmogorov-Smirnov).
    """

    target: float
    threshold: float
    interval: Interval | None
    tail: Pareto
    peaks: int
    distance: float

    def sentence(self) -> str:
        reach = f" [{self.interval.low:.4f}, {self.interval.high:.4f}]" if self.interval else ""
        return (
            f"extrapolated, not measured: FMR {far_name(self.target)} at a cosine of {self.threshold:.4f}{reach}, by a "
            f"generalised Pareto tail of shape {self.tail.shape:.3f} fitted to the {self.peaks} highest impostor "
            f"scores (distance of the fit {self.distance:.3f})"
        )


def extrapolate(
    counts: PairCounts, target: float, peaks: int = PEAKS, resamples: int = 200, seed: int = 0
) -> Extrapolation:
    """The threshold for an FMR target that is too small to be measured.

    Raises:
        InputError: fewer than 50 impostor scores, or a target above the tail.
    """
    end = counts.impostor
    number = min(peaks, len(end.scores) - 1)
    if number < FEWEST:
        raise InputError(f"tail: {max(0, number)} impostor scores above a start, {FEWEST} or more are needed for a fit")
    plain = _tail(counts, None, number)
    if plain is None:
        raise InputError("tail: the weights leave too few impostor scores for a fit")
    threshold = min(1.0, plain.threshold(target))
    interval = _interval(counts, target, number, resamples, seed) if resamples else None
    if interval is not None:  # a start of its own for each resample may leave the threshold outside
        interval = replace(interval, low=min(interval.low, threshold), high=max(interval.high, threshold))
    share = np.append(0, np.cumsum(end.weights[:number]))
    fitted = np.array([plain.fmr(score) / plain.rate for score in end.scores[:number]])
    steps = np.stack([share[:-1], share[1:]]) / share[-1]
    return Extrapolation(target, threshold, interval, plain, number, float(np.abs(steps - fitted).max()))


def _tail(counts: PairCounts, drawn: FloatArray | None, number: int) -> Pareto | None:
    """The tail of so many highest impostor scores, of a resample of the identities; None if that leaves too few."""
    end = counts.impostor
    start, weight = float(end.scores[number]), end.weights[:number]
    if drawn is not None:
        left, right = counts.identity[end.left[:number]], counts.identity[end.right[:number]]
        weight = weight * drawn[left] * drawn[right]
    total = counts.totals(drawn)[1]
    if not total or np.count_nonzero(weight) < FEWEST // 2:
        return None
    shape, scale = fit_pareto(end.scores[:number] - start, weight)
    return Pareto(start, float(weight.sum()) / total, shape, scale)


def _interval(counts: PairCounts, target: float, number: int, resamples: int, seed: int) -> Interval | None:
    """By drawing identities, and with them how many scores count as the tail: nobody knows where it begins.

    The weights are those that are drawn, which show the noise of single pairs three times: it makes up for what a
    fitted curve cannot know of scores beyond all it has seen.
    """
    tails = [count for count in (number, number // 2, number // 4) if count >= FEWEST]
    chosen = np.random.default_rng((seed, 1)).integers(len(tails), size=resamples)
    found = []
    for drawn, choice in zip(draw_identities(len(counts.sizes), resamples, seed), chosen, strict=True):
        tail = _tail(counts, drawn, tails[choice])
        if tail is not None and target <= tail.rate:
            found.append(min(1.0, tail.threshold(target)))
    if 2 * len(found) < resamples:
        return None
    method = f"bootstrap over identities and the beginning of the tail, {resamples} resamples, seed {seed}, percentile"
    low, high = np.percentile(found, [50 * (1 - LEVEL), 50 * (1 + LEVEL)])
    return Interval(float(low), float(high), LEVEL, method)
