"""Error rates of the groups of a benchmark at its thresholds, within and across them, with intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from facezoo.evaluation.fairness import GroupErrors, between
from facezoo.evaluation.intervals import LEVEL, bootstrap, error_bound, none_seen, trial_words
from facezoo.evaluation.metrics import Tally, eer, tar_at_far
from facezoo.evaluation.report import Interval, Report
from facezoo.evaluation.scored_pairs import ScoredPairs, thinned_roc
from facezoo.types import FloatArray

Rows: TypeAlias = tuple[tuple[str | float | None, ...], ...]

OWN_FAR = 1e-3
"""Each group's own threshold is given at this FMR."""


@dataclass(frozen=True, eq=False)
class GroupPart:
    """Error rates by group at the report's thresholds, cross-group rates and fairness indices."""

    names: Sequence[str]
    groups: NDArray[np.intp]

    def __call__(self, report: Report, pairs: ScoredPairs) -> Report:
        metrics, intervals, curves = dict(report.metrics), dict(report.intervals), dict(report.curves)
        tables, protocol = dict(report.tables), dict(report.protocol)
        unknown = int((self.groups < 0).sum())
        protocol["groups"] = f"{', '.join(self.names)}; {unknown} photos in none"
        for place, name in enumerate(self.names):
            tallied = self._tally(pairs, place)
            if tallied is None:
                protocol[f"group {name}"] = "not measurable: has no genuine or no impostor pair"
                continue
            protocol[f"{name}: genuine pairs"] = round(tallied.genuine_total)
            protocol[f"{name}: impostor pairs"] = round(tallied.impostor_total)
            if pairs.floor < pairs.ceiling:
                curves[f"roc/{name}"] = thinned_roc(tallied, pairs.floor, pairs.ceiling)
            point = tar_at_far(tallied, OWN_FAR)
            if point.measurable and point.threshold > pairs.floor:
                metrics[f"{name}/threshold@far=1e-3"] = point.threshold
            if pairs.floor == -np.inf and pairs.ceiling == np.inf:
                metrics[f"{name}/eer"] = eer(tallied)
        trials = pairs.trials(self.groups, len(self.names))
        for key in [key for key in report.metrics if key.startswith("threshold@far=")]:
            threshold, far = report.metrics[key], key.removeprefix("threshold@")
            if threshold is None:
                continue
            if not pairs.floor < threshold <= pairs.ceiling:
                protocol[f"groups at {far}"] = "not counted: not every score that decides there is held singly"
                continue
            counted = self.errors(pairs, threshold)
            errors, found = counted(None), self._intervals(counted, pairs, trials)
            indices = errors.indices()
            metrics |= {f"{name}@{far}": value for name, value in self._values(errors).items()}
            intervals |= {f"{name}@{far}": interval for name, interval in found.items()}
            tables[f"Groups at {far.replace('far=', 'FMR ')}, threshold {threshold:.4f}"] = self._table(errors, found)
            if (cross := self._cross(errors)) is not None:
                tables[f"FMR across groups at {far.replace('far=', 'FMR ')}"] = cross
            if indices and indices["inequity"] is None:
                protocol[f"inequity@{far}"] = (
                    f"not defined, and fdr and garbe have no interval: {_without_error(errors, trials, pairs.shared)}"
                )
        return replace(report, metrics=metrics, intervals=intervals, curves=curves, tables=tables, protocol=protocol)

    def errors(self, pairs: ScoredPairs, threshold: float) -> Callable[[FloatArray | None], GroupErrors]:
        """Gives the errors at one threshold for all: of a resample, or of None, plainly."""
        number = len(self.names)
        accepted = pairs.scores >= threshold
        kinds = [np.flatnonzero(accepted & ~pairs.same), np.flatnonzero(~accepted & pairs.same)]
        sides = [(self.groups[pairs.left[kind]], self.groups[pairs.right[kind]]) for kind in kinds]

        def counted(drawn: FloatArray | None) -> GroupErrors:
            impostor, genuine = pairs.totals(self.groups, number, drawn)
            matches, misses = (
                between(*side, number, pairs.weigh(drawn, kind)) for side, kind in zip(sides, kinds, strict=True)
            )
            return GroupErrors(self.names, impostor, matches, genuine, np.diagonal(misses))

        return counted

    def _tally(self, pairs: ScoredPairs, place: int) -> Tally | None:
        """Of the pairs within a group."""
        mine = (self.groups[pairs.left] == place) & (self.groups[pairs.right] == place)
        impostor, genuine = pairs.totals(self.groups, len(self.names), None)
        chosen = np.flatnonzero(mine & np.isfinite(pairs.scores))
        if not len(chosen) or not impostor[place, place] or not genuine[place]:
            return None
        distinct, index = np.unique(pairs.scores[chosen], return_inverse=True)
        weight, same = pairs.weigh(None, chosen), pairs.same[chosen]
        genuines, impostors = (np.bincount(index[kind], weight[kind], len(distinct)) * 1.0 for kind in (same, ~same))
        if np.isfinite(pairs.ceiling):  # those that are not held are accepted at every threshold up to there
            held = pairs.weigh(None, np.flatnonzero(mine & pairs.same)).sum()
            genuines[-1] += max(0.0, float(genuine[place]) - float(held))
        return Tally(distinct, genuines, impostors, float(genuine[place]), float(impostor[place, place]))

    def _values(self, errors: GroupErrors) -> dict[str, float | None]:
        values: dict[str, float | None] = dict(errors.indices())
        for name, fmr, fnmr in zip(self.names, errors.fmr, errors.fnmr, strict=True):
            values[f"{name}/fmr"] = float(fmr) if np.isfinite(fmr) else None
            values[f"{name}/fnmr"] = float(fnmr) if np.isfinite(fnmr) else None
        return values

    def _intervals(
        self,
        counted: Callable[[FloatArray | None], GroupErrors],
        pairs: ScoredPairs,
        trials: tuple[FloatArray, FloatArray],
    ) -> dict[str, Interval]:
        """Of the rates and indices. A rate of 0 or 1 has the rule of three, and of 0 the indices have none: no resample
        shows what errors that group would make.

        Args:
            trials: independent impostor and genuine pairs of each group, (G,) each.
        """
        found: dict[str, Interval] = {}
        if pairs.resamples:
            ranges = bootstrap(lambda drawn: self._values(counted(drawn)), pairs.draw())
            found = {name: Interval(*ends, LEVEL, pairs.method) for name, ends in ranges.items()}
        errors = counted(None)
        for kind, rates, numbers in (("fmr", errors.fmr, trials[0]), ("fnmr", errors.fnmr, trials[1])):
            for name, rate, number in zip(self.names, rates, numbers, strict=True):
                if rate in (0, 1):
                    words = trial_words(number, pairs.shared, success=rate == 1)
                    found[f"{name}/{kind}"] = none_seen(rate == 1, number, words)
        if errors.indices().get("inequity") is None:
            found.pop("fdr", None)
            found.pop("garbe", None)
            found.pop("inequity", None)
        return found

    def _table(self, errors: GroupErrors, intervals: Mapping[str, Interval]) -> Rows:
        head = ("group", "genuine pairs", "FNMR", "from", "to", "impostor pairs", "FMR", "from", "to")
        rows: list[tuple[str | float | None, ...]] = [head]
        values = self._values(errors)
        for place, name in enumerate(self.names):
            cells: list[str | float | None] = [name]
            for kind, total in (("fnmr", errors.genuine[place]), ("fmr", errors.impostor[place, place])):
                found = intervals.get(f"{name}/{kind}")
                cells += [float(total), values[f"{name}/{kind}"]]
                cells += [found.low, found.high] if found else [None, None]
            rows.append(tuple(cells))
        return tuple(rows)

    def _cross(self, errors: GroupErrors) -> Rows | None:
        """The FMR between any two groups; None where no pair goes across, as in RFW."""
        rates = errors.cross_fmr
        if not np.isfinite(rates[~np.eye(len(rates), dtype=bool)]).any():
            return None
        return (
            ("group", *self.names),
            *(
                (name, *(float(rate) if np.isfinite(rate) else None for rate in row))
                for name, row in zip(self.names, rates, strict=True)
            ),
        )


def _without_error(errors: GroupErrors, trials: tuple[FloatArray, FloatArray], shared: str) -> str:
    words = []
    for kind, rates, numbers in (
        ("false match", errors.fmr, trials[0]),
        ("false non-match", errors.fnmr, trials[1]),
    ):
        for name, rate, number in zip(errors.groups, rates, numbers, strict=True):
            if rate == 0:
                bound = error_bound(number)
                where = f"in {number:.0f} pairs that share no {shared}"
                words.append(f"{name} has no {kind} {where}, so a rate below {bound:.1e} (95 %)")
    return "; ".join(words)
