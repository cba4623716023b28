"""Is one model really better? Paired tests on the same trials, and the correction for many of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import bdtr

from facezoo.evaluation.intervals import LEVEL
from facezoo.types import FloatArray, InputError


@dataclass(frozen=True)
class McNemar:
    """Trials on which two models differ, and how likely so uneven a split is if they are equally good.

    Attributes:
        first_only, second_only: trials that only the first or only the second model has right.
        p: two-sided, exact: of the trials on which they differ each is a fair coin.
    """

    first_only: int
    second_only: int
    p: float


def mcnemar(first: ArrayLike, second: ArrayLike) -> McNemar:
    """McNemar's exact test; https://doi.org/10.1007/BF02295996.

    It takes the trials for independent, which pairs that share a photo are not quite: where identities are known the
    bootstrap over them is the safer test.

    Args:
        first, second: whether each model is right, (T,).
    """
    a, b = np.asarray(first, bool), np.asarray(second, bool)
    if a.ndim != 1 or a.shape != b.shape:
        raise InputError(f"mcnemar: shapes {a.shape} and {b.shape}, the same trials of two models are needed")
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    p = min(1.0, 2 * float(bdtr(min(only_a, only_b), only_a + only_b, 0.5))) if only_a + only_b else 1.0
    return McNemar(only_a, only_b, p)


@dataclass(frozen=True)
class PairedDifference:
    """First minus second, with what the resamples say about it.

    Attributes:
        low, high: percentile interval.
        p: two-sided: twice the share of the resamples in which the difference is 0 or has the other sign.
    """

    low: float
    high: float
    p: float


Measure = Callable[[FloatArray], Mapping[str, float | None]]
"""Metrics by name for a weight of each trial (T,)."""


def paired_bootstrap(
    measures: Sequence[Measure], weights: Iterator[FloatArray], level: float = LEVEL
) -> dict[tuple[int, int, str], PairedDifference]:
    """Differences of each metric between any two models, all measured on the same resamples.

    What the models share, hard people above all, falls out of the difference, so that its interval is narrower than
    two separate ones suggest. A metric that fewer than half of the resamples define for a pair of models is left out.

    Args:
        measures: of each model.
        weights: of the trials, in each resample.

    Returns:
        By first model, second model and metric.
    """
    drawn: list[list[Mapping[str, float | None]]] = [[measure(weight) for measure in measures] for weight in weights]
    if not drawn:
        raise InputError("paired bootstrap: 0 resamples, there must be 1 or more")
    found = {}
    for first in range(len(measures)):
        for second in range(first + 1, len(measures)):
            for name in dict.fromkeys(name for values in drawn for name in values[first]):
                pairs = [(values[first].get(name), values[second].get(name)) for values in drawn]
                gaps = np.array([a - b for a, b in pairs if a is not None and b is not None])
                if 2 * len(gaps) >= len(drawn):
                    found[first, second, name] = difference_of(gaps, level)
    return found


def difference_of(gaps: FloatArray, level: float = LEVEL) -> PairedDifference:
    """Interval and p-value of the differences in all resamples, (B,); p is never below 2 / (B + 1)."""
    low, high = np.percentile(gaps, [50 * (1 - level), 50 * (1 + level)])
    rarer = min(int((gaps <= 0).sum()), int((gaps >= 0).sum()))
    return PairedDifference(float(low), float(high), min(1.0, 2 * (1 + rarer) / (1 + len(gaps))))


def holm(p: ArrayLike) -> NDArray[np.float64]:
    """P-values (K,) adjusted for there being K of them: below a level with the chance of one error in all K.

    Holm's step-down; https://www.jstor.org/stable/4615733.
    """
    values = np.asarray(p, np.float64)
    order = np.argsort(values, kind="stable")
    adjusted = np.empty(len(values))
    adjusted[order] = np.minimum(1, np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1)))
    return adjusted
