"""Models side by side on the same benchmarks: differences with intervals, and the trials on which they part."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from facezoo.evaluation.intervals import LEVEL
from facezoo.evaluation.outcomes import Outcome, outcome
from facezoo.evaluation.report import Interval, Mistake, Report, show
from facezoo.evaluation.run import Benchmark, Embedded
from facezoo.evaluation.significance import holm, mcnemar, paired_bootstrap
from facezoo.files import write_text
from facezoo.types import InputError

DISAGREEMENTS = 6
"""Trials shown of each kind."""


@dataclass(frozen=True)
class Difference:
    """What parts two models on one benchmark in one metric.

    Attributes:
        benchmark, metric: where and in what.
        first, second: the models.
        value: first minus second.
        interval: of the difference; None without resamples, or if the models differ in none of them.
        p: two-sided, of one test alone.
        adjusted: the same for all pairs of models together in this metric of this benchmark, by Holm.
        test: how p was found; of McNemar's with the trials that only the first and only the second has right.
    """

    benchmark: str
    metric: str
    first: str
    second: str
    value: float
    interval: Interval | None
    p: float
    adjusted: float
    test: str

    @property
    def significant(self) -> bool:
        return self.adjusted < 1 - LEVEL


@dataclass(frozen=True)
class Disagreement:
    """A trial that one model has right and another wrong; what is shown is what the wrong one saw."""

    benchmark: str
    right: str
    wrong: str
    mistake: Mistake
    score: float | None


@dataclass(frozen=True)
class Comparison:
    """Models on the same benchmarks.

    Attributes:
        models: their names.
        reports: by benchmark, those of the models in their order.
        differences: of any two models, where the benchmark can be tested in pairs.
        disagreements: the clearest trials.
        notes: what a reader should know, by benchmark.
    """

    models: tuple[str, ...]
    reports: Mapping[str, tuple[Report, ...]]
    differences: tuple[Difference, ...]
    disagreements: tuple[Disagreement, ...]
    notes: Mapping[str, str]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Comparison:
        try:
            return TypeAdapter(cls).validate_python(values)
        except ValidationError as error:
            first = error.errors()[0]
            raise InputError(f"comparison: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def write_comparison(comparison: Comparison, path: Path) -> None:
    """As JSON, which `Comparison.from_dict` takes back."""
    write_text(path, json.dumps(comparison.to_dict(), indent=2, allow_nan=False) + "\n")


def compare(
    models: Sequence[str],
    benchmarks: Sequence[Benchmark],
    reports: Sequence[Sequence[Report]],
    embedded: Sequence[Sequence[Embedded]],
) -> Comparison:
    """Test every two models on every benchmark.

    Args:
        models: names, all different.
        benchmarks: with different names.
        reports, embedded: for each benchmark those of each model.
    """
    if len(set(models)) < max(2, len(models)):
        raise InputError(f"compare: two models or more of different names are needed, not {', '.join(models)}")
    names = [benchmark.name for benchmark in benchmarks]
    if len(set(names)) < len(names):
        raise InputError(f"compare: two benchmarks have one name, of {', '.join(names)}; give them others (name=)")
    differences: list[Difference] = []
    disagreements: list[Disagreement] = []
    notes = {}
    for benchmark, found, vectors in zip(benchmarks, reports, embedded, strict=True):
        outcomes = [outcome(benchmark, each) for each in vectors]
        known = [each for each in outcomes if each is not None]
        if len(known) < len(models):
            notes[benchmark.name] = (
                "side by side only: the trials of this benchmark are not told apart, so none is paired"
            )
            continue
        differences += _differences(models, benchmark, found, known)
        disagreements += _disagreements(models, benchmark, known)
        first = f"{known[0].metric}: McNemar's exact test; all others: " if known[0].independent else ""
        notes[benchmark.name] = f"{first}paired {known[0].method}"
    return Comparison(
        tuple(models),
        {benchmark.name: tuple(found) for benchmark, found in zip(benchmarks, reports, strict=True)},
        _adjusted(differences),
        tuple(disagreements),
        notes,
    )


def _differences(
    models: Sequence[str], benchmark: Any, reports: Sequence[Report], outcomes: Sequence[Outcome]
) -> list[Difference]:
    drawn = paired_bootstrap([each.measure for each in outcomes], outcomes[0].weights()) if benchmark.resamples else {}
    found = []
    for first in range(len(models)):
        for second in range(first + 1, len(models)):
            metrics = {name: pair for (a, b, name), pair in drawn.items() if (a, b) == (first, second)}
            for name in dict.fromkeys([outcomes[0].metric, *metrics]):
                left, right = (reports[k].metrics.get(name) for k in (first, second))
                if left is None or right is None:
                    continue
                interval, p, test = None, 1.0, ""
                if pair := metrics.get(name):
                    p, test = pair.p, "bootstrap"
                    # Two models without an error differ in no resample: that is no proof that they are equal.
                    if pair.low < pair.high:
                        interval = Interval(pair.low, pair.high, LEVEL, f"paired {outcomes[0].method}")
                if name == outcomes[0].metric and outcomes[0].independent:
                    counted = mcnemar(outcomes[first].right, outcomes[second].right)
                    p = counted.p
                    test = f"McNemar {counted.first_only} : {counted.second_only}"
                if not test:  # neither resamples nor independent trials
                    continue
                found.append(
                    Difference(benchmark.name, name, models[first], models[second], left - right, interval, p, p, test)
                )
    return found


def _adjusted(differences: Sequence[Difference]) -> tuple[Difference, ...]:
    """Holm over the pairs of models, of each metric of each benchmark for itself."""
    families: dict[tuple[str, str], list[int]] = {}
    for place, each in enumerate(differences):
        families.setdefault((each.benchmark, each.metric), []).append(place)
    found = list(differences)
    for places in families.values():
        for place, p in zip(places, holm([differences[k].p for k in places]), strict=True):
            found[place] = replace(differences[place], adjusted=float(p))
    return tuple(found)


def _disagreements(models: Sequence[str], benchmark: Any, outcomes: Sequence[Outcome]) -> list[Disagreement]:
    """Of every two models the trials that one has most clearly right and the other most clearly wrong."""
    if not len(benchmark.photos):
        return []
    found = []
    for right, good in enumerate(outcomes):
        for wrong, bad in enumerate(outcomes):
            apart = np.flatnonzero(good.right & ~bad.right)
            # A trial without a comparison is the clearest mistake there is, but shows nothing of the model.
            gap = np.where(np.isfinite(bad.margin[apart]), good.margin[apart] - bad.margin[apart], -np.inf)
            for trial in apart[np.argsort(-gap, kind="stable")][:DISAGREEMENTS]:
                mistake, other = bad.shown(int(trial)), good.shown(int(trial))
                found.append(Disagreement(benchmark.name, models[right], models[wrong], mistake, other.score))
    return found


def difference_rows(comparison: Comparison) -> list[list[str]]:
    """The differences as people read them, head first."""
    rows = [["metric", "models", "difference", "95 % interval", "p", "p, Holm", "test"]]
    for each in comparison.differences:
        rows.append(
            [
                f"{each.benchmark}/{each.metric}",
                f"{each.first} - {each.second}",
                _signed(each.metric, each.value),
                f"[{_signed(each.metric, each.interval.low)}, {_signed(each.metric, each.interval.high)}]"
                if each.interval
                else "",
                f"{each.p:.2g}",
                f"{each.adjusted:.2g}{' *' if each.significant else ''}",
                each.test,
            ]
        )
    return rows


def _signed(metric: str, value: float) -> str:
    """A difference of rates in percentage points."""
    shown = show(metric, value).removesuffix(" %")
    if float(shown) == 0:
        return shown.removeprefix("-")
    return f"+{shown}" if value > 0 else shown


def side_by_side(comparison: Comparison, metrics: Sequence[str] | None = None) -> dict[str, list[list[str]]]:
    """By benchmark a table: a row for each metric, a column for each model."""
    tables = {}
    for name, reports in comparison.reports.items():
        shared = dict.fromkeys(key for report in reports for key in report.metrics)
        rows = [["metric", *comparison.models]]
        for key in shared if metrics is None else metrics:
            if any(report.metrics.get(key) is not None for report in reports):
                rows.append([key, *(show(key, report.metrics.get(key)) for report in reports)])
        tables[name] = rows
    return tables
