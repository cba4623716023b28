"""Pairs with their scores, as what is told by group or by quality takes them; and a ROC of a few hundred points."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from facezoo.evaluation.fairness import between
from facezoo.evaluation.intervals import independent_trials
from facezoo.evaluation.metrics import Tally
from facezoo.evaluation.photos import Photo
from facezoo.evaluation.report import LISTED_AGAIN, LISTED_AS_BOTH, WITH_ITSELF, Mistake, Report
from facezoo.evaluation.template_pairs import listed_again
from facezoo.types import FloatArray

POINTS = 400


def odd_pairs(
    left: NDArray[np.intp], right: NDArray[np.intp], same: NDArray[np.bool_], photos: int
) -> dict[str, str | int]:
    """Words of a protocol on what a list of pairs (P,) of so many photos should not have."""
    words: dict[str, str | int] = {}
    if own := int(np.count_nonzero(left == right)):
        words[WITH_ITSELF] = f"{own:,}: they count as any other, and no model fails them"
    if again := listed_again(left, right, photos):
        words[LISTED_AGAIN] = again_words(again)
        if both := again - sum(listed_again(left[kind], right[kind], photos) for kind in (same, ~same)):
            words[LISTED_AS_BOTH] = f"{both:,} as genuine and as impostor: one of the two is wrong"
    return words


def again_words(count: int) -> str:
    """Of a protocol, for the key `LISTED_AGAIN`."""
    return f"{count:,}: a pair counts as often as it is listed, in either order"


@dataclass(frozen=True, eq=False)
class ScoredPairs:
    """The pairs of a benchmark with their scores, as far as they are held singly.

    Attributes:
        left, right: photos, (P,).
        same: whether genuine, (P,).
        scores: (P,), -inf without a comparison.
        weigh: weight of chosen pairs (K,) for a resample; None is the plain one.
        totals: of all pairs, held or not, by the groups of their photos (N,), -1 in none: impostor (G, G) and genuine
            (G,) ones.
        trials: how many of all pairs, held or not, within each group are independent: impostor and genuine ones, (G,)
            each.
        shared: what independent pairs do not share, person or photo.
        draw: resamples, as `weigh` and `totals` take them.
        resamples: how many; 0 leaves intervals out.
        method: how they are drawn, in words.
        floor, ceiling: every impostor score from here up is held, every genuine one up to here.
    """

    left: NDArray[np.integer]
    right: NDArray[np.integer]
    same: NDArray[np.bool_]
    scores: FloatArray
    weigh: Callable[[FloatArray | None, NDArray[np.integer]], FloatArray]
    totals: Callable[[NDArray[np.integer], int, FloatArray | None], tuple[FloatArray, FloatArray]]
    trials: Callable[[NDArray[np.integer], int], tuple[FloatArray, FloatArray]]
    shared: str
    draw: Callable[[], Iterator[FloatArray]]
    resamples: int
    method: str
    floor: float = -np.inf
    ceiling: float = np.inf


Part: TypeAlias = Callable[[Report, ScoredPairs], Report]
"""Adds to a report what a column tells."""


def listed_pairs(
    left: NDArray[np.intp],
    right: NDArray[np.intp],
    same: NDArray[np.bool_],
    scores: FloatArray,
    owner: NDArray[np.intp] | None,
    shared: str,
    draw: Callable[[], Iterator[FloatArray]],
    resamples: int,
    method: str,
) -> ScoredPairs:
    """`ScoredPairs` of a list that is held as a whole; a resample is a weight for each pair, (P,).

    Args:
        owner: of each photo (N,), what independent pairs do not share; None if that is the photo itself.
        shared: what that is, person or photo.
    """

    def weigh(drawn: FloatArray | None, chosen: NDArray[np.integer]) -> FloatArray:
        return np.ones(len(chosen)) if drawn is None else drawn[chosen]

    def totals(groups: NDArray[np.integer], number: int, drawn: FloatArray | None) -> tuple[FloatArray, FloatArray]:
        weights = np.ones(len(same)) if drawn is None else drawn
        impostor = between(groups[left], groups[right], number, weights * ~same)
        return impostor, np.diagonal(between(groups[left], groups[right], number, weights * same))

    def trials(groups: NDArray[np.integer], number: int) -> tuple[FloatArray, FloatArray]:
        inside = np.where(groups[left] == groups[right], groups[left], -1)
        chosen = [[np.flatnonzero((inside == g) & (same == kind)) for g in range(number)] for kind in (False, True)]
        counts = [[independent_trials(left[some], right[some], owner) for some in kind] for kind in chosen]
        return np.array(counts[0], np.float64), np.array(counts[1], np.float64)

    return ScoredPairs(left, right, same, scores, weigh, totals, trials, shared, draw, resamples, method)


def pair_mistakes(
    photos: Sequence[Photo],
    left: NDArray[np.intp],
    right: NDArray[np.intp],
    same: NDArray[np.bool_],
    scores: FloatArray,
    threshold: float,
    most: int,
) -> tuple[Mistake, ...]:
    """The worst pairs of either kind, worst first, false matches before false non-matches; `most` of each."""
    if not len(photos):
        return ()
    order = np.argsort(scores, kind="stable")
    accepted, genuine = scores[order] >= threshold, same[order]
    false_matches = order[accepted & ~genuine][::-1][:most]
    false_non_matches = order[~accepted & genuine][:most]
    return tuple(
        Mistake(
            photos[left[k]].name,
            photos[right[k]].name,
            bool(same[k]),
            float(scores[k]) if np.isfinite(scores[k]) else None,
        )
        for k in np.concatenate([false_matches, false_non_matches])
    )


def thinned_roc(tallied: Tally, floor: float = -np.inf, ceiling: float = np.inf) -> dict[str, list[float]]:
    """The ROC at some `POINTS` of its own points, evenly over the logarithm of FMR, over FNMR and over the scores.

    Args:
        floor, ceiling: thresholds up to the one are left out, and those above the other.
    """
    fmr, fnmr = tallied.fmr, tallied.fnmr
    cuts = np.arange(len(fmr))
    last = len(cuts) if ceiling == np.inf else int(np.searchsorted(tallied.scores, ceiling, side="right"))
    cuts = cuts[int(np.searchsorted(tallied.scores, floor, side="right")) : last]
    if len(cuts) > POINTS:
        third = POINTS // 3
        positive = fmr[cuts][fmr[cuts] > 0]
        wanted = [np.linspace(0, len(cuts) - 1, third).astype(np.intp)]
        if len(positive):
            levels = np.geomspace(positive[-1], positive[0], third)
            wanted.append(len(cuts) - np.searchsorted(fmr[cuts][::-1], levels, side="right"))
        wanted.append(np.searchsorted(fnmr[cuts], np.linspace(0, 1, third)))
        cuts = cuts[np.unique(np.clip(np.concatenate(wanted), 0, len(cuts) - 1))]
    cuts = cuts[::-1]
    threshold = np.append(tallied.scores, np.nextafter(tallied.scores[-1], np.inf))
    return {"threshold": threshold[cuts].tolist(), "fmr": fmr[cuts].tolist(), "fnmr": fnmr[cuts].tolist()}
