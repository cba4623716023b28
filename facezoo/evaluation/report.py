"""What a benchmark found: metrics, intervals, curves and the protocol they were taken by; table and JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

from pydantic import TypeAdapter, ValidationError

from facezoo import __version__
from facezoo.files import write_text
from facezoo.types import Contract, InputError


@dataclass(frozen=True)
class Interval:
    """Where a metric lies with the probability `level`, and how that was found."""

    low: float
    high: float
    level: float
    method: str


@dataclass(frozen=True)
class Mistake:
    """A pair on the wrong side of the threshold, or a search that brought up a wrong identity.

    Attributes:
        left, right: names of the photos; of a search the probe, and a photo of the identity that came first.
        same: whether they show one person.
        score: None without a comparison.
        search: whether `right` was found by a search.
        of: what the two photos stand for, such as template 17, where that is more than the photo.
    """

    left: str
    right: str
    same: bool
    score: float | None
    search: bool = False
    of: tuple[str, str] | None = None


@dataclass(frozen=True)
class Speed:
    """How long the embedding took, reading and aligning included: not part of the result."""

    photos: int
    seconds: float

    @property
    def photos_per_second(self) -> float:
        return self.photos / self.seconds if self.seconds > 0 else 0.0


@dataclass(frozen=True)
class Report:
    """The result of one benchmark.

    Attributes:
        name: of the benchmark.
        metrics: by name; rates in 0 .. 1; None where a metric cannot be measured on so few pairs.
        intervals: of the metrics that have one.
        curves: points by curve and axis: `roc` (threshold, fmr, fnmr), `histogram` (edges, genuine, impostor),
            `cmc` (rank, rate), `open_set` (threshold, fpir, fnir), `edc` (discarded, fnmr), `growth` (size, rate);
            of several groups or measures `roc/African`, `edc/sharpness`.
        protocol: how the numbers were taken, in words and counts.
        mistakes: the worst false matches and false non-matches.
        contract: of the model; None where only embeddings were scored.
        version: of facezoo.
        speed: None where only embeddings were scored.
        tables: by title; the first row names the columns, the first column names the rows.
    """

    name: str
    metrics: Mapping[str, float | None]
    intervals: Mapping[str, Interval] = field(default_factory=dict)
    curves: Mapping[str, Mapping[str, list[float]]] = field(default_factory=dict)
    protocol: Mapping[str, str | int | float] = field(default_factory=dict)
    mistakes: tuple[Mistake, ...] = ()
    contract: Contract | None = None
    version: str = __version__
    speed: Speed | None = None
    tables: Mapping[str, tuple[tuple[str | int | float | None, ...], ...]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON; all but `speed` is the same in every run."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Report:
        try:
            return TypeAdapter(cls).validate_python(values)
        except ValidationError as error:
            first = error.errors()[0]
            raise InputError(f"report: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None

    def without_speed(self) -> Report:
        return replace(self, speed=None)


def to_json(reports: Sequence[Report]) -> str:
    return json.dumps([report.to_dict() for report in reports], indent=2, allow_nan=False) + "\n"


def write_json(reports: Sequence[Report], path: Path) -> None:
    write_text(path, to_json(reports))


def read_json(path: Path) -> list[Report]:
    """The reports of a file written by `write_json`."""
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not valid JSON: {error}") from None
    if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
        raise InputError(f"{path}: not a list of reports")
    return [Report.from_dict(value) for value in values]


PERCENT = ("accuracy", "std", "standard_error", "eer", "fmr", "fnmr", "tar", "rank", "tpir", "fpir")
"""Metrics whose name begins so are shown in percent; a group may stand before it, as in African/fmr."""

UNMEASURED = "n/m"
NUMBERS = re.compile(r"(?:[\d\s.,e%*\[\]+-]|n/m)*")
BOUNDS = ("from", "to")
"""Two columns of a report's table: the interval of the column before."""

INTERVAL = "95 % interval"


def show(metric: str, value: float | None) -> str:
    """A metric as people read it: rates in percent, what cannot be measured as n/m."""
    if value is None:
        return UNMEASURED
    if _is_rate(metric):
        # Two decimals would make nothing of a rate of one in a million.
        return f"{100 * value:.2f} %" if value == 0 or abs(value) >= 1e-3 else f"{100 * value:.2g} %"
    return f"{value:.4f}"


def _is_rate(metric: str) -> bool:
    return metric.rpartition("/")[2].startswith(PERCENT)


def shown_cosine(cosine: float) -> str:
    """Four decimals, or six where the number has more."""
    return f"{cosine:.6f}".removesuffix("00")


Table: TypeAlias = Sequence[Sequence[str | int | float | None]]
"""The first row names the columns, the first column names the rows."""


