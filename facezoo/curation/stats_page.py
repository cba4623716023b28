"""The page of `facezoo data stats`: what a dataset holds, in numbers, histograms and the images at the extremes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup

from facezoo.curation.page import Group, Item, findings, group_of, save
from facezoo.data.dataset import Dataset
from facezoo.data.stats import Copies, Stats, rows
from facezoo.evaluation.html import Section, facts, figure_svg, figures, grid, page
from facezoo.evaluation.plots import GENUINE, house_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EXTREMES = 8
"""Images at each extreme."""

BINS = 40


def stats_page(stats: Stats, data: Dataset, title: str) -> str:
    """The page of a dataset's statistics."""
    drawn = [
        figure_svg(counts_figure(stats), "images per identity"),
        figure_svg(bytes_figure(stats), "bytes of an image"),
    ]
    words = ("images per identity", "images"), ("height", "height"), ("width", "width"), ("bytes", "bytes")
    found = [
        (word, stats.quantiles(key)) for word, key in (*words, ("mean grey", "mean"), ("spread of grey", "spread"))
    ]
    table = [["quantile", *found[0][1]], *([word, *(f"{v:,.0f}" for v in q.values())] for word, q in found if q)]
    extremes = [Item(_named(data, samples), word, "") for word, samples in stats.extremes(EXTREMES).items()]
    sections = [
        Section("What there is", save([]) + facts(rows(stats, data.classes)) + figures(drawn) + grid(table)),
        Section("Extremes", findings(extremes, None, "") if extremes else Markup("<p>None.</p>")),
        Section("The same pixels", _copies(stats.same_pixels, data)),
    ]
    if stats.unreadable.count:
        first = Markup("").join(Markup("<p>{}</p>").format(place) for place in stats.unreadable.first)
        sections.append(Section("Unreadable", Markup("<p>{:,}, the first:</p>").format(stats.unreadable.count) + first))
    return page(f"Data: {title}", sections, f"{stats.images:,} images of {stats.identities:,} identities.")


def _copies(copies: Copies, data: Dataset) -> Markup:
    items = []
    for group in copies.listed:
        names = {data.classes[data.labels[sample]] for sample in group}
        across = "under several identities" if len(names) > 1 else ""
        items.append(Item(_named(data, group[:EXTREMES]), f"{len(group)} times", across))
    return findings(items, copies.groups, "")


def _named(data: Dataset, samples: Sequence[int]) -> list[Group]:
    """Images, each above its identity."""
    return [group_of(data, data.classes[data.labels[sample]], [sample]) for sample in samples]


def counts_figure(stats: Stats) -> Figure:
    """How many identities have how many images."""
    top = int(stats.per_identity.max())
    edges = np.unique(np.rint(np.geomspace(1, top + 1, BINS + 1))) if top > BINS else np.arange(1, top + 2)
    return _histogram(stats.per_identity, edges - 0.5, "images per identity", "identities", top > BINS)


def bytes_figure(stats: Stats) -> Figure:
    """How many images have how many bytes."""
    sizes = stats.facts["bytes"][~stats.broken] / 1000
    if not len(sizes):
        sizes = np.zeros(1)
    edges = np.linspace(0, max(float(sizes.max()), 1.0), BINS + 1)
    return _histogram(sizes, edges, "kilobytes of an image", "images", False)


def _histogram(values: np.ndarray, edges: np.ndarray, x: str, y: str, logarithmic: bool) -> Figure:
    from matplotlib.figure import Figure

    with house_style():
        figure = Figure(figsize=(4.2, 3.0), layout="constrained")
        axes = figure.add_subplot()
        axes.stairs(np.histogram(values, edges)[0], edges, fill=True, color=GENUINE, alpha=0.7)
        if logarithmic:
            axes.set_xscale("log")
        else:
            axes.locator_params(axis="x", integer=True)
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        return figure
