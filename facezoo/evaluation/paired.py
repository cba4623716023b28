"""The same trials with and without something: both reports in one, and the differences with their intervals."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import singledispatch
from typing import Any, TypeAlias

import numpy as np

from facezoo.evaluation.all_pairs import AllPairs
from facezoo.evaluation.ijb import IJB
from facezoo.evaluation.intervals import LEVEL, identity_weights, trial_measure
from facezoo.evaluation.megaface import MegaFace
from facezoo.evaluation.open_set import search_measure
from facezoo.evaluation.outcomes import outcome
from facezoo.evaluation.pair_resampling import deflated, draw_identities, resampled
from facezoo.evaluation.report import BOUNDS, Interval, Report
from facezoo.evaluation.run import Embedded
from facezoo.evaluation.significance import paired_bootstrap
from facezoo.types import FloatArray

Measure: TypeAlias = Callable[[FloatArray], Mapping[str, float | None]]

DIFFERENCE, PLAIN = "difference/", "plain/"

MAIN = ("accuracy", "auc", "eer", "rank1")
"""Metrics that are compared also where no resample tells how sure that is."""


@dataclass(frozen=True, eq=False)
class Resampling:
    """Metrics that can be taken again from a resample.

    Attributes:
        measure: metrics for the weights of a resample.
        weights: those of each resample; the same with and without.
        method: how they are drawn, in words.
        metric: the one that is compared also without resamples.
    """

    measure: Measure
    weights: Callable[[], Iterator[FloatArray]]
    method: str
    metric: str

    def differences(self, other: Resampling) -> dict[str, Interval]:
        """Of each metric less that of the other."""
        drawn = paired_bootstrap([self.measure, other.measure], self.weights())
        return {
            name: Interval(pair.low, pair.high, LEVEL, f"paired {self.method}") for (_, _, name), pair in drawn.items()
        }


@dataclass(frozen=True, eq=False)
class Measured:
    """A report, and what of it can be taken again from resamples."""

    report: Report
    again: Sequence[Resampling] = ()


@singledispatch
def measured(benchmark: Any, embedded: Embedded) -> Measured:
    """The report of a benchmark, and of the kinds whose trials are told apart what resamples take."""
    report, found = benchmark.score(embedded.embeddings, embedded.failed), outcome(benchmark, embedded)
    if found is None:
        return Measured(report)
    return Measured(report, [Resampling(found.measure, found.weights, found.method, found.metric)])


@dataclass(frozen=True, eq=False)
class OfAllPairs(Resampling):
    """Of pairs of identities: the noise that the product counts again is taken out of the difference."""

    def differences(self, other: Resampling) -> dict[str, Interval]:
        def gaps(drawn: FloatArray) -> dict[str, float | None]:
            first, second = self.measure(drawn), other.measure(drawn)
            pairs = {name: (value, second.get(name)) for name, value in first.items()}
            return {name: a - b for name, (a, b) in pairs.items() if a is not None and b is not None}

        drawn = list(self.weights())
        found = deflated(gaps, gaps(np.ones(len(drawn[0]))), iter(drawn), uncut=("eer",))
        return {name: Interval(*ends, LEVEL, f"paired {self.method}") for name, ends in found.items()}


@measured.register
def _of_all_pairs(benchmark: AllPairs, embedded: Embedded) -> Measured:
    """Counted once, for both."""
    counts = benchmark.count(embedded.embeddings, embedded.failed)
    report, measure = benchmark.report(counts, embedded.embeddings), resampled(counts, counts.tally(), benchmark.fars)
    if measure is None:
        return Measured(report)
    people, resamples, seed = len(counts.sizes), benchmark.resamples, benchmark.seed
    method = f"bootstrap over identities, {resamples} resamples, seed {seed}, percentile, deflated but for the eer"
    return Measured(report, [OfAllPairs(measure, lambda: draw_identities(people, resamples, seed), method, "eer")])


@measured.register
def _of_distractors(benchmark: MegaFace, embedded: Embedded) -> Measured:
    """Ranked once, for both."""
    found = benchmark.ranked(embedded.embeddings, embedded.failed)
    measure, people = trial_measure(benchmark.hits(found.ranks), benchmark.identity[found.probe])
    method = f"bootstrap over identities, {benchmark.resamples} resamples, seed {benchmark.seed}, percentile"
    again = Resampling(
        measure, lambda: identity_weights(people, people, benchmark.resamples, benchmark.seed), method, "rank1"
    )
    return Measured(benchmark.report(found), [again])


@measured.register
def _of_templates(benchmark: IJB, embedded: Embedded) -> Measured:
    """1:1 and 1:N are drawn each in its own way."""
    report, again = benchmark.score(embedded.embeddings, embedded.failed), []
    if (pairs := outcome(benchmark, embedded)) is not None:
        again.append(Resampling(pairs.measure, pairs.weights, pairs.method, pairs.metric))
    if (probes := benchmark.probes) is not None:
        vectors, gone = benchmark.vectors(embedded.embeddings, embedded.failed)
        searches = [found for found, _ in benchmark.searches(vectors, gone, probes)]
        of, resamples, seed = probes.subjects, benchmark.resamples, benchmark.seed
        again.append(
            Resampling(
                search_measure(searches, report.metrics, benchmark.fpir_rule),
                lambda: identity_weights(of, of, resamples, seed),
                f"bootstrap over identities of the probes, {resamples} resamples, seed {seed}, percentile",
                "rank1",
            )
        )
    return Measured(report, again)


def differences(masked: Measured, plain: Measured, draws: bool) -> tuple[dict[str, float], dict[str, Interval]]:
    """Of the metrics that both have: those that have intervals, and the main ones."""
    drawn: dict[str, Interval] = {}
    names: dict[str, None] = {}
    for one, other in zip(masked.again, plain.again):
        names[one.metric] = None
        drawn |= one.differences(other) if draws else {}
    values, intervals = {}, {}
    for name in dict.fromkeys([*names, *MAIN, *drawn, *masked.report.intervals]):
        first, second = masked.report.metrics.get(name), plain.report.metrics.get(name)
        if first is None or second is None:
            continue
        values[name] = first - second
        # Without an error in either they differ in no resample: that is no proof that nothing changes.
        if (found := drawn.get(name)) is not None and found.low < found.high:
            intervals[name] = found
    return values, intervals


def difference_tables(title: str, report: Report) -> dict[str, tuple[tuple[str | int | float | None, ...], ...]]:
    """Metrics with and without, and the difference, each with its interval; those of groups in a table of their own."""
    names = [name.removeprefix(DIFFERENCE) for name in report.metrics if name.startswith(DIFFERENCE)]
    groups = list(dict.fromkeys(name.rpartition("/")[0] for name in names))
    tables = {}
    for own in (True, False):
        chosen = [group for group in groups if (group == "") == own]
        found = dict.fromkeys(n.rpartition("/")[2] for n in names if n.rpartition("/")[0] in chosen)
        columns = [name for name in MAIN if name in found] + [name for name in found if name not in MAIN]
        if not columns:
            continue
        rows: list[tuple[str | int | float | None, ...]] = [
            ("", *(word for name in columns for word in (name, *BOUNDS)))
        ]
        for group in chosen:
            for word, prefix in (("masked", ""), ("plain", PLAIN), ("difference", DIFFERENCE)):
                row: list[str | int | float | None] = [f"{group} {word}".strip()]
                for column in columns:
                    name = f"{prefix}{group}/{column}" if group else prefix + column
                    interval = report.intervals.get(name)
                    ends = (None, None) if interval is None else (interval.low, interval.high)
                    row += [report.metrics.get(name), *ends]
                rows.append(tuple(row))
        tables[title if own else f"{title}, by group"] = tuple(rows)
    return tables
