"""From a cosine to a log-likelihood ratio: how much more probable the score is for one person than for two."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import TypeAdapter, ValidationError
from scipy.optimize import isotonic_regression
from scipy.special import expit

from facezoo.evaluation.metrics import Tally
from facezoo.evaluation.pair_counting import count_pairs
from facezoo.evaluation.pair_counts import Equal
from facezoo.files import write_text
from facezoo.types import Contract, FloatArray, InputError

Method: TypeAlias = Literal["logistic", "isotonic"]

STEPS = 100


@dataclass(frozen=True)
class Calibration:
    """Gives log-likelihood ratios (natural logarithm) for the cosines of one model.

    Attributes:
        method: logistic, a straight line; or isotonic, a staircase that is interpolated.
        scores, ratios: the points between which it is linear; beyond them it goes on as a line (logistic) or stays.
        genuine, impostor: pairs it was fitted to.
        cllr: on people it was not fitted to, see `held_out`; None if that was not measured.
        min_cllr: the best that any calibration of these scores could reach on the same people.
        data: digest of the embeddings and people it was fitted to.
        contract: of the model whose cosines it takes.
    """

    method: Method
    scores: tuple[float, ...]
    ratios: tuple[float, ...]
    genuine: float
    impostor: float
    cllr: float | None = None
    min_cllr: float | None = None
    data: str = ""
    contract: Contract | None = None

    def __call__(self, cosine: ArrayLike) -> FloatArray:
        """Log-likelihood ratios of cosines, any shape; above 0 speaks for one person."""
        values = np.asarray(cosine, np.float64)
        if self.method == "logistic":
            (low, high), (first, last) = self.scores, self.ratios
            return first + (values - low) * ((last - first) / (high - low))
        return np.interp(values, self.scores, self.ratios)

    def write(self, path: Path) -> None:
        """As JSON, whole or not at all."""
        write_text(path, json.dumps(asdict(self), indent=2, allow_nan=False) + "\n")


def read_calibration(path: Path) -> Calibration:
    """A file written by `Calibration.write`."""
    try:
        values: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
        found = TypeAdapter(Calibration).validate_python(values)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(f"{path}: not a calibration: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    except RecursionError:
        raise InputError(f"{path}: not a calibration: its brackets are nested too deeply") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a calibration: {error}") from None
    if len(found.scores) != len(found.ratios) or len(found.scores) < 2 or (np.diff(found.scores) <= 0).any():
        raise InputError(f"{path}: not a calibration: scores must rise, with a ratio for each")
    return found


def fit_calibration(tallied: Tally, method: Method = "logistic") -> Calibration:
    """Fit to the scores of genuine and impostor pairs; either kind weighs the same, whatever their numbers.

    logistic: a straight line, by Newton's method on the weighted logistic loss; https://doi.org/10.1016/j.csl.2005.08.001.
    isotonic: pool adjacent violators, with one pair of the other kind beyond either end, so that no ratio is infinite.

    Raises:
        InputError: the kinds are parted by the scores as a whole (logistic): no line fits best then; or another method.
    """
    kept = (tallied.genuine + tallied.impostor) > 0
    scores, genuine, impostor = tallied.scores[kept], tallied.genuine[kept], tallied.impostor[kept]
    if not genuine.any() or not impostor.any():
        raise InputError("calibration: genuine and impostor pairs are needed")
    totals = float(genuine.sum()), float(impostor.sum())
    if method == "logistic":
        slope, offset = _logistic(scores, genuine / totals[0] / 2, impostor / totals[1] / 2)
        ends = float(scores[0]), float(max(scores[-1], scores[0] + 1e-6))
        return Calibration(method, ends, tuple(offset + slope * end for end in ends), *totals)
    if method != "isotonic":
        raise InputError(f"calibration: unknown method {method!r}; known: logistic, isotonic")
    first, last = np.nextafter(scores[0], -np.inf), np.nextafter(scores[-1], np.inf)
    values = np.concatenate([[first], scores, [last]])
    ratios = pooled_ratios(np.concatenate([[1], genuine, [0]]), np.concatenate([[0], impostor, [1]]))
    # A staircase: only the two ends of each step are kept.
    ratios[0], ratios[-1] = ratios[1], ratios[-2]
    steps = np.flatnonzero(np.diff(ratios) != 0)
    corners = np.unique(np.concatenate([[0], steps, steps + 1, [len(values) - 1]]))
    return Calibration(method, tuple(values[corners].tolist()), tuple(ratios[corners].tolist()), *totals)


def _logistic(scores: FloatArray, genuine: FloatArray, impostor: FloatArray) -> tuple[float, float]:
    middle, spread = float(scores.mean()), float(scores.std()) or 1.0
    x = (scores - middle) / spread
    design = np.stack([x, np.ones_like(x)])
    weight, found = genuine + impostor, np.zeros(2)
    for _ in range(STEPS):
        chance = expit(found @ design)
        gradient = design @ (weight * chance - genuine)
        curvature = (design * (weight * chance * (1 - chance))) @ design.T
        if np.linalg.cond(curvature) > 1e12:
            break
        step = np.linalg.solve(curvature, gradient)
        # Newton's step overshoots far from the best line: never by more than a deviation of the scores.
        found -= step * min(1.0, 1 / float(np.abs(step).max() or 1.0))
        if np.abs(step).max() < 1e-10:
            slope = found[0] / spread
            return float(slope), float(found[1] - slope * middle)
    raise InputError("calibration: genuine and impostor scores do not overlap, no line fits best; use isotonic")


def pooled_ratios(genuine: FloatArray, impostor: FloatArray) -> FloatArray:
    """Best rising log-likelihood ratios of weights by ascending score, (U,): -inf and inf where only one kind is."""
    weight = genuine + impostor
    share = isotonic_regression(genuine / weight, weights=weight).x
    with np.errstate(divide="ignore"):
        return np.log(share) - np.log1p(-share) - np.log(genuine.sum() / impostor.sum())


def cllr(ratios: FloatArray, genuine: FloatArray, impostor: FloatArray) -> float:
    """Cost of log-likelihood ratios in bits: 0 is perfect, 1 what a ratio of 1 for every pair reaches.

    https://doi.org/10.1016/j.csl.2005.08.001

    Args:
        ratios: natural logarithms, (U,).
        genuine, impostor: weight of either kind at each, (U,).
    """
    costs = []
    for sign, weight in ((-1, genuine), (1, impostor)):
        there = weight > 0
        costs.append(float(weight[there] @ np.logaddexp(0, sign * ratios[there]) / weight.sum()))
    return sum(costs) / (2 * float(np.log(2)))


def min_cllr(tallied: Tally) -> float:
    """`cllr` after the best calibration that keeps the order of the scores: what the scores themselves allow."""
    kept = (tallied.genuine + tallied.impostor) > 0
    genuine, impostor = tallied.genuine[kept], tallied.impostor[kept]
    return cllr(pooled_ratios(genuine, impostor), genuine, impostor)


def held_out(
    embeddings: FloatArray,
    identity: NDArray[np.intp],
    failed: NDArray[np.bool_],
    method: Method,
    folds: int = 5,
    seed: int = 0,
    equal: Equal = "pairs",
) -> tuple[float, float]:
    """Cllr and minimum Cllr on people who were not fitted to: mean over folds of identities.

    Pairs between a person of the fold and another are left out on both sides. Photos without a face are, too.

    Args:
        embeddings, identity, failed: of the photos, (N, D), (N,) and (N,).
        method: see `fit_calibration`.
        folds, seed: how the people are parted.
        equal: what counts alike, in the fit and in the cost; see `pair_counting.count_pairs`.

    Raises:
        InputError: too few people for so many folds.
    """
    costs = []
    for train, test in _identity_folds(identity, folds, seed):
        fitted, tested = (
            count_pairs(embeddings[part], identity[part], equal=equal, what="calibration").tally()
            for part in (np.flatnonzero(train & ~failed), np.flatnonzero(test & ~failed))
        )
        ratios = fit_calibration(fitted, method)(tested.scores)
        costs.append((cllr(ratios, tested.genuine, tested.impostor), min_cllr(tested)))
    found, best = np.mean(costs, axis=0)
    return float(found), float(best)


def _identity_folds(
    identity: NDArray[np.intp], folds: int, seed: int
) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """Which photos (N,) are fitted to and which are tested on; people with several photos are spread evenly."""
    people, index, sizes = np.unique(identity, return_inverse=True, return_counts=True)
    if folds < 2 or (sizes > 1).sum() < 2 * folds:
        raise InputError(
            f"calibration: {int((sizes > 1).sum())} people with two photos or more cannot fill {folds} folds; "
            f"{2 * max(folds, 2)} are needed"
        )
    order = np.random.default_rng(seed).permutation(len(people))
    order = order[np.argsort(sizes[order] == 1, kind="stable")]
    fold = np.empty(len(people), np.intp)
    fold[order] = np.arange(len(people)) % folds
    for number in range(folds):
        yield fold[index] != number, fold[index] == number