def shown_table(title: str, rows: Table) -> list[list[str]]:
    """The cells of one of a report's tables as people read them.

    A column is a rate by its own name; where no name tells, all are by the title. `from` and `to` are the interval
    of the column before, and become one column.
    """
    head = [str(name) for name in rows[0]]
    rates = [False]
    for name in head[1:]:
        rates.append(rates[-1] if name in BOUNDS else _is_rate(name.lower()))
    if not any(rates):
        rates = [False, *[_is_rate(title.lower())] * (len(head) - 1)]

    # An AUC of 1 beside others, or beside its interval, is 1.0000, and no count.
    owner = [max(k for k in range(place + 1) if head[k] not in BOUNDS) for place in range(len(head))]
    broken = {owner[place] for row in rows[1:] for place, value in enumerate(row) if _broken(value)}

    def cell(value: str | int | float | None, rate: bool, counts: bool) -> str:
        if value is None or isinstance(value, str):
            return UNMEASURED if value is None else value
        if isinstance(value, float) and rate:
            return show("fmr", value)
        if counts or (value == int(value) and abs(value) > 1):
            return f"{int(value):,}"
        # What was rounded to be handed on, such as a recommended threshold, is shown as it is.
        if abs(value - round(value, 6)) < 1e-12:
            return shown_cosine(value)
        return f"{value:.4f}" if 1e-3 <= abs(value) < 1 else f"{value:.4g}"

    def cells(row: Sequence[str | int | float | None]) -> list[str]:
        shown = [cell(value, rates[place], owner[place] not in broken) for place, value in enumerate(row)]
        found = []
        for place, name in enumerate(head):
            if name not in BOUNDS:
                found.append(shown[place])
            elif name == BOUNDS[0]:
                ends = (text.removesuffix(" %") for text in shown[place : place + 2])
                known = any(value is not None for value in row[place : place + 2])
                found.append(f"[{', '.join(ends)}]" if known else "")
        return found

    names = [INTERVAL if name == BOUNDS[0] else name for name in head if name != BOUNDS[1]]
    return [names, *map(cells, rows[1:])]


def _broken(value: str | int | float | None) -> bool:
    return isinstance(value, float) and value != int(value)


def show_interval(metric: str, interval: Interval | None) -> str:
    if interval is None:
        return ""
    return f"[{show(metric, interval.low).removesuffix(' %')}, {show(metric, interval.high).removesuffix(' %')}]"


NO_FACE = "photos without a face"
UNREADABLE = "unreadable photos"
WITH_ITSELF = "pairs of a photo with itself"
LISTED_AGAIN = "pairs listed again"
LISTED_AS_BOTH = "pairs listed as both"
RECOMMENDED = "recommended"
"""Keys of the protocol; the last is a sentence on the metric `threshold`."""

COLUMNS = (
    "accuracy",
    "std",
    "auc",
    "eer",
    "tar@far=1e-2",
    "tar@far=1e-3",
    "tar@far=1e-4",
    "rank1",
    "rank10",
    "tpir@fpir=1e-1",
    "tpir@fpir=1e-2",
)


RANGED = ("accuracy", "rank1")
"""Columns beside which their intervals stand."""


def table(reports: Sequence[Report], columns: Sequence[str] = COLUMNS) -> str:
    """One row for each report, as text; columns that no report has measured are left out."""
    return aligned_columns(table_rows(reports, columns))


def aligned_columns(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells as lines of text with a rule below the first; words are flush left, numbers right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    words = [column == 0 or not numbers([row[column] for row in rows[1:]]) for column in range(len(widths))]

    def line(row: Sequence[str]) -> str:
        cells = (cell.ljust(width) if left else cell.rjust(width) for cell, width, left in zip(row, widths, words))
        return "  ".join(cells).rstrip()

    lines = [line(row) for row in rows]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def numbers(cells: Sequence[str]) -> bool:
    """Whether a column holds numbers, intervals or nothing, and no words."""
    return all(NUMBERS.fullmatch(cell) for cell in cells)


def table_rows(reports: Sequence[Report], columns: Sequence[str] = COLUMNS) -> list[list[str]]:
    """The cells of `table`, names first."""
    head, cells = ["benchmark"], [[report.name] for report in reports]

    def add(title: str, values: Sequence[str]) -> None:
        if any(values):
            head.append(title)
            for row, value in zip(cells, values):
                row.append(value)

    for what in ("pairs", "probes"):
        counts = [report.protocol.get(what) for report in reports]
        add(what, [f"{count:,}" if isinstance(count, int) else "" for count in counts])
    for column in columns:
        if all(report.metrics.get(column) is None for report in reports):
            continue
        add(column, [show(column, report.metrics[column]) if column in report.metrics else "" for report in reports])
        if column in RANGED:
            ranges = [report.intervals.get(column) for report in reports]
            level = next((f"{100 * found.level:g} % interval" for found in ranges if found), "")
            add(level, [show_interval(column, found) for found in ranges])
    missed = [report.protocol.get(NO_FACE, 0) for report in reports]
    add("no face", [str(count) for count in missed] if any(missed) else [])
    add("photos/s", [f"{report.speed.photos_per_second:.1f}" if report.speed else "" for report in reports])
    return [head, *cells]
