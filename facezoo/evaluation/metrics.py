"""Error rates of verification scores: exact, vectorised, float64.

A pair is accepted as the same person if score >= threshold. FMR is the share of impostor pairs accepted, FNMR the
share of genuine pairs rejected. A score of -inf is a pair without a comparison (no face found): never accepted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from facezoo.types import FloatArray, InputError

RULE_OF_THREE = 3.0
"""With no error in N trials the error rate is below 3 / N with 95 % confidence."""


@dataclass(frozen=True, eq=False)
class Tally:
    """The distinct finite scores, ascending, and how much genuine and impostor weight lies on each.

    Cut j (0 .. U) accepts scores[j:]; cut 0 accepts every score, cut U none.

    Attributes:
        scores, genuine, impostor: (U,).
        genuine_total, impostor_total: weights, those of pairs without a comparison included.
    """

    scores: FloatArray
    genuine: FloatArray
    impostor: FloatArray
    genuine_total: float
    impostor_total: float

    @property
    def fmr(self) -> FloatArray:
        """FMR at every cut, (U + 1,), falling to 0."""
        return _above(self.impostor) / self.impostor_total

    @property
    def fnmr(self) -> FloatArray:
        """FNMR at every cut, (U + 1,), rising to 1."""
        return 1 - _above(self.genuine) / self.genuine_total

    def threshold(self, cut: int) -> float:
        """A score that parts at `cut`: the midpoint of the neighbours, the lowest score, or just above the highest."""
        if cut == 0:
            return float(self.scores[0])
        if cut == len(self.scores):
            return float(np.nextafter(self.scores[-1], np.inf))
        below, above = float(self.scores[cut - 1]), float(self.scores[cut])
        middle = below + (above - below) / 2
        return middle if middle > below else above


def _above(weights: FloatArray) -> FloatArray:
    total = np.zeros(len(weights) + 1)
    total[:-1] = np.cumsum(weights[::-1])[::-1]
    return total


class Sorted:
    """Scores sorted once, so that many weightings of the same pairs (resamples, folds) cost O(P) each."""

    def __init__(self, scores: ArrayLike, same: ArrayLike) -> None:
        self.values, self.same = check_scores(scores, same)
        self.compared = np.isfinite(self.values)
        self.distinct, self.index = np.unique(self.values[self.compared], return_inverse=True)
        if not len(self.distinct):
            raise InputError("scores: no pair could be compared")
        genuine = self.same[self.compared]
        self._genuine, self._impostor = self.index[genuine], self.index[~genuine]
        self._genuine_of, self._impostor_of = self.compared & self.same, self.compared & ~self.same

    def tally(self, weights: FloatArray | None = None) -> Tally:
        """`Tally` of all pairs, or with a weight (P,) for each."""
        if weights is None:
            weights = np.ones(len(self.values))
        size = len(self.distinct)
        return Tally(
            self.distinct,
            np.bincount(self._genuine, weights[self._genuine_of], size).astype(np.float64),
            np.bincount(self._impostor, weights[self._impostor_of], size).astype(np.float64),
            float(weights[self.same].sum()),
            float(weights[~self.same].sum()),
        )


def check_scores(scores: ArrayLike, same: ArrayLike) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Scores (P,) as float64 and labels (P,) as bool; both kinds must be there."""
    values, labels = np.asarray(scores, dtype=np.float64), np.asarray(same)
    if values.ndim != 1 or values.shape != labels.shape:
        raise InputError(f"scores: shapes {values.shape} and {labels.shape}, scores and labels must be one row each")
    if np.isnan(values).any() or (values == np.inf).any():
        raise InputError("scores: there are NaN or infinite scores; the embeddings are not finite")
    labels = labels.astype(bool)
    if not labels.any() or labels.all():
        missing = "genuine" if not labels.any() else "impostor"
        raise InputError(f"scores: there is no {missing} pair; error rates need both kinds")
    return values, labels


def tally(scores: ArrayLike, same: ArrayLike) -> Tally:
    return Sorted(scores, same).tally()


def auc(tallied: Tally) -> float:
    """Probability that a genuine pair scores above an impostor pair, ties counting half."""
    genuine_rest = tallied.genuine_total - float(tallied.genuine.sum())
    impostor_rest = tallied.impostor_total - float(tallied.impostor.sum())
    below = impostor_rest + np.cumsum(tallied.impostor) - tallied.impostor / 2
    wins = float((tallied.genuine * below).sum()) + genuine_rest * impostor_rest / 2
    return wins / (tallied.genuine_total * tallied.impostor_total)


def eer(tallied: Tally) -> float | None:
    """The rate at which FMR equals FNMR, interpolated between the two points where they cross.

    None if they never do, because more genuine pairs could not be compared than impostor pairs are accepted.
    """
    fmr, fnmr = tallied.fmr, tallied.fnmr
    gap = fnmr - fmr  # rises with the cut, 1 at the last
    cut = int(np.argmax(gap >= 0))
    if cut == 0:
        return float(fmr[0]) if gap[0] == 0 else None
    share = gap[cut] / (gap[cut] - gap[cut - 1])
    return float(fmr[cut] + share * (fmr[cut - 1] - fmr[cut]))


