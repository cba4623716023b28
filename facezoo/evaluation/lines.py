"""The curves of reports as lines of a figure: names, looks, and the point of equal errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from facezoo.evaluation.report import Report
from facezoo.types import FloatArray

LINES = ("#2166ac", "#d6604d", "#4d9221", "#8073ac", "#b35806", "#35978f", "#c51b7d", "#636363")
DASHES: tuple[Any, ...] = ("-", (0, (4, 2)), (0, (1.5, 1.5)), (0, (7, 2, 1.5, 2)))
"""A later line that lies on an earlier one leaves it to be seen between its dashes."""

LARGEST_FLOOR = 0.01


@dataclass(frozen=True)
class Line:
    """A curve with its name in the legend.

    Attributes:
        points: by axis.
        equal: the rate at which the errors are equal.
        trials: how many a rate is a share of, by axis, as far as that is known.
    """

    label: str
    points: Mapping[str, list[float]]
    equal: float | None = None
    trials: Mapping[str, int] = field(default_factory=dict)

    @property
    def shown(self) -> str:
        """For matplotlib, which takes what stands between dollars for a formula and hides what begins with _."""
        name = self.label.replace("$", r"\$")
        return f" {name}" if name.startswith("_") else name

    def axis(self, name: str) -> FloatArray:
        return np.array(self.points[name])

    def floor(self, name: str) -> float:
        """Half of the smallest rate that was or could have been seen: where a rate of 0 is drawn."""
        rates = self.axis(name)
        could = 1 / self.trials[name] if self.trials.get(name) else LARGEST_FLOOR
        return float(rates[rates > 0].min(initial=could)) / 2


def lines_of(report: Report, kind: str) -> list[Line]:
    """The curves `kind` and `kind/GROUP` of a report, the former first."""
    found = []
    if kind in report.curves:
        found.append(Line("all", report.curves[kind], report.metrics.get("eer"), _trials(report)))
    for name, points in report.curves.items():
        if name.startswith(f"{kind}/"):
            group = name.removeprefix(f"{kind}/")
            found.append(Line(group, points, report.metrics.get(f"{group}/eer"), _trials(report, f"{group}: ")))
    return found


def _trials(report: Report, of: str = "") -> dict[str, int]:
    """Pairs that the rates of a curve are shares of, by the words of the protocol that begin so."""
    return {
        rate: number
        for rate, key in (("fmr", "impostor pairs"), ("fnmr", "genuine pairs"))
        if isinstance(number := report.protocol.get(f"{of}{key}"), int)
    }


def lines_over(reports: Sequence[Report], kind: str) -> list[Line]:
    """One line for each report by its name; of a report that only has groups all of them."""
    found = []
    for report in reports:
        lines = lines_of(report, kind)
        if kind in report.curves:
            found.append(replace(lines[0], label=report.name))
        else:
            found += [replace(line, label=f"{report.name} {line.label}") for line in lines]
    return found


def styles(lines: Sequence[Line]) -> list[dict[str, Any]]:
    """Colour, width and dashes of each line; the first is drawn below the others and is the widest."""
    return [
        {"color": LINES[k % len(LINES)], "ls": DASHES[k % len(DASHES)], "lw": 1.6 if k or len(lines) == 1 else 2.4}
        for k in range(len(lines))
    ]


def floor_with_equal(line: Line, name: str) -> float:
    """As `Line.floor`, below the rate of equal errors too, which lies between two that were seen."""
    return min(line.floor(name), line.equal / 2) if line.equal else line.floor(name)


def with_equal(line: Line) -> tuple[FloatArray, FloatArray]:
    """FMR, rising, and FNMR of a ROC together with its point of equal errors, which a thinned curve has not."""
    fmr, fnmr = line.axis("fmr"), line.axis("fnmr")
    if not line.equal:
        return fmr, fnmr
    place = int(np.searchsorted(fnmr - fmr < 0, True))
    return np.insert(fmr, place, line.equal), np.insert(fnmr, place, line.equal)
