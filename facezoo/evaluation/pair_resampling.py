"""Resamples of the people behind all pairs of photos: weights of the bulk, and intervals of what the pairs show."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from facezoo.evaluation.intervals import LEVEL
from facezoo.evaluation.metrics import Tally, eer, tar_at_far
from facezoo.evaluation.pair_counts import PairCounts
from facezoo.evaluation.report import Interval
from facezoo.evaluation.verification import far_name
from facezoo.types import FloatArray


def draw_identities(people: int, resamples: int, seed: int) -> Iterator[FloatArray]:
    """How often each identity is drawn, (I,), with replacement."""
    generator = np.random.default_rng(seed)
    for _ in range(resamples):
        yield np.bincount(generator.integers(people, size=people), minlength=people).astype(np.float64)


Written: TypeAlias = Mapping[str, Callable[[float], float]]
"""By the name of a FAR, what becomes of a threshold where it is handed on: it may only rise."""


def pair_intervals(
    counts: PairCounts,
    tallied: Tally,
    targets: Sequence[float],
    resamples: int,
    seed: int,
    written: Written | None = None,
) -> dict[str, Interval]:
    """Intervals over identities of `tar`, `fnmr`, `threshold` and `fmr` at the targets, and of `eer`.

    An identity drawn w times gives its genuine pairs the weight w, a pair of identities the product. All weights of
    the bulk follow from the numbers of photos, so only the pairs near the thresholds are gone through. The interval
    of `threshold` and `fnmr` lets the threshold move with the resample; `fmr` is that at the threshold found.
    A target of which the end of the impostor scores holds less than twice the pairs has none.

    Args:
        written: rounds the thresholds; all three are then those of the rounded ones.
    """
    measure = resampled(counts, tallied, targets, written or {}) if resamples else None
    if measure is None:
        return {}
    method = f"bootstrap over identities, {resamples} resamples, seed {seed}, percentile"
    plain = measure(np.ones(len(counts.sizes)))
    drawn = draw_identities(len(counts.sizes), resamples, seed)
    found = deflated(measure, plain, drawn, uncut=("eer",))
    return {
        name: Interval(*ends, LEVEL, method if name == "eer" else f"{method}, deflated") for name, ends in found.items()
    }


Measure: TypeAlias = Callable[[FloatArray], Mapping[str, float | None]]


def resampled(
    counts: PairCounts, tallied: Tally, targets: Sequence[float], written: Written = MappingProxyType({})
) -> Measure | None:
    """Gives the metrics of `pair_intervals` for identities drawn so often, (I,); None if nothing can be measured."""
    impostor, genuine = counts.impostor, counts.genuine
    total = tallied.impostor_total
    share = np.cumsum(impostor.weights) / total
    reach = 1.0 if impostor.complete else float(share[-1]) / 2 if len(share) else 0.0
    points = {far_name(f): tar_at_far(tallied, f) for f in targets if f <= reach and f * total >= 1}
    equal = eer(tallied)
    rates = [point.far for point in points.values()]
    if equal is not None and equal <= reach and genuine.complete:
        rates.append(equal)
    else:
        equal = None
    if not rates:
        return None
    depth = min(len(share), int(np.searchsorted(share, 2 * max(rates), side="right")) + 1000)
    scores, weights = impostor.scores[:depth], impostor.weights[:depth]
    left, right = counts.identity[impostor.left[:depth]], counts.identity[impostor.right[:depth]]
    tie = np.searchsorted(-scores, -scores)  # first of the equal scores
    mine = counts.identity[genuine.left]
    # So many genuine pairs lie at each impostor score or below it; they are held from the lowest up.
    rejected = np.searchsorted(-genuine.scores, scores, side="right")
    write = {key: written.get(key, float) for key in points}
    accepted = {
        key: int(np.searchsorted(-scores, -write[key](point.threshold), side="right")) for key, point in points.items()
    }
    lost = counts.failed_genuine

    def measure(drawn: FloatArray) -> Mapping[str, float | None]:
        genuine_total, impostor_total = counts.totals(drawn)
        if not genuine_total or not impostor_total:
            return {}
        seen = np.cumsum(weights * drawn[left] * drawn[right]) / impostor_total
        missed = np.append(0, np.cumsum(genuine.weights * drawn[mine])) + float(lost @ drawn)
        found: dict[str, float | None] = {}
        for key, point in points.items():
            place = int(np.searchsorted(seen, point.far, side="right"))
            if place < depth:
                found[f"threshold@far={key}"] = threshold = write[key](float(np.nextafter(scores[place], np.inf)))
                below = int(np.searchsorted(-genuine.scores, threshold))
                if genuine.complete or below < len(genuine.scores):
                    found[f"fnmr@far={key}"] = float(missed[below] / genuine_total)
                    found[f"tar@far={key}"] = 1 - float(missed[below] / genuine_total)
            found[f"fmr@far={key}"] = float(seen[accepted[key] - 1]) if accepted[key] else 0.0
        if equal is not None:
            fnmr = missed[rejected] / genuine_total  # just above each score
            fmr = np.append(0, seen)[tie]
            cross = int(np.argmax(fmr >= fnmr))
            if cross:
                gap, last = fmr[cross] - fnmr[cross], fnmr[cross - 1] - fmr[cross - 1]
                step = last / (gap + last) if gap + last > 0 else 0.0
                found["eer"] = float(fmr[cross - 1] + step * (fmr[cross] - fmr[cross - 1]))
        return found

    return measure


def deflated(
    measure: Measure,
    plain: Mapping[str, float | None],
    draws: Iterator[FloatArray],
    uncut: Collection[str] = (),
) -> dict[str, tuple[float, float]]:
    """Percentile intervals of what is taken from pairs of identities, without the noise that the product counts again.

    Let a pair's part be a_i + a_j + e_ij. The weights w_i w_j show the variance of a once, but that of e three times
    (https://doi.org/10.1214/07-AOAS122). Resamples of half the deviation, (1 + w) / 2, show e at 9/4 when they are
    scaled up: the difference tells the share of e, and the reach of the interval is cut by what is too much.

    The e must be independent. Of people who are alike in groups they are not, and the interval is somewhat too narrow.

    Args:
        measure: metrics for a weight of each identity, (I,).
        plain: those for weights of 1.
        draws: the resamples.
        uncut: metrics of which nothing is cut: the EER rests on both kinds of pairs, and covers too little as it is.
    """
    drawn: dict[str, list[tuple[float, float]]] = {}
    number = 0
    for weights in draws:
        number += 1
        whole, half = measure(weights), measure((1 + weights) / 2)
        for name, value in whole.items():
            other = half.get(name)
            if value is not None and other is not None:
                drawn.setdefault(name, []).append((value, other))
    found = {}
    for name, pairs in drawn.items():
        start = plain.get(name)
        if start is None or 2 * len(pairs) < number:
            continue
        values, halves = np.array(pairs).T
        spread, scaled = float(values.var()), 4 * float(halves.var())
        noise = max(0.0, (spread - scaled) * 4 / 3)  # once what e gives, of which 3 are in one and 9/4 in the other
        share = math.sqrt(max(1 / 3, 1 - 2 * noise / spread)) if spread > 0 and name not in uncut else 1.0
        low, high = np.percentile(values, [50 * (1 - LEVEL), 50 * (1 + LEVEL)])
        found[name] = (start + share * (float(low) - start), start + share * (float(high) - start))
    return found


def group_trials(counts: PairCounts, groups: NDArray[np.integer], number: int) -> tuple[FloatArray, FloatArray]:
    """How many impostor and genuine pairs within each group (G,) share no person, by the groups of the photos (N,)."""
    photos = _by_group(counts, groups, number)
    return (photos > 0).sum(axis=0) // 2 * 1.0, (photos > 1).sum(axis=0) * 1.0


def group_counts(
    counts: PairCounts, groups: NDArray[np.integer], number: int, drawn: FloatArray | None
) -> tuple[FloatArray, FloatArray]:
    """Weight of all impostor (G, G) and genuine pairs (G,) by the groups of their photos (N,), -1 in none.

    Args:
        drawn: how often each identity is drawn, (I,).
    """
    photos = _by_group(counts, groups, number).astype(np.float64)
    w = np.ones(len(photos)) if drawn is None else drawn
    same = photos * (photos - 1) / 2
    if counts.equal == "identities":
        n = counts.sizes.astype(np.float64)[:, None]
        photos, same = photos / n, same / np.maximum(n * (n - 1) / 2, 1)
    all_of = w @ photos
    impostor = np.outer(all_of, all_of) - (photos * (w**2)[:, None]).T @ photos
    return counts.times * (impostor - np.diag(np.diagonal(impostor)) / 2), counts.times * (w @ same)


def _by_group(counts: PairCounts, groups: NDArray[np.integer], number: int) -> NDArray[np.intp]:
    """Photos of each identity in each group, (I, G); copies are in the groups of their photos."""
    own, people = groups[: counts.photos], len(counts.sizes)
    known = np.flatnonzero(own >= 0)
    return np.bincount(counts.identity[known] * number + own[known], minlength=people * number).reshape(people, number)
