"""Do two photos show one person? The benchmark and its score."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from facezoo.evaluation.compat import fxz_grid, if_grid
from facezoo.evaluation.folds import Folds, fold_accuracy, fold_of, weighted_fold_accuracy
from facezoo.evaluation.intervals import (
    LEVEL,
    bootstrap,
    check_draws,
    error_bound,
    fold_interval,
    identity_weights,
    independent_trials,
    none_seen,
    pair_weights,
    trial_words,
    wilson,
)
from facezoo.evaluation.metrics import Sorted, Tally, auc, eer, min_dcf, score_statistics, tar_at_far
from facezoo.evaluation.photos import Photo
from facezoo.evaluation.report import NO_FACE, Interval, Report
from facezoo.evaluation.score_curves import roc_corners, score_histogram
from facezoo.evaluation.scored_pairs import Part, listed_pairs, odd_pairs, pair_mistakes
from facezoo.types import FloatArray, InputError, unit

ThresholdRule: TypeAlias = Literal["exact", "fxz_grid", "if_grid"]

RULES = {"exact": fold_accuracy, "fxz_grid": fxz_grid, "if_grid": if_grid}
RULE_WORDS = {
    "exact": "of all distinct scores of the other folds the most accurate, of equals the smallest FMR",
    "fxz_grid": "FaceX-Zoo: 1,000 steps, first maximum of TPR - FPR on the other folds",
    "if_grid": "insightface: squared distances in steps of 0.01, first maximum of accuracy on the other folds",
}
FARS = (1e-2, 1e-3, 1e-4)
BLOCK = 1 << 14
WITHOUT_MODEL = "accuracy without a model"
"""Key of the protocol, where genuine and impostor pairs are not equally many: what an accuracy is held against."""
MISTAKES = 12


@dataclass(frozen=True, eq=False)
class Verification:
    """K-fold accuracy and error rates of photo pairs, as in LFW's view 2 (http://vis-www.cs.umass.edu/lfw/).

    left and right index photos, (P,), so a photo in many pairs is embedded once. The threshold of a fold is chosen
    on all others. A pair with a photo in which no face was found is never accepted: a genuine one is a false
    non-match, an impostor one a correct rejection.

    Attributes:
        name: of the benchmark.
        photos: in the order of the embeddings.
        left, right: (P,).
        same: (P,), whether a pair is genuine.
        folds: number of consecutive folds, or the fold of each pair (P,).
        aligned: alignment template of photos that are crops already; None for raw photos.
        identity: of each photo (N,), if known: intervals then resample identities, else pairs.
        rule: how a threshold is chosen; the grids reproduce other projects' columns.
        resamples: of the bootstrap; 0 leaves it out.
        seed: of the bootstrap.
        notes: what a reader of the report should know, by word.
        parts: what columns beside the photos add to the report, from `columns.columns`.
        shows: the first photo that shows the same, of each photo (N,), where some are copies of others, as masked ones
            are: photo and copy are no independent evidence. None without copies.
    """

    name: str
    photos: Sequence[Photo]
    left: NDArray[np.intp]
    right: NDArray[np.intp]
    same: NDArray[np.bool_]
    folds: int | NDArray[np.intp] = 10
    aligned: str | None = None
    identity: NDArray[np.intp] | None = None
    rule: ThresholdRule = "exact"
    resamples: int = 1000
    seed: int = 0
    notes: Mapping[str, str | int] = field(default_factory=dict)
    parts: tuple[Part, ...] = ()
    shows: NDArray[np.intp] | None = None

    def __post_init__(self) -> None:
        if self.rule not in RULES:
            raise InputError(f"{self.name}: unknown threshold rule {self.rule!r}; known: {', '.join(RULES)}")
        if not len(self.left) == len(self.right) == len(self.same):
            raise InputError(f"{self.name}: left, right and same differ in length")
        if not len(self.same):
            raise InputError(f"{self.name}: there are no pairs")
        check_draws(self.name, self.resamples, self.seed)
        if self.identity is not None:
            claimed = self.identity[self.left] == self.identity[self.right]
            if wrong := int((claimed != np.asarray(self.same, dtype=bool)).sum()):
                raise InputError(f"{self.name}: {wrong} pairs contradict the identities of their photos")

    def scores(self, embeddings: FloatArray, failed: NDArray[np.bool_] | None = None) -> FloatArray:
        """Cosine of each pair (P,), float64; -inf where a photo has failed (N,)."""
        if embeddings.ndim != 2 or len(embeddings) <= max(self.left.max(), self.right.max()):
            raise InputError(f"{self.name}: embeddings of shape {embeddings.shape} for {len(self.photos)} photos")
        if not np.isfinite(embeddings).all():
            raise InputError(f"{self.name}: some embeddings are not finite")
        embeddings = unit(np.asarray(embeddings, dtype=np.float64))
        scores = np.empty(len(self.left))
        for start in range(0, len(scores), BLOCK):
            block = slice(start, start + BLOCK)
            scores[block] = np.einsum("pd,pd->p", embeddings[self.left[block]], embeddings[self.right[block]])
        if failed is not None:
            scores[failed[self.left] | failed[self.right]] = -np.inf
        return scores

    def errors(
        self, threshold: float, embeddings: FloatArray, failed: NDArray[np.bool_] | None = None
    ) -> tuple[int, int]:
        """How many impostor pairs are accepted and how many genuine ones are not, at a threshold set elsewhere."""
        accepted, same = self.scores(embeddings, failed) >= threshold, np.asarray(self.same, dtype=bool)
        return int(np.sum(accepted & ~same)), int(np.sum(~accepted & same))

    def score(self, embeddings: FloatArray, failed: NDArray[np.bool_] | None = None) -> Report:
        """The report for embeddings (N, D), normalised or not, and the photos without a face (N,)."""
        scores, same = self.scores(embeddings, failed), np.asarray(self.same, dtype=bool)
        ordered, fold = Sorted(scores, same), fold_of(self.folds, len(same))
        tallied, folds = ordered.tally(), RULES[self.rule](scores, same, fold)
        metrics, unmeasurable = self._metrics(tallied, folds)
        statistics = score_statistics(scores, same)
        metrics.update(vars(statistics))
        compared = np.isfinite(scores)
        if not compared.all() and same[compared].any() and not same[compared].all():
            left_over = RULES[self.rule](scores[compared], same[compared], fold[compared])
            metrics["accuracy_without_failures"] = left_over.mean
        report = Report(
            self.name,
            metrics,
            self._intervals(
                ordered, fold, folds, [far for far in FARS if metrics[f"tar@far={far_name(far)}"] is not None]
            )
            | self._without_error(metrics),
            {"roc": roc_corners(tallied), "histogram": score_histogram(scores, same)},
            self._protocol(failed, scores, len(folds.accuracies)) | unmeasurable,
            pair_mistakes(self.photos, self.left, self.right, same, scores, float(folds.thresholds.mean()), MISTAKES),
        )
        if self.parts:
            method = self.interval_method()
            pairs = listed_pairs(
                self.left, self.right, same, scores, self.owner, self.shared, self.weights, self.resamples, method
            )
            for part in self.parts:
                report = part(report, pairs)
        return report

    def _metrics(self, tallied: Tally, folds: Folds) -> tuple[dict[str, float | None], dict[str, str | int]]:
        metrics: dict[str, float | None] = {
            "accuracy": folds.mean,
            "std": folds.std,
            "standard_error": folds.standard_error,
            "threshold": float(folds.thresholds.mean()),
            "auc": auc(tallied),
            "eer": eer(tallied),
            "min_dcf": min_dcf(tallied),
        }
        points, unmeasurable = operating_metrics(tallied, FARS, self.impostor_trials, self.shared)
        return metrics | points, unmeasurable

    def _intervals(
        self, ordered: Sorted, fold: NDArray[np.intp], folds: Folds, fars: list[float]
    ) -> dict[str, Interval]:
        if not self.resamples:
            return {"accuracy": self._over_folds(folds)}
        # The grids are other projects' point estimates: their threshold is not drawn anew for an interval.
        exact = self.rule == "exact"
        measure = pair_measure(ordered, fold, fars, exact)
        method = self.interval_method()
        ranges = bootstrap(measure, self.weights())
        if ranges.get("min_dcf") == (0, 0):  # no resample shows what errors would cost
            del ranges["min_dcf"]
        intervals = {name: Interval(*ends, LEVEL, method) for name, ends in ranges.items()}
        intervals["accuracy_over_folds" if exact else "accuracy"] = self._over_folds(folds)
        return intervals

    def _over_folds(self, folds: Folds) -> Interval:
        """By the spread of the folds; where they are all equally accurate it tells nothing, and single trials count."""
        if np.ptp(folds.accuracies) > 0:
            return Interval(*fold_interval(folds), LEVEL, f"t over {len(folds.accuracies)} folds")
        number = self.trials(np.ones(len(self.same), bool))
        words = f"Wilson's, of {number:,} pairs that share no {self.shared}; all folds are equally accurate"
        return Interval(*wilson(folds.mean * number, number), LEVEL, words)

    def _without_error(self, metrics: Mapping[str, float | None]) -> dict[str, Interval]:
        """Intervals of the metrics without an observed error: every resample and fold repeats them exactly.

        AUC and EER need both kinds of pairs, so the fewer trials count.
        """
        genuine = self.trials(np.asarray(self.same, bool))
        pairs, both = self.trials(np.ones(len(self.same), bool)), min(genuine, self.impostor_trials)
        trials = {"accuracy": pairs, "accuracy_over_folds": pairs, "auc": both, "eer": both}
        trials |= {f"tar@far={far_name(far)}": genuine for far in FARS}
        found = {}
        for name, number in trials.items():
            value = metrics.get(name.removesuffix("_over_folds"))
            best = 0.0 if name == "eer" else 1.0
            if value == best or (value == 0 and name.startswith("tar")):
                found[name] = none_seen(value == 1, number, trial_words(number, self.shared, success=value != best))
        return found

    @property
    def shared(self) -> str:
        """What independent pairs do not share: a person, or a photo where people are unknown."""
        return "photo" if self.identity is None else "person"

    @property
    def owner(self) -> NDArray[np.intp] | None:
        """Of each photo (N,), what independent pairs do not share; None if that is the photo itself."""
        return self.shows if self.identity is None else self.identity

    def trials(self, chosen: NDArray[np.bool_]) -> int:
        """How many of the chosen pairs (P,) are independent evidence."""
        return independent_trials(self.left[chosen], self.right[chosen], self.owner)

    @cached_property
    def impostor_trials(self) -> int:
        return self.trials(~np.asarray(self.same, bool))

    def interval_method(self) -> str:
        """How `weights` draws, in words."""
        what = "pairs" if self.identity is None else "identities"
        return f"bootstrap over {what}, {self.resamples} resamples, seed {self.seed}, percentile"

    def weights(self) -> Iterator[FloatArray]:
        """Of the pairs (P,), for each resample."""
        if self.identity is None:
            return pair_weights(len(self.left), self.resamples, self.seed)
        return identity_weights(self.identity[self.left], self.identity[self.right], self.resamples, self.seed)

    def _protocol(self, failed: NDArray[np.bool_] | None, scores: FloatArray, folds: int) -> dict[str, str | int]:
        used = np.union1d(self.left, self.right)  # of photos with masked copies some are in no pair
        missed = int(failed[used].sum()) if failed is not None else 0
        words: dict[str, str | int] = {
            "pairs": len(self.same),
            "genuine pairs": int(np.sum(self.same)),
            "impostor pairs": int(len(self.same) - np.sum(self.same)),
            "photos": len(used),
            "folds": folds,
            "score": "cosine",
            "threshold rule": f"{RULE_WORDS[self.rule]}; the threshold shown is the mean over the folds",
            NO_FACE: missed,
        }
        if len(self.same) != 2 * words["genuine pairs"]:
            commoner, what = max((np.mean(self.same), "accepting"), (1 - np.mean(self.same), "rejecting"))
            words[WITHOUT_MODEL] = f"{100 * commoner:.2f} %, by {what} every pair"
        if missed:
            words["pairs without a comparison"] = (
                f"{int(np.isinf(scores).sum())}: never accepted, so a genuine one is a false non-match"
            )
        photos = int(used[-1]) + 1
        return {**words, **odd_pairs(self.left, self.right, np.asarray(self.same, bool), photos), **self.notes}


def pair_measure(
    ordered: Sorted, fold: NDArray[np.intp], fars: Sequence[float], accuracy: bool = True
) -> Callable[[FloatArray], dict[str, float | None]]:
    """Gives the metrics of a resample, from a weight for each pair (P,); thresholds are chosen anew in each.

    A resample of which only one fold has pairs leaves the accuracy out.
    """
    compared = fold[ordered.compared]

    def measure(weights: FloatArray) -> dict[str, float | None]:
        tallied = ordered.tally(weights)
        if not tallied.genuine_total or not tallied.impostor_total:
            return {}
        found: dict[str, float | None] = {"auc": auc(tallied), "eer": eer(tallied), "min_dcf": min_dcf(tallied)}
        if accuracy and np.count_nonzero(np.bincount(compared, weights[ordered.compared])) > 1:
            found["accuracy"] = weighted_fold_accuracy(ordered, fold, weights).mean
        found.update({f"tar@far={far_name(far)}": tar_at_far(tallied, far).tar for far in fars})
        return found

    return measure


def operating_metrics(
    tallied: Tally, fars: Sequence[float], trials: float, shared: str
) -> tuple[dict[str, float | None], dict[str, str | int]]:
    """TAR, threshold and FMR at each FAR as metrics, and words on those that cannot be measured.

    Args:
        trials: how many of the impostor pairs are independent, see `independent_trials`.
        shared: what those do not share, person or photo.
    """
    metrics: dict[str, float | None] = {}
    words: dict[str, str | int] = {}
    for far in fars:
        point, key = tar_at_far(tallied, far), far_name(far)
        metrics[f"tar@far={key}"] = point.tar if point.measurable else None
        if point.measurable:
            metrics[f"threshold@far={key}"], metrics[f"fmr@far={key}"] = point.threshold, point.fmr
        else:
            words[f"tar@far={key}"] = (
                f"not measurable: {tallied.impostor_total:.0f} impostor pairs without a false match show an FMR below "
                f"{error_bound(trials):.1e} at best (95 %, rule of three, of {trials:,.0f} pairs that share no "
                f"{shared})"
            )
    return metrics, words


def far_name(far: float) -> str:
    """0.001 as 1e-3."""
    return np.format_float_scientific(far, trim="-", exp_digits=1)
