"""False match rates that no photo has shown: the tail of the impostor scores, extrapolated. Never a measurement.

The scores above a high one follow a generalised Pareto distribution (peaks over threshold), as ISO/IEC 5152 uses it;
https://doi.org/10.1214/aos/1176343003.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from facezoo.evaluation.intervals import LEVEL
from facezoo.evaluation.pair_counts import PairCounts
from facezoo.evaluation.pair_resampling import deflated, draw_identities
from facezoo.evaluation.report import Interval
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
        interval: of the threshold, by drawing identities; None without resamples.
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
            f"extrapolated, not measured: FMR {self.target:g} at a cosine of {self.threshold:.4f}{reach}, by a "
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
    start = float(end.scores[number])
    left, right = counts.identity[end.left[:number]], counts.identity[end.right[:number]]
    excesses, weights = end.scores[:number] - start, end.weights[:number]

    def tail(drawn: FloatArray | None) -> Pareto | None:
        weight = weights if drawn is None else weights * drawn[left] * drawn[right]
        total = counts.totals(drawn)[1]
        if not total or np.count_nonzero(weight) < FEWEST // 2:
            return None
        shape, scale = fit_pareto(excesses, weight)
        return Pareto(start, float(weight.sum()) / total, shape, scale)

    plain = tail(None)
    if plain is None:
        raise InputError("tail: the weights leave too few impostor scores for a fit")

    def measure(drawn: FloatArray) -> dict[str, float | None]:
        found = tail(drawn)
        return {"threshold": min(1.0, found.threshold(target)) if found is not None and target <= found.rate else None}

    interval = None
    if resamples:
        drawn = draw_identities(len(counts.sizes), resamples, seed)
        ranges = deflated(measure, measure(np.ones(len(counts.sizes))), drawn)
        if "threshold" in ranges:
            method = f"bootstrap over identities, {resamples} resamples, seed {seed}, percentile, deflated"
            interval = Interval(*ranges["threshold"], LEVEL, method)
    share = np.cumsum(weights) / weights.sum()
    fitted = np.array([plain.fmr(score) / plain.rate for score in end.scores[:number]])
    distance = float(np.abs(share - fitted).max())
    return Extrapolation(target, min(1.0, plain.threshold(target)), interval, plain, number, distance)
