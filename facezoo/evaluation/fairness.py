"""Does a system err alike for everybody? Error rates by group at one threshold, and the indices made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facezoo.types import FloatArray, InputError


def _rates(fmr: ArrayLike, fnmr: ArrayLike, alpha: float) -> tuple[FloatArray, FloatArray]:
    first, second = np.asarray(fmr, np.float64), np.asarray(fnmr, np.float64)
    if first.ndim != 1 or first.shape != second.shape or len(first) < 2:
        raise InputError(f"fairness: FMR {first.shape}, FNMR {second.shape}; both are needed for 2 groups or more")
    if not 0 <= alpha <= 1:
        raise InputError(f"fairness: alpha is {alpha}, it must lie between 0 and 1")
    return first, second


def fdr(fmr: ArrayLike, fnmr: ArrayLike, alpha: float = 0.5) -> float:
    """Fairness discrepancy rate, 1 where all groups err alike; https://arxiv.org/abs/2103.09471.

    Args:
        fmr, fnmr: of each group (G,) at one threshold.
        alpha: weight of the false matches.
    """
    first, second = _rates(fmr, fnmr, alpha)
    return float(1 - (alpha * np.ptp(first) + (1 - alpha) * np.ptp(second)))


def gini(rates: ArrayLike) -> float:
    """Gini coefficient of rates (G,), with the correction n / (n - 1) for few groups; 0 where all are equal or 0."""
    values = np.asarray(rates, np.float64)
    if not values.any():
        return 0.0
    n = len(values)
    return float(np.abs(values[:, None] - values).sum() / (2 * n * (n - 1) * values.mean()))


def garbe(fmr: ArrayLike, fnmr: ArrayLike, alpha: float = 0.5) -> float:
    """Gini aggregation rate for biometric equitability, 0 where all groups err alike; https://arxiv.org/abs/2203.05051.

    Args: as for `fdr`.
    """
    first, second = _rates(fmr, fnmr, alpha)
    return alpha * gini(first) + (1 - alpha) * gini(second)


def inequity(fmr: ArrayLike, fnmr: ArrayLike, alpha: float = 0.5) -> float | None:
    """Inequity rate, 1 where all groups err alike: largest by smallest rate; NIST IR 8429 (doi:10.6028/NIST.IR.8429).

    None where a group shows no error of a kind: the ratio is then not defined. Args: as for `fdr`.
    """
    first, second = _rates(fmr, fnmr, alpha)
    if first.min() <= 0 or second.min() <= 0:
        return None
    return float((first.max() / first.min()) ** alpha * (second.max() / second.min()) ** (1 - alpha))


@dataclass(frozen=True, eq=False)
class GroupErrors:
    """Errors of G groups at one threshold.

    Attributes:
        groups: their names.
        impostor, false_matches: weight of the impostor pairs between two groups and of those accepted, (G, G),
            symmetric; the diagonal has the pairs within a group.
        genuine, false_non_matches: weight of the genuine pairs within a group and of those rejected, (G,).
    """

    groups: Sequence[str]
    impostor: FloatArray
    false_matches: FloatArray
    genuine: FloatArray
    false_non_matches: FloatArray

    @property
    def fmr(self) -> FloatArray:
        """Within each group, (G,); NaN without impostor pairs."""
        return _share(np.diagonal(self.false_matches), np.diagonal(self.impostor))

    @property
    def fnmr(self) -> FloatArray:
        return _share(self.false_non_matches, self.genuine)

    @property
    def cross_fmr(self) -> FloatArray:
        """Between two groups, (G, G)."""
        return _share(self.false_matches, self.impostor)

    def measurable(self) -> NDArray[np.bool_]:
        """Groups with genuine and impostor pairs, (G,)."""
        return (np.diagonal(self.impostor) > 0) & (self.genuine > 0)

    def indices(self, alpha: float = 0.5) -> dict[str, float | None]:
        """`fdr`, `garbe` and `inequity` of the groups that have pairs of both kinds; empty for fewer than two."""
        there = self.measurable()
        if there.sum() < 2:
            return {}
        fmr, fnmr = self.fmr[there], self.fnmr[there]
        return {
            "fdr": fdr(fmr, fnmr, alpha),
            "garbe": garbe(fmr, fnmr, alpha),
            "inequity": inequity(fmr, fnmr, alpha),
        }


def _share(part: FloatArray, whole: FloatArray) -> FloatArray:
    return np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=np.asarray(whole) > 0)


def between(first: NDArray[np.integer], second: NDArray[np.integer], groups: int, weights: FloatArray) -> FloatArray:
    """Weight of pairs by the groups of their sides, (G, G), symmetric; a side in no group is -1, its pair left out."""
    known = (first >= 0) & (second >= 0)
    low, high = np.minimum(first[known], second[known]), np.maximum(first[known], second[known])
    counted = np.bincount(low * groups + high, weights[known], groups * groups).reshape(groups, groups)
    return counted + np.triu(counted, 1).T
