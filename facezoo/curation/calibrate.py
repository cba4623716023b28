"""Thresholds that follow from the data: scores of a mixture, and of one of its two components alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facezoo.types import FloatArray, InputError

RECALL = 0.99
"""A threshold does not go on for the last hundredth of the rare kind: what it finds there is nearly all of the rest."""


ANCHORS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
"""Quantiles of the rare kind at which its share is estimated."""


@dataclass(frozen=True)
class Threshold:
    """Where a rare kind is told from the rest, and what is to be expected of it.

    Attributes:
        value: the score; given, or from the data.
        share: of the mixture that is of the rare kind, estimated; None where the threshold was given.
        precision: of what is found, expected.
        recall: of the rare kind, expected.
    """

    value: float
    share: float | None = None
    precision: float | None = None
    recall: float | None = None


def rare_below(mixture: FloatArray, rare: FloatArray, precision: float) -> Threshold:
    """The highest threshold at which so large a part of what lies at or below it is of the rare kind.

    With F and H the distribution functions of mixture and rare kind, F(t) / H(t) is about the share of the rare kind
    where hardly anything else lies below t. The share is the median over several t, low ones that stand on few scores
    and high ones that others reach; one score more is counted, so that a kind of which there are few is not taken for
    none. At t the precision then is share H(t) / F(t) and the recall H(t). Two-groups model, Efron 2008,
    https://arxiv.org/abs/0808.0603. Thresholds lie in the middle between two scores.

    Args:
        mixture: scores (N,).
        rare: scores (M,) of the rare kind alone; it lies low.
        precision: wanted, above 0 and at most 1.

    Raises:
        InputError: the precision is no such number, or there are no scores.
    """
    if not 0 < precision <= 1:
        raise InputError(f"precision is {precision}, it must be above 0 and at most 1")
    if not len(mixture) or not len(rare):
        raise InputError(
            "too few identities with several images to find thresholds in the data: "
            "give outlier_cosine and merge_cosine"
        )
    mixture, rare = np.sort(mixture), np.sort(rare)

    def up_to(scores: FloatArray, values: FloatArray) -> FloatArray:
        return np.searchsorted(scores, values, side="right") / len(scores)

    *anchors, last = np.quantile(rare, (*ANCHORS, RECALL))
    shares = (up_to(mixture, np.array(anchors)) + 1 / len(mixture)) / up_to(rare, np.array(anchors))
    share = min(1.0, float(np.median(shares)))
    below = np.append(mixture[mixture <= last], last)
    middles = (below[:-1] + below[1:]) / 2
    expected = share * up_to(rare, middles) / np.maximum(up_to(mixture, middles), 1 / len(mixture))
    enough = np.flatnonzero(expected >= precision)
    if not len(enough):
        none = float(np.nextafter(mixture[0], -np.inf))
        return Threshold(none, share, precision, float(up_to(rare, np.array([none]))[0]))
    value = middles[enough[-1:]]
    return Threshold(float(value[0]), share, min(1.0, float(expected[enough[-1]])), float(up_to(rare, value)[0]))


def rare_above(mixture: FloatArray, rare: FloatArray, precision: float) -> Threshold:
    """As `rare_below`, for a rare kind that lies high."""
    found = rare_below(-np.asarray(mixture), -np.asarray(rare), precision)
    return Threshold(-found.value, found.share, found.precision, found.recall)
