"""Figures of a report: ROC, DET and the histogram of scores. matplotlib is imported when a figure is drawn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

from facezoo.evaluation.report import Report
from facezoo.types import FloatArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GENUINE, IMPOSTOR = "#2166ac", "#d6604d"
LINES = ("#2166ac", "#d6604d", "#4d9221", "#8073ac", "#b35806", "#35978f", "#c51b7d", "#636363")
DET_TICKS = (1e-6, 1e-5, 1e-4, 1e-3, 0.01, 0.05, 0.1, 0.2, 0.4)
DET_TOP = 0.5
LARGEST_FLOOR = 0.01


@contextmanager
def house_style() -> Iterator[None]:
    """Quiet axes and text that stays text; the same figure gives the same bytes."""
    import matplotlib

    style: Any = {  # its type is the list of all settings of matplotlib
        "svg.fonttype": "none",
        "svg.hashsalt": "facezoo",
        "font.family": "sans-serif",
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": "#888888",
        "axes.labelcolor": "#333333",
        "axes.titlesize": 10,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": "#e6e6e6",
        "grid.linewidth": 0.7,
        "xtick.color": "#555555",
        "ytick.color": "#555555",
        "legend.frameon": False,
        "legend.fontsize": 8,
    }
    with matplotlib.rc_context(style):
        yield


def roc_figure(reports: Sequence[Report]) -> Figure:
    """TAR over FAR, the FAR on a logarithmic axis down to what the pairs can show."""
    with house_style():
        figure, axes = _figure("ROC", "false accept rate (FAR)", "true accept rate (TAR)")
        lowest, worst = 1.0, 1.0
        for report, color in zip(reports, _colors(reports)):
            fmr, fnmr = _curve(report, "fmr"), _curve(report, "fnmr")
            floor = _floor(fmr)
            axes.step(np.maximum(fmr, floor), 1 - fnmr, where="post", color=color, lw=1.6, label=report.name)
            lowest, worst = min(lowest, floor), min(worst, float((1 - fnmr)[fmr <= floor].max(initial=0.0)))
        axes.set_xscale("log")
        axes.set_xlim(lowest, 1)
        bottom = max(0.0, np.floor(20 * (worst - 0.02)) / 20)
        axes.set_ylim(bottom, 1 + 0.02 * (1 - bottom))
        _legend(axes, reports, "lower right")
        return figure


def det_figure(reports: Sequence[Report]) -> Figure:
    """FNMR over FMR, both in normal deviates; the marks lie where the two are equal."""
    with house_style():
        figure, axes = _figure("DET", "false match rate (FMR)", "false non-match rate (FNMR)")
        lowest = DET_TOP
        for report, color in zip(reports, _colors(reports)):
            fmr, fnmr = _curve(report, "fmr"), _curve(report, "fnmr")
            floors = _floor(fmr), _floor(fnmr)
            x, y = (_probit(np.clip(rate, floor, 1 - floor)) for rate, floor in zip((fmr, fnmr), floors))
            axes.plot(x, y, color=color, lw=1.6, label=report.name)
            equal = report.metrics.get("eer")
            if equal:
                axes.plot(*_probit(np.array([[equal], [equal]])), "o", color=color, ms=4.5)
            lowest = min(lowest, *floors)
        ends = _probit(np.array([lowest, DET_TOP]))
        axes.plot(ends, ends, color="#bbbbbb", lw=0.8, ls="--", zorder=0)
        ticks = np.array([tick for tick in DET_TICKS if lowest <= tick <= DET_TOP])
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_ticks(_probit(ticks), [f"{100 * tick:g} %" for tick in ticks])
        axes.set_xlim(ends[0], ends[1])
        axes.set_ylim(ends[0], ends[1])
        _legend(axes, reports, "upper right")
        return figure


def histogram_figure(report: Report) -> Figure:
    """Shares of genuine and impostor pairs over the score, and the threshold."""
    with house_style():
        figure, axes = _figure("Scores", "cosine", "share of pairs")
        edges = np.array(report.curves["histogram"]["edges"])
        for kind, color in (("impostor", IMPOSTOR), ("genuine", GENUINE)):
            axes.stairs(
                report.curves["histogram"][kind], edges, fill=True, color=color, alpha=0.45, lw=0, label=f"{kind} pairs"
            )
            axes.stairs(report.curves["histogram"][kind], edges, color=color, lw=1)
        threshold = report.metrics.get("threshold")
        if threshold is not None:
            axes.axvline(threshold, color="#333333", lw=1, ls="--", label=f"threshold {threshold:.3f}")
        axes.set_ylim(bottom=0)
        # Above the axes, where no bar can lie behind it.
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, handlelength=1.2, columnspacing=1.2)
        axes.set_title("")
        return figure


def _figure(title: str, x: str, y: str) -> tuple[Figure, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2, 3.6), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    return figure, axes


def _colors(reports: Sequence[Report]) -> list[str]:
    return [LINES[k % len(LINES)] for k in range(len(reports))]


def _legend(axes: Any, reports: Sequence[Report], place: str) -> None:
    if len(reports) > 1:
        axes.legend(loc=place)


def _curve(report: Report, axis: str) -> FloatArray:
    return np.array(report.curves["roc"][axis])


def _floor(rates: FloatArray) -> float:
    """Half of the smallest rate that was seen: where a rate of 0 is drawn, also by a model without mistakes."""
    return float(rates[rates > 0].min(initial=LARGEST_FLOOR)) / 2


def _probit(rates: FloatArray) -> FloatArray:
    return np.vectorize(NormalDist().inv_cdf, otypes=[float])(rates)
