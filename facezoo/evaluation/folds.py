"""K-fold accuracy: the threshold of each fold comes from all others."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facezoo.evaluation.metrics import Sorted, Tally
from facezoo.types import FloatArray, InputError


@dataclass(frozen=True, eq=False)
class Folds:
    """K-fold accuracy: one accuracy and the threshold it was taken at for each fold, (K,)."""

    accuracies: FloatArray
    thresholds: FloatArray

    @property
    def mean(self) -> float:
        return float(self.accuracies.mean())

    @property
    def std(self) -> float:
        """Sample standard deviation over the folds (ddof 1)."""
        return float(self.accuracies.std(ddof=1))

    @property
    def standard_error(self) -> float:
        return self.std / math.sqrt(len(self.accuracies))


def consecutive_folds(pairs: int, folds: int) -> NDArray[np.intp]:
    """Fold of each pair, (P,): consecutive blocks, equal up to one pair."""
    _check_folds(pairs, folds)
    return np.arange(pairs) * folds // pairs


def stratified_folds(same: ArrayLike, folds: int) -> NDArray[np.intp]:
    """Fold of each pair, (P,): genuine and impostor pairs are each cut into blocks, in the order of the list.

    For lists that name all genuine pairs first; equal to `consecutive_folds` where the blocks are balanced.
    """
    labels = np.asarray(same, dtype=bool)
    _check_folds(len(labels), folds)
    fold = np.empty(len(labels), np.intp)
    for kind in (labels, ~labels):
        fold[kind] = np.arange(kind.sum()) * folds // max(1, int(kind.sum()))
    return fold


def _check_folds(pairs: int, folds: int) -> None:
    if not 2 <= folds <= pairs:
        raise InputError(f"folds: {folds} folds of {pairs} pairs; there must be 2 folds or more and a pair in each")


def best_threshold(tallied: Tally) -> float:
    """The threshold of the highest accuracy among all that differ; of equals the one with the smallest FMR."""
    # What is wrong at cut j is the genuine weight below it and the impostor weight above it.
    present = (tallied.genuine + tallied.impostor) > 0
    seen = Tally(
        tallied.scores[present],
        tallied.genuine[present],
        tallied.impostor[present],
        tallied.genuine_total,
        tallied.impostor_total,
    )
    gain = np.zeros(len(seen.scores) + 1)
    np.cumsum(seen.impostor - seen.genuine, out=gain[1:])
    return seen.threshold(len(gain) - 1 - int(np.argmax(gain[::-1])))


def fold_accuracy(scores: ArrayLike, same: ArrayLike, folds: int | ArrayLike = 10) -> Folds:
    """Accuracy on each fold at the best threshold of all other folds, for any number of pairs and folds.

    Every distinct score of the training folds is tried (midpoints); of equally good thresholds the one with the
    smallest FMR is taken. The protocol is LFW's view 2, http://vis-www.cs.umass.edu/lfw/.

    Args:
        scores: (P,), larger is more alike.
        same: (P,), whether a pair is genuine.
        folds: how many consecutive blocks, or the fold of each pair (P,).
    """
    ordered = Sorted(scores, same)
    return weighted_fold_accuracy(ordered, fold_of(folds, len(ordered.values)), np.ones(len(ordered.values)))


def fold_of(folds: int | ArrayLike, pairs: int) -> NDArray[np.intp]:
    """The fold of each pair as 0 .. K-1, from a number of consecutive folds or from the folds themselves."""
    if isinstance(folds, int):
        return consecutive_folds(pairs, folds)
    given = np.asarray(folds)
    if given.shape != (pairs,):
        raise InputError(f"folds: shape {given.shape}, there are {pairs} pairs")
    distinct, index = np.unique(given, return_inverse=True)
    _check_folds(pairs, len(distinct))
    return index


def weighted_fold_accuracy(ordered: Sorted, fold: NDArray[np.intp], weights: FloatArray) -> Folds:
    """As `fold_accuracy`, each pair counting `weights` (P,) times; folds without weight are left out."""
    accuracies, thresholds = [], []
    for k in range(int(fold.max()) + 1):
        test = fold == k
        tested = weights[test]
        if not tested.sum() > 0:
            continue
        training = ordered.tally(np.where(test, 0, weights))
        if not (training.genuine.any() or training.impostor.any()):
            raise InputError(f"folds: without fold {k + 1} no pair is left to choose a threshold on")
        thresholds.append(best_threshold(training))
        right = (ordered.values[test] >= thresholds[-1]) == ordered.same[test]
        accuracies.append(float((tested * right).sum() / tested.sum()))
    return Folds(np.array(accuracies), np.array(thresholds))
