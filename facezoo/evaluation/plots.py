"""Figures of a report: ROC, DET, CMC, open set, growth, discarding, scores. matplotlib is imported when one is drawn.

A curve may be thinned to some of its own points: error curves are therefore drawn in steps, which between two points
show the worse rate and never a better one than was measured.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

from facezoo.evaluation.lines import LARGEST_FLOOR, Line, floor_with_equal, lines_of, lines_over, styles, with_equal
from facezoo.evaluation.report import Report
from facezoo.types import FloatArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GENUINE, IMPOSTOR = "#2166ac", "#d6604d"
DET_TICKS = (1e-3, 0.01, 0.05, 0.1, 0.2, 0.4)
DET_FAR_TICKS = (1e-8, 1e-6, 1e-4, 1e-2, 0.1, 0.4)
"""Those of a figure that reaches below the others; more would overlap."""

LAST_LINEAR = 20
"""Ranks and sizes up to here stand on a linear axis."""

DET_TOP = 0.5
SHOWN_THRESHOLDS = (
    "threshold",
    "threshold@far=1e-4",
    "threshold@far=1e-3",
    "threshold@fpir=1e-2",
    "threshold@fpir=1e-1",
)
"""The first of these that a report has is drawn into its histogram."""


@contextmanager
def house_style() -> Iterator[None]:
    """Quiet axes and text that stays text; the same figure gives the same bytes."""
    import matplotlib

    style: Any = {  # its type is the list of all settings of matplotlib
        "svg.fonttype": "none",
        "svg.hashsalt": "facezoo",
        "savefig.transparent": True,  # the page is light or dark
        "font.family": "sans-serif",
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": "#888888",
        "axes.labelcolor": "#333333",
        "axes.titlesize": 10,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": "#e0e0e0",
        "grid.linewidth": 0.7,
        "xtick.color": "#555555",
        "ytick.color": "#555555",
        "legend.frameon": False,
        "legend.fontsize": 8,
    }
    with matplotlib.rc_context(style):
        yield


def report_figures(report: Report) -> list[tuple[Figure, str]]:
    """Every figure for which a report has a curve, each with a sentence for those who cannot see it."""
    drawn = [
        (DRAWERS[kind](lines), f"{words} of {report.name}")
        for kind, words in KINDS.items()
        if (lines := lines_of(report, kind))
    ]
    if "roc" in {name.partition("/")[0] for name in report.curves}:
        drawn.insert(1, (det_lines(lines_of(report, "roc")), f"DET of {report.name}"))
    if "histogram" in report.curves:
        drawn.append((histogram_figure(report), f"genuine and impostor scores of {report.name}"))
    return drawn


def overlaid_figures(reports: Sequence[Report], what: str) -> list[tuple[Figure, str]]:
    """The curves of several reports in one figure for each kind that more than one of them has."""
    drawn = []
    for kind, words in KINDS.items():
        having = [report for report in reports if lines_of(report, kind)]
        if len(having) > 1 and kind != "edc":
            drawn.append((DRAWERS[kind](lines_over(having, kind)), f"{words} of {what}"))
            if kind == "roc":
                drawn.append((det_lines(lines_over(having, kind)), f"DET of {what}"))
    return drawn


def roc_figure(reports: Sequence[Report]) -> Figure:
    """TAR over FAR, the FAR on a logarithmic axis down to what the pairs can show."""
    return roc_lines(lines_over(reports, "roc"))


def det_figure(reports: Sequence[Report]) -> Figure:
    """FNMR over FMR, both in normal deviates; the marks lie where the two are equal."""
    return det_lines(lines_over(reports, "roc"))


def roc_lines(lines: Sequence[Line]) -> Figure:
    with house_style():
        figure, axes = _figure("ROC", "false accept rate (FAR)", "true accept rate (TAR)")
        lowest, worst = 1.0, 1.0
        for line, style in zip(lines, styles(lines)):
            fmr, fnmr = line.axis("fmr"), line.axis("fnmr")
            floor = line.floor("fmr")
            axes.step(np.maximum(fmr, floor), 1 - fnmr, where="post", label=line.shown, **style)
            lowest, worst = min(lowest, floor), min(worst, float((1 - fnmr)[fmr <= floor].max(initial=0.0)))
        axes.set_xscale("log")
        axes.set_xlim(lowest, 1)
        _top_is_one(axes, worst)
        _legend(axes, lines, "lower right")
        return figure


def open_set_lines(lines: Sequence[Line]) -> Figure:
    """FNIR over FPIR, both logarithmic; an FNIR of 0 lies on the lower end."""
    with house_style():
        figure, axes = _figure("Open set", "false positive identification rate (FPIR)", "FNIR")
        least = min(float(line.axis("fnir")[line.axis("fnir") > 0].min(initial=LARGEST_FLOOR)) for line in lines)
        lowest = min(line.floor("fpir") for line in lines)
        for line, style in zip(lines, styles(lines)):
            fpir, fnir = np.maximum(line.axis("fpir"), line.floor("fpir")), np.maximum(line.axis("fnir"), least / 2)
            axes.step(fpir, fnir, where="post", label=line.shown, clip_on=False, **style)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlim(lowest, 1)
        axes.set_ylim(least / 2, 1)
        _legend(axes, lines, "lower left")
        return figure


def det_lines(lines: Sequence[Line]) -> Figure:
    with house_style():
        figure, axes = _figure("DET", "false match rate (FMR)", "false non-match rate (FNMR)")
        lowest = DET_TOP
        for line, style in zip(lines, styles(lines)):
            fmr, fnmr = with_equal(line)
            alike = [other for other in lines if other.trials == line.trials]  # models on the same pairs
            floors = tuple(min(floor_with_equal(other, rate) for other in alike) for rate in ("fmr", "fnmr"))
            x, y = (_probit(np.clip(rate, floor, 1 - floor)) for rate, floor in zip((fmr, fnmr), floors))
            axes.step(x, y, where="post", label=line.shown, **style)
            if line.equal:
                axes.plot(*_probit(np.array([[line.equal], [line.equal]])), "o", color=style["color"], ms=4.5)
            lowest = min(lowest, *floors)
        ends = _probit(np.array([lowest, DET_TOP]))
        axes.plot(ends, ends, color="#bbbbbb", lw=0.8, ls="--", zorder=0)
        ticks = np.array(
            [tick for tick in (DET_FAR_TICKS if lowest < 1e-4 else DET_TICKS) if lowest <= tick <= DET_TOP]
        )
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_ticks(_probit(ticks), [f"{100 * tick:g} %" for tick in ticks])
        low = ends[0] - 0.01 * (ends[1] - ends[0])  # a rate of 0 is a whole line, not half of one
        axes.set_xlim(low, ends[1])
        axes.set_ylim(low, ends[1])
        _legend(axes, lines, "upper right")
        return figure


def cmc_lines(lines: Sequence[Line]) -> Figure:
    """The share of probes found over the rank."""
    return _rising(lines, "CMC", ("rank", "rank"), "identification rate")


def growth_lines(lines: Sequence[Line]) -> Figure:
    """The rank-1 rate over the number of strangers."""
    return _rising(lines, "Growth", ("size", "size of the gallery"), "rank-1 rate")


def _rising(lines: Sequence[Line], title: str, over: tuple[str, str], what: str) -> Figure:
    with house_style():
        figure, axes = _figure(title, over[1], what)
        marker = "o" if max(len(line.axis("rate")) for line in lines) <= 20 else None
        for line, style in zip(lines, styles(lines)):
            axes.plot(line.axis(over[0]), line.axis("rate"), marker=marker, ms=3, label=line.shown, **style)
        every = np.concatenate([line.axis(over[0]) for line in lines])
        if every.max() > LAST_LINEAR:
            axes.set_xscale("log")
        axes.set_xticks(_whole_ticks(int(every.min()), int(every.max())))
        axes.set_xticks([], minor=True)
        axes.xaxis.set_major_formatter(lambda place, _: f"{place:,.0f}")
        _top_is_one(axes, min(float(line.axis("rate").min()) for line in lines))
        _legend(axes, lines, "best")
        return figure


def _whole_ticks(first: int, last: int) -> list[int]:
    """Whole numbers from `first` to `last`, few enough to be read; by decades where the axis is logarithmic."""
    if last <= LAST_LINEAR:
        ticks = [*range(1, last + 1)] if last <= LAST_LINEAR // 2 else [1, *range(5, last + 1, 5)]
    else:
        decades = range(len(str(last)))
        ticks = [digit * 10**power for power in decades for digit in (1, 2, 5)]
        if sum(first <= tick <= last for tick in ticks) > 7:
            ticks = [10**power for power in decades]
    return [tick for tick in ticks if first <= tick <= last]


def edc_lines(lines: Sequence[Line]) -> Figure:
    """The FNMR of what is left over the share of photos or pairs that a quality score turns away."""
    with house_style():
        figure, axes = _figure("Error versus discard", "discarded", "false non-match rate (FNMR)")
        for line, style in zip(lines, styles(lines)):
            axes.plot(line.axis("discarded"), line.axis("fnmr"), marker="o", ms=3, label=line.shown, **style)
        axes.set_ylim(bottom=0)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(lambda share, _: f"{100 * share:g} %")
        _legend(axes, lines, "best", always=True)
        return figure


def histogram_figure(report: Report) -> Figure:
    """Shares of genuine and impostor pairs over the score, and the threshold."""
    searched = not lines_of(report, "roc")
    names = {"impostor": "best other identity", "genuine": "own identity"} if searched else {}
    with house_style():
        figure, axes = _figure("Scores", "cosine", "share of probes" if searched else "share of pairs")
        edges = np.array(report.curves["histogram"]["edges"])
        for kind, color in (("impostor", IMPOSTOR), ("genuine", GENUINE)):
            shares = report.curves["histogram"][kind]
            label = names.get(kind, f"{kind} pairs")
            axes.stairs(shares, edges, fill=True, color=color, alpha=0.45, lw=0, label=label)
            axes.stairs(shares, edges, color=color, lw=1)
        found = next((name for name in SHOWN_THRESHOLDS if report.metrics.get(name) is not None), None)
        if found is not None:
            threshold = float(report.metrics[found] or 0)
            words = found.replace("@far=", " at FAR ").replace("@fpir=", " at FPIR ")
            axes.axvline(threshold, color="#333333", lw=1, ls="--", label=f"{words}: {threshold:.4f}")
        axes.set_ylim(bottom=0)
        # Above the axes, where no bar can lie behind it.
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, handlelength=1.2, columnspacing=1.2)
        axes.set_title("")
        return figure


KINDS = {
    "roc": "ROC",
    "cmc": "CMC",
    "open_set": "FNIR over FPIR",
    "growth": "rank-1 rate over the size of the gallery",
    "edc": "FNMR over the share discarded",
}
DRAWERS = {"roc": roc_lines, "cmc": cmc_lines, "open_set": open_set_lines, "growth": growth_lines, "edc": edc_lines}


def _figure(title: str, x: str, y: str) -> tuple[Figure, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2, 3.6), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    return figure, axes


def _top_is_one(axes: Any, worst: float) -> None:
    bottom = max(0.0, np.floor(20 * (worst - 0.02)) / 20)
    axes.set_ylim(bottom, 1 + 0.02 * (1 - bottom))


def _legend(axes: Any, lines: Sequence[Line], place: str, always: bool = False) -> None:
    if len(lines) > 1 or always:
        axes.legend(loc=place)


def _probit(rates: FloatArray) -> FloatArray:
    return np.vectorize(NormalDist().inv_cdf, otypes=[float])(rates)
