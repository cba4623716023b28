"""Millions of template pairs: their scores by blocked products, and error rates from one sort."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from facezoo.data.pairs import joined
from facezoo.evaluation.metrics import Tally
from facezoo.evaluation.score_curves import BINS
from facezoo.types import FloatArray

LEFTS = 256
"""Templates on the left in one product; with 20,000 on the right 20 MB of scores."""

SPARSE = 40
"""A product of all left with all right templates is faster than gathering pairs, unless it has more scores than so
many times the pairs."""

CROSSED = 8
"""Pairs that are so few of all left with all right templates are looked at again, each the smaller row first."""

GATHER = 1 << 14
"""Pairs gathered at a time."""


@dataclass(frozen=True, eq=False)
class TemplatePairs:
    """Pairs of templates with their scores.

    Attributes:
        scores: float32, -inf where one of the two has no vector, (P,).
        left, right: rows of the templates, (P,).
        same: whether a pair is genuine, (P,).
        identity: of each template, (T,), 0 .. S-1: those that genuine pairs connect are one.
    """

    scores: FloatArray
    left: NDArray[np.integer]
    right: NDArray[np.integer]
    same: NDArray[np.bool_]
    identity: NDArray[np.intp]

    @cached_property
    def genuine(self) -> FloatArray:
        """Their finite scores, ascending."""
        return _ascending(self.scores[self.same])

    @cached_property
    def impostor(self) -> FloatArray:
        """Their finite scores, ascending."""
        return _ascending(self.scores[~self.same])

    @cached_property
    def totals(self) -> tuple[int, int]:
        """Genuine and impostor pairs, those without a comparison included."""
        genuine = int(self.same.sum())
        return genuine, len(self.same) - genuine

    def tally(self, fars: Sequence[float]) -> Tally:
        return border_tally(self.genuine, self.impostor, self.totals, fars)


def score_templates(
    vectors: FloatArray,
    gone: NDArray[np.bool_],
    left: NDArray[np.integer],
    right: NDArray[np.integer],
    same: NDArray[np.bool_],
    shows: NDArray[np.intp] | None = None,
) -> TemplatePairs:
    """Compares the unit vectors (T, D) of pairs; those of templates without one, `gone` (T,), are never accepted.

    Args:
        shows: of each template (T,) the first that shows the same, where some are copies of others.
    """
    scores = pair_cosines(vectors, left, right)
    if gone.any():
        scores[gone[left] | gone[right]] = -np.inf
    if shows is None:
        return TemplatePairs(scores, left, right, same, joined(left[same], right[same], len(vectors)))
    identity = joined(shows[left[same]], shows[right[same]], len(vectors))[shows]
    return TemplatePairs(scores, left, right, same, identity)


def _ascending(scores: FloatArray) -> FloatArray:
    ordered = np.sort(scores)
    return ordered[np.searchsorted(ordered, -np.inf, side="right") :]


def pair_cosines(vectors: FloatArray, left: NDArray[np.integer], right: NDArray[np.integer]) -> FloatArray:
    """Scores (P,) float32 of pairs of unit vectors (T, D), given by their rows."""
    vectors = np.asarray(vectors, np.float32)
    lefts, rights = _used(left, len(vectors)), _used(right, len(vectors))
    area = len(lefts) * len(rights)
    if area > CROSSED * len(left):
        # Of pairs of any two templates half of the products are those of the other half.
        ordered = np.minimum(left, right), np.maximum(left, right)
        lower, upper = (_used(side, len(vectors)) for side in ordered)
        triangle = len(lower) * len(upper) - int(np.searchsorted(upper, lower).sum())
        if triangle < area:
            area, (left, right), lefts, rights = triangle, ordered, lower, upper
    scores = np.empty(len(left), np.float32)
    if area > SPARSE * len(left):
        for start in range(0, len(left), GATHER):
            part = slice(start, start + GATHER)
            np.einsum("pd,pd->p", vectors[left[part]], vectors[right[part]], out=scores[part])
        return scores
    row, column = np.empty(len(vectors), np.intp), np.empty(len(vectors), np.int32)
    row[lefts], column[rights] = np.arange(len(lefts)), np.arange(len(rights))
    others = np.ascontiguousarray(vectors[rights].T)
    # Small numbers are sorted by radix, eight times as fast.
    key = left.astype(np.uint16) if len(vectors) <= 1 << 16 else left
    order = np.argsort(key, kind="stable").astype(np.int32 if len(left) < 1 << 31 else np.int64)
    ends = np.cumsum(np.bincount(left, minlength=len(vectors)))[lefts]
    first = 0
    for start in range(0, len(lefts), LEFTS):
        some = lefts[start : start + LEFTS]
        pairs = order[first : ends[start + len(some) - 1]]
        first += len(pairs)
        # The rights are on the right of the lefts where pairs were ordered: what lies before is no pair.
        before = int(column[right[pairs]].min(initial=len(rights))) if area < len(lefts) * len(rights) else 0
        products = vectors[some] @ others[:, before:]
        scores[pairs] = products[row[left[pairs]] - start, column[right[pairs]] - before]
    return scores


def listed_again(left: NDArray[np.integer], right: NDArray[np.integer], templates: int) -> int:
    """How many pairs of a list (P,) name two templates that one before has named, in either order."""
    # Small numbers are sorted ten times as fast.
    key = np.empty(len(left), np.int32 if templates**2 < 1 << 31 else np.int64)
    for start in range(0, len(left), GATHER):
        first, second = (side[start : start + GATHER].astype(np.int64) for side in (left, right))
        key[start : start + GATHER] = np.minimum(first, second) * templates + np.maximum(first, second)
    key.sort()
    return int(np.count_nonzero(key[1:] == key[:-1]))


def _used(rows: NDArray[np.integer], size: int) -> NDArray[np.intp]:
    return np.flatnonzero(np.bincount(rows, minlength=size))


def border_tally(
    genuine: FloatArray,
    impostor: FloatArray,
    totals: tuple[int, int],
    fars: Sequence[float],
) -> Tally:
    """`Tally` with the entries that decide: exact TAR at each FAR, AUC and ROC corners in a thousandth of the memory.

    Between two neighbouring genuine scores it makes no difference to the TAR where impostors are parted: they become
    one entry. Those at the border of a FAR stay single, so that its threshold is the exact one too.

    Args:
        genuine, impostor: finite scores, ascending, (G,) and (I,).
        totals: genuine and impostor pairs, those without a comparison included.
        fars: targets whose borders stay single.
    """
    borders = [genuine]
    for far in fars:
        allowed = {math.floor(far * totals[1]), round(far * totals[1])}
        ranks = {len(impostor) - 1 - count + shift for count in allowed for shift in (0, 1)}
        borders.append(impostor[[rank for rank in sorted(ranks) if 0 <= rank < len(impostor)]])
    edges = np.unique(np.concatenate(borders))
    between = _between(impostor, edges), _between(genuine, edges)
    places = np.arange(len(edges) + 1)
    highest = np.maximum(*(_highest(kind, edges) for kind in (impostor, genuine)))
    scores = np.empty(2 * len(edges) + 1)
    counts = np.zeros((2, 2 * len(edges) + 1))
    scores[2 * places], scores[1::2] = highest, edges
    for row, (gaps, hits) in enumerate(between):
        counts[row, ::2], counts[row, 1::2] = gaps, hits
    kept = counts.any(axis=0)
    return Tally(scores[kept], counts[1, kept], counts[0, kept], float(totals[0]), float(totals[1]))


def _between(ordered: FloatArray, edges: FloatArray) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """How many lie below, between and above the edges (E + 1,), and on each (E,)."""
    left, right = np.searchsorted(ordered, edges), np.searchsorted(ordered, edges, side="right")
    return np.append(left, len(ordered)) - np.append(0, right), right - left


def _highest(ordered: FloatArray, edges: FloatArray) -> FloatArray:
    """The highest score in each gap, (E + 1,); whatever where there is none, as it has no weight."""
    if not len(ordered):
        return np.full(len(edges) + 1, -np.inf)
    last = np.append(np.searchsorted(ordered, edges), len(ordered)) - 1
    found = ordered[np.maximum(last, 0)].astype(np.float64)
    inside = (last >= 0) & (found > np.append(-np.inf, edges))
    return np.where(inside, found, -np.inf)


def nearest_points(
    genuine: FloatArray, impostor: FloatArray, totals: tuple[int, int], fars: Sequence[float]
) -> list[tuple[float, float]]:
    """TPR and FPR of the ROC point whose FPR is nearest to each target, as FaceX-Zoo, insightface and TFace take it.

    It may lie above the target. Of equally near points the one with the larger TPR is taken; points on a straight
    line between their neighbours do not count, as in scikit-learn.

    Args:
        genuine, impostor: finite scores, ascending.
        totals: genuine and impostor pairs, those without a comparison included.
        fars: targets.
    """
    thresholds = np.unique(np.concatenate([genuine, impostor]))[::-1]
    false = len(impostor) - np.searchsorted(impostor, thresholds)
    true = len(genuine) - np.searchsorted(genuine, thresholds)
    bend = np.ones(len(thresholds), bool)
    bend[1:-1] = (np.diff(false, 2) != 0) | (np.diff(true, 2) != 0)
    fpr = np.append(0, false[bend])[::-1] / totals[1]
    tpr = np.append(0, true[bend])[::-1] / totals[0]
    nearest = [int(np.argmin(np.abs(fpr - far))) for far in fars]
    return [(float(tpr[k]), float(fpr[k])) for k in nearest]


def sorted_histogram(genuine: FloatArray, impostor: FloatArray) -> dict[str, list[float]]:
    """Share of the sorted genuine and impostor scores in each of 100 bins over their range."""
    edges = np.linspace(min(genuine[0], impostor[0]), max(genuine[-1], impostor[-1]), BINS + 1)
    inner = edges[1:-1]
    shares = {
        kind: np.diff(np.searchsorted(scores, inner), prepend=0, append=len(scores)) / len(scores)
        for kind, scores in (("genuine", genuine), ("impostor", impostor))
    }
    return {"edges": edges.tolist(), **{kind: share.tolist() for kind, share in shares.items()}}