def min_dcf(tallied: Tally, p_target: float = 0.01, miss: float = 1.0, false_alarm: float = 1.0) -> float:
    """The smallest detection cost over all thresholds, 1 being what a system without a model reaches.

    Cost = miss FNMR p_target + false_alarm FMR (1 - p_target), divided by the smaller of the cost of accepting and of
    rejecting everything, as in NIST's speaker recognition evaluations, whose costs and prior since 2010 are the
    defaults; https://www.nist.gov/itl/iad/mig/speaker-recognition.

    Args:
        p_target: share of genuine attempts that is expected in use.
        miss, false_alarm: cost of a false non-match and of a false match.
    """
    check_costs(p_target, miss, false_alarm)
    genuine, impostor = miss * p_target, false_alarm * (1 - p_target)
    return float((genuine * tallied.fnmr + impostor * tallied.fmr).min() / min(genuine, impostor))


def check_costs(p_target: float, miss: float, false_alarm: float) -> None:
    """Refuse what no detection cost has."""
    if not 0 < p_target < 1 or not 0 < miss < math.inf or not 0 < false_alarm < math.inf:
        raise InputError(
            f"min_dcf: p_target {p_target} must lie between 0 and 1, miss {miss} and false_alarm {false_alarm} above 0"
        )


def det(tallied: Tally) -> tuple[FloatArray, FloatArray]:
    """FMR and FNMR at every cut in normal deviates, (U + 1,) each: a straight line for normal scores.

    Rates of 0 and 1 are -inf and inf; https://www.isca-archive.org/eurospeech_1997/martin97b_eurospeech.html.
    """
    return ndtri(tallied.fmr), ndtri(tallied.fnmr)


@dataclass(frozen=True)
class OperatingPoint:
    """TAR at a FAR that is never exceeded.

    Attributes:
        far: the target.
        tar: share of genuine pairs accepted.
        threshold: smallest score that keeps the target.
        fmr: share of impostor pairs really accepted, <= far.
        measurable: whether there are at least 1 / far impostor pairs.
    """

    far: float
    tar: float
    threshold: float
    fmr: float
    measurable: bool


def tar_at_far(tallied: Tally, far: float) -> OperatingPoint:
    """The operating point for `far`, 0 < far < 1, by the conservative rule.

    Of N impostor pairs at most floor(far N) are accepted; ties at the border are rejected. With far N < 1 the
    target cannot be measured: the threshold then lies just above the largest impostor score.
    """
    if not 0 < far < 1:
        raise InputError(f"far: {far} is not between 0 and 1")
    accepted = _above(tallied.impostor)
    # Comparing shares, not counts: far * N may round to just below a whole number.
    cut = int(np.argmax(accepted / tallied.impostor_total <= far))
    if cut == 0:
        threshold = float(tallied.scores[0])
    else:
        threshold = float(np.nextafter(tallied.scores[cut - 1], np.inf))
    return OperatingPoint(
        far=far,
        tar=float(_above(tallied.genuine)[cut] / tallied.genuine_total),
        threshold=threshold,
        fmr=float(accepted[cut] / tallied.impostor_total),
        measurable=1 / tallied.impostor_total <= far,
    )


@dataclass(frozen=True, eq=False)
class Roc:
    """Every point of the ROC, (T,), from accepting none to accepting all."""

    threshold: FloatArray
    fmr: FloatArray
    fnmr: FloatArray


def roc(tallied: Tally) -> Roc:
    """FMR and FNMR at every distinct score as threshold, and above them all."""
    none = np.nextafter(tallied.scores[-1], np.inf)
    return Roc(np.append(tallied.scores, none)[::-1], tallied.fmr[::-1], tallied.fnmr[::-1])


@dataclass(frozen=True)
class ScoreStatistics:
    """Mean and standard deviation of genuine and impostor scores, and d', their distance in deviations."""

    genuine_mean: float
    genuine_std: float
    impostor_mean: float
    impostor_std: float
    d_prime: float | None


def score_statistics(scores: ArrayLike, same: ArrayLike) -> ScoreStatistics:
    """Over the pairs that could be compared; d' is None if no score varies."""
    values, labels = check_scores(scores, same)
    compared = np.isfinite(values)
    genuine, impostor = values[labels & compared], values[~labels & compared]
    if not len(genuine) or not len(impostor):
        raise InputError("scores: no pair of one kind could be compared")
    spread = math.sqrt((genuine.var() + impostor.var()) / 2)
    distance = float(genuine.mean() - impostor.mean())
    return ScoreStatistics(
        float(genuine.mean()),
        float(genuine.std()),
        float(impostor.mean()),
        float(impostor.std()),
        distance / spread if spread > 0 else None,
    )
