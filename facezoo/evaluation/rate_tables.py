"""The table of a report that has a row for each target of false matches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

from facezoo.evaluation.report import Interval
from facezoo.evaluation.verification import far_name

Rows: TypeAlias = tuple[tuple[str | float | None, ...], ...]

RATES = {"tar": ("FAR", "TAR", "tar@far"), "fnmr": ("FMR", "FNMR", "fnmr@fmr")}
"""By the rate that is told: the heads of the first two columns, and the name of its metric."""


def rate_table(
    metrics: Mapping[str, float | None],
    intervals: Mapping[str, Interval],
    fars: Sequence[float],
    rate: Literal["tar", "fnmr"],
) -> Rows:
    """The rate, the FMR that was met and the threshold at each FAR, with the intervals of rate and threshold.

    Columns that a report has nothing for, such as the threshold by the rule of the IJB scripts, are left out.
    """
    target, name, metric = RATES[rate]
    columns = ((name, metric), ("FMR met", "fmr@far"), ("threshold", "threshold@far"))
    keys = [far_name(far) for far in fars]
    head: list[str] = [target]
    rows: list[list[str | float | None]] = [[key] for key in keys]
    for title, kind in columns:
        names = [f"{kind}={key}" for key in keys]
        if not any(each in metrics for each in names):
            continue
        head.append(title)
        for row, each in zip(rows, names, strict=True):
            row.append(metrics.get(each))
        found = [intervals.get(each) for each in names]
        if any(found) and title != "FMR met":  # whose interval is for one threshold, of another question
            head += ["from", "to"]
            for row, each_interval in zip(rows, found, strict=True):
                row += [each_interval.low, each_interval.high] if each_interval else [None, None]
    return (tuple(head), *map(tuple, rows))
