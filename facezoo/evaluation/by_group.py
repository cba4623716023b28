"""A set that has a list of pairs for each group of people: the protocol on each, and all at one threshold."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facezoo.evaluation.group_rates import GroupPart
from facezoo.evaluation.intervals import LEVEL, error_bound, t_quantile, wilson
from facezoo.evaluation.metrics import Sorted, auc, eer
from facezoo.evaluation.photos import Photo
from facezoo.evaluation.report import NO_FACE, Interval, Report
from facezoo.evaluation.score_curves import roc_corners, score_histogram
from facezoo.evaluation.scored_pairs import listed_pairs
from facezoo.evaluation.verification import FARS, Verification, operating_metrics
from facezoo.types import FloatArray, InputError

PER_GROUP = ("accuracy", "std", "eer", "tar@far=1e-3", "threshold")
"""Columns of the table of groups, beside the interval of the accuracy."""


@dataclass(frozen=True, eq=False)
class ByGroup:
    """The k-fold protocol on each group, `African/accuracy`; `accuracy` is the groups' mean and `std` their sample
    deviation. EER, AUC and TAR@FAR are those of all pairs at one threshold, with the rates of each group there.

    Attributes:
        name: of the set.
        groups: the benchmark of each group.
        aligned: alignment template of photos that are crops already; None for raw photos.
        resamples, seed: of the intervals, in place of those of the groups.
    """

    name: str
    groups: Mapping[str, Verification]
    aligned: str | None = None
    resamples: int | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        if not self.groups:
            raise InputError(f"{self.name}: there are no groups")
        changes: dict[str, Any] = {"resamples": self.resamples, "seed": self.seed}
        changes = {key: value for key, value in changes.items() if value is not None}
        groups = {group: replace(benchmark, **changes) for group, benchmark in self.groups.items()}
        object.__setattr__(self, "groups", groups)
        first = next(iter(groups.values()))
        object.__setattr__(self, "resamples", first.resamples)
        object.__setattr__(self, "seed", first.seed)

    @cached_property
    def photos(self) -> Sequence[Photo]:
        """Those of all groups, one behind the other; a name begins with the group's."""
        return [
            replace(photo, name=f"{group}/{photo.name}")
            for group, benchmark in self.groups.items()
            for photo in benchmark.photos
        ]

    @cached_property
    def _starts(self) -> NDArray[np.intp]:
        return np.cumsum([0, *(len(benchmark.photos) for benchmark in self.groups.values())])

    def score(self, embeddings: FloatArray, failed: NDArray[np.bool_] | None = None) -> Report:
        """The report for embeddings (N, D), normalised or not, and the photos without a face (N,)."""
        if embeddings.ndim != 2 or len(embeddings) != self._starts[-1]:
            raise InputError(f"{self.name}: embeddings of shape {embeddings.shape} for {self._starts[-1]} photos")
        reports, scores = {}, []
        for group, benchmark, start, stop in self.each():
            own = embeddings[start:stop]
            lost = None if failed is None else failed[start:stop]
            reports[group] = benchmark.score(own, lost)
            scores.append(benchmark.scores(own, lost))
        report = self._together(reports, np.concatenate(scores))
        for group, found in reports.items():
            report = replace(
                report,
                metrics={**report.metrics, **{f"{group}/{key}": value for key, value in found.metrics.items()}},
                intervals={**report.intervals, **{f"{group}/{key}": value for key, value in found.intervals.items()}},
                curves={**report.curves, f"roc/{group}": found.curves["roc"]},
            )
        return report

    def each(self) -> Iterator[tuple[str, Verification, int, int]]:
        """Each group with its benchmark and where its photos begin and end among all."""
        for (group, benchmark), start in zip(self.groups.items(), self._starts.tolist()):
            yield group, benchmark, start, start + len(benchmark.photos)

    def _together(self, reports: Mapping[str, Report], scores: FloatArray) -> Report:
        """What is told of all groups at once."""
        same = np.concatenate([np.asarray(benchmark.same, bool) for benchmark in self.groups.values()])
        tallied = Sorted(scores, same).tally()
        known = [benchmark.identity is not None for benchmark in self.groups.values()]
        trials = sum(benchmark.impostor_trials for benchmark in self.groups.values())  # no person is in two groups
        points, unmeasurable = operating_metrics(tallied, FARS, trials, "person" if all(known) else "photo")
        accuracies = np.array([report.metrics["accuracy"] for report in reports.values()], np.float64)
        metrics: dict[str, float | None] = {"accuracy": float(accuracies.mean())}
        if len(accuracies) > 1:
            metrics["std"] = float(accuracies.std(ddof=1))
        metrics |= {"auc": auc(tallied), "eer": eer(tallied)} | points
        report = Report(
            self.name,
            metrics,
            {"accuracy": self._interval(reports)},
            {"roc": roc_corners(tallied), "histogram": score_histogram(scores, same)},
            self._protocol(reports) | unmeasurable,
            tuple(
                replace(mistake, left=f"{group}/{mistake.left}", right=f"{group}/{mistake.right}")
                for group, found in reports.items()
                for mistake in found.mistakes
            ),
            tables={"By group": self._table(reports)},
        )
        if len(self.groups) == 1:
            return report
        left, right = (
            np.concatenate([getattr(benchmark, side) + start for _, benchmark, start, _ in self.each()])
            for side in ("left", "right")
        )
        first = next(iter(self.groups.values()))
        pairs = listed_pairs(
            left,
            right,
            same,
            scores,
            *self._owner(),
            self.weights,
            first.resamples,
            self.interval_method(),
        )
        group_of = np.repeat(np.arange(len(self.groups)), np.diff(self._starts))
        return GroupPart(list(self.groups), group_of)(report, pairs)

    def interval_method(self) -> str:
        """How `weights` draws, in words."""
        return f"{next(iter(self.groups.values())).interval_method()}, within each group"

    def _owner(self) -> tuple[NDArray[np.intp], str]:
        """Of the photos of all groups, what independent pairs do not share, and whether that is a person or a photo."""
        if all(each.identity is not None for each in self.groups.values()):
            each_owner, shared = [each.owner for each in self.groups.values()], "person"
        else:
            each_owner, shared = [each.shows for each in self.groups.values()], "photo"
        sizes = [len(each.photos) for each in self.groups.values()]
        owners = [np.arange(size) if owner is None else owner for owner, size in zip(each_owner, sizes)]
        starts = np.cumsum([0, *(int(owner.max()) + 1 for owner in owners)])
        return np.concatenate([owner + start for owner, start in zip(owners, starts.tolist())]), shared

    def weights(self) -> Iterator[FloatArray]:
        """Of the pairs of all groups, for each resample: each group is drawn by itself."""
        for drawn in zip(*(benchmark.weights() for benchmark in self.groups.values())):
            yield np.concatenate(drawn)

    def _interval(self, reports: Mapping[str, Report]) -> Interval:
        """Of the groups' mean accuracy: their standard errors over folds add up as those of independent means do."""
        errors = [report.metrics["standard_error"] or 0.0 for report in reports.values()]
        folds = sum(int(report.protocol["folds"]) for report in reports.values())
        mean = float(np.mean([report.metrics["accuracy"] for report in reports.values()]))
        if mean == 1:  # all error may lie in the group of which least is known
            fewest = min(each.trials(np.ones(len(each.same), bool)) for each in self.groups.values())
            low = 1 - error_bound(fewest) / len(errors)
            return Interval(low, 1.0, LEVEL, f"rule of three, no error in {fewest} independent pairs of each group")
        if not any(errors):  # as all folds of a group are equally accurate
            fewest = min(each.trials(np.ones(len(each.same), bool)) for each in self.groups.values())
            words = f"Wilson's, of {fewest} independent pairs; all folds of each group are equally accurate"
            return Interval(*wilson(mean * fewest, fewest), LEVEL, words)
        reach = t_quantile(LEVEL, folds - len(errors)) * math.sqrt(sum(error**2 for error in errors)) / len(errors)
        method = f"t over {folds} folds of {len(errors)} groups"
        return Interval(max(0.0, mean - reach), min(1.0, mean + reach), LEVEL, method)

    def _table(self, reports: Mapping[str, Report]) -> tuple[tuple[str | float | None, ...], ...]:
        head = ("group", "pairs", "no face", PER_GROUP[0], "from", "to", *PER_GROUP[1:])
        rows: list[tuple[str | float | None, ...]] = [head]
        for group, found in reports.items():
            interval = found.intervals["accuracy"]
            rows.append(
                (
                    group,
                    int(found.protocol["pairs"]),
                    int(found.protocol[NO_FACE]),
                    found.metrics[PER_GROUP[0]],
                    interval.low,
                    interval.high,
                    *(found.metrics[key] for key in PER_GROUP[1:]),
                )
            )
        return tuple(rows)

    def _protocol(self, reports: Mapping[str, Report]) -> dict[str, str | int | float]:
        first = next(iter(reports.values())).protocol
        words: dict[str, str | int | float] = {
            key: sum(int(report.protocol[key]) for report in reports.values())
            for key in ("pairs", "genuine pairs", "impostor pairs", "photos", NO_FACE)
        }
        words["groups"] = f"{', '.join(reports)}; each is scored by itself, accuracy is their mean, std theirs"
        words |= {key: first[key] for key in ("folds", "score", "threshold rule")}
        for group, benchmark in self.groups.items():
            words |= {f"{group}: {key}": note for key, note in benchmark.notes.items()}
        return words
