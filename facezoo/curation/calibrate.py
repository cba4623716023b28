"""Thresholds that follow from the data: scores of a mixture, and of one of its two components alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facezoo.types import FloatArray, InputError

RECALL = 0.99
"""A threshold does not go on for the last hundredth of the rare kind: what it finds there is nearly all of the rest."""


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


def rare_below(mixture: FloatArray, rare: FloatArray, precision: float, anchor: float = 0.5) -> Threshold:
    """The highest threshold at which so large a part of what lies at or below it is of the rare kind.

    Below some quantile a of the rare kind hardly anything else is expected, so the mixture's count there gives the
    share of the rare kind: share = F(a) / H(a), with F and H the distribution functions of mixture and rare kind. At t
    the precision then is share H(t) / F(t) and the recall H(t). Two-groups model, Efron 2008,
    https://arxiv.org/abs/0808.0603. The threshold lies in the middle of the gap to the next score.

    Args:
        mixture: scores (N,).
        rare: scores (M,) of the rare kind alone; it lies low.
        precision: wanted, above 0 and at most 1.
        anchor: which quantile a is. High where the kinds lie far apart and few are rare; low where they overlap.

    Raises:
        InputError: the precision is no such number, or there are no scores.
    """
    if not 0 < precision <= 1:
        raise InputError(f"precision is {precision}, it must be above 0 and at most 1")
    if not len(mixture) or not len(rare):
        raise InputError("too few images to find a threshold in the data: give one")
    mixture, rare = np.sort(mixture), np.sort(rare)
    low = float(np.quantile(rare, anchor))

    def up_to(scores: FloatArray, value: FloatArray) -> FloatArray:
        return np.searchsorted(scores, value, side="right") / len(scores)

    at = np.array([low])
    share = min(1.0, float(up_to(mixture, at)[0] / up_to(rare, at)[0]))
    last = float(np.quantile(rare, RECALL))
    values = np.append(low, mixture[(mixture > low) & (mixture <= last)])
    expected = share * up_to(rare, values) / np.maximum(up_to(mixture, values), 1 / len(mixture))
    # There itself the precision is 1 by the estimate.
    chosen = int(np.flatnonzero(np.append(True, expected[1:] >= precision))[-1])
    after = values[chosen + 1] if chosen + 1 < len(values) else max(last, low)
    value = np.array([(values[chosen] + after) / 2])
    reached = 1.0 if chosen == 0 else min(1.0, float(expected[chosen]))
    return Threshold(float(value[0]), share, reached, float(up_to(rare, value)[0]))


def rare_above(mixture: FloatArray, rare: FloatArray, precision: float, anchor: float = 0.5) -> Threshold:
    """As `rare_below`, for a rare kind that lies high."""
    found = rare_below(-np.asarray(mixture), -np.asarray(rare), precision, anchor)
    return Threshold(-found.value, found.share, found.precision, found.recall)
