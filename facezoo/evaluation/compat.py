"""How other projects choose verification thresholds, to reproduce their columns; ours is `folds.fold_accuracy`."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facezoo.evaluation.folds import Folds, fold_of
from facezoo.evaluation.metrics import check_scores
from facezoo.evaluation.report import Report
from facezoo.evaluation.scored_pairs import ScoredPairs
from facezoo.types import InputError

FXZ_STEPS = 1000
IF_DISTANCES = np.arange(0, 4, 0.01)
IF_VAL_DISTANCES = np.arange(0, 4, 0.001)


def fxz_grid(scores: ArrayLike, same: ArrayLike, folds: int | ArrayLike = 10) -> Folds:
    """FaceX-Zoo: 1,000 steps between the training scores' extremes, first maximum of TPR - FPR.

    A score equal to the threshold counts as wrong for both kinds.
    """
    values, labels = check_scores(scores, same)
    fold = fold_of(folds, len(values))
    _refuse_failures(values, "fxz_grid")
    accuracies, thresholds = [], []
    for k in range(fold.max() + 1):
        test = fold == k
        training, genuine = values[~test], labels[~test]
        low, high = training.min(), training.max()
        grid = low + np.arange(1, FXZ_STEPS + 1) * (high - low) / FXZ_STEPS
        chosen = grid[np.argmax(_share_above(training[genuine], grid) - _share_above(training[~genuine], grid))]
        right = np.where(labels[test], values[test] > chosen, values[test] < chosen)
        thresholds.append(float(chosen))
        accuracies.append(float(right.mean()))
    return Folds(np.array(accuracies), np.array(thresholds))


def if_grid(scores: ArrayLike, same: ArrayLike, folds: int | ArrayLike = 10) -> Folds:
    """insightface, TFace, face.evoLVe: squared distances 0, 0.01, .. 3.99, first maximum of the accuracy.

    Scores are cosines; d^2 = 2 - 2 cosine, same if d^2 is below the threshold. Thresholds are returned as cosines.
    """
    values, labels = check_scores(scores, same)
    fold = fold_of(folds, len(values))
    _refuse_failures(values, "if_grid")
    distances = 2 - 2 * values
    accuracies, thresholds = [], []
    for k in range(fold.max() + 1):
        test = fold == k
        right = _count_below(distances[~test & labels], IF_DISTANCES)
        right = right + (~test & ~labels).sum() - _count_below(distances[~test & ~labels], IF_DISTANCES)
        chosen = IF_DISTANCES[np.argmax(right)]
        accuracies.append(float(((distances[test] < chosen) == labels[test]).mean()))
        thresholds.append(float(1 - chosen / 2))
    return Folds(np.array(accuracies), np.array(thresholds))


@dataclass(frozen=True)
class Val:
    """insightface's TAR at a FAR: mean and population deviation over the folds, and the FAR really met."""

    val: float
    std: float
    far: float


def if_val(scores: ArrayLike, same: ArrayLike, far: float = 1e-3, folds: int | ArrayLike = 10) -> Val:
    """insightface's `calculate_val`: the distance at which the training folds reach `far`, interpolated on a grid.

    Below it pairs of the test fold are accepted; with a training FAR that stays below the target nothing is.
    Where FAR values repeat, the grid point nearest to the crossing is taken on either side.
    """
    values, labels = check_scores(scores, same)
    fold = fold_of(folds, len(values))
    _refuse_failures(values, "if_val")
    distances = 2 - 2 * values
    tars: list[float] = []
    fars: list[float] = []
    for k in range(fold.max() + 1):
        test = fold == k
        impostors = distances[~test & ~labels]
        if not len(impostors):
            raise InputError(f"val={far:g}: without fold {k + 1} no impostor pair is left to choose a distance on")
        reached = _count_below(impostors, IF_VAL_DISTANCES) / len(impostors)
        chosen = 0.0
        if reached.max() >= far:
            after = min(int(np.searchsorted(reached, far, side="right")), len(reached) - 1)
            before = after - 1
            step = reached[after] - reached[before]
            share = (far - reached[before]) / step if step > 0 else 0.0
            chosen = float(IF_VAL_DISTANCES[before] + share * (IF_VAL_DISTANCES[after] - IF_VAL_DISTANCES[before]))
        accepted = distances[test] < chosen
        # A fold that lost all pairs of a kind, as photos were missing, says nothing of it.
        for rates, kind in ((tars, labels[test]), (fars, ~labels[test])):
            if kind.any():
                rates.append(float(accepted[kind].mean()))
    return Val(float(np.mean(tars)), float(np.std(tars)), float(np.mean(fars)))


@dataclass(frozen=True, eq=False)
class ValPart:
    """Adds `val@far=..`, its deviation and the FAR really met, for comparison with insightface's columns."""

    far: float
    fold: NDArray[np.intp]

    def __post_init__(self) -> None:
        if not 0 < self.far < 1:
            raise InputError(f"val={self.far} is no rate of false matches, which lies between 0 and 1")

    def __call__(self, report: Report, pairs: ScoredPairs) -> Report:
        found = if_val(pairs.scores, pairs.same, self.far, self.fold)
        key = f"val@far={self.far:g}"
        metrics = {key: found.val, f"std of {key}": found.std, f"far of {key}": found.far}
        words = {key: "insightface: mean over the folds, the distance interpolated on a grid of 0.001; std is theirs"}
        return replace(report, metrics={**report.metrics, **metrics}, protocol={**report.protocol, **words})


def _share_above(values: np.ndarray, grid: np.ndarray) -> np.ndarray:
    ordered = np.sort(values)
    return (len(ordered) - np.searchsorted(ordered, grid, side="right")) / len(ordered)


def _count_below(values: np.ndarray, grid: np.ndarray) -> np.ndarray:
    return np.searchsorted(np.sort(values), grid, side="left")


def _refuse_failures(values: np.ndarray, rule: str) -> None:
    if not np.isfinite(values).all():
        raise InputError(f"rule={rule}: some photos have no face, which this rule cannot count; use rule=exact")
