"""Pages to look at data by: pictures side by side with their scores, and ticks that are saved as a decision file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
import numpy as np
from markupsafe import Markup

from facezoo.curation.calibrate import Threshold
from facezoo.curation.clean import Findings
from facezoo.curation.outliers import groups
from facezoo.data.dataset import Dataset
from facezoo.evaluation.html import Section, facts, figure_svg, figures, page, thumbnail
from facezoo.evaluation.plots import GENUINE, IMPOSTOR, house_style
from facezoo.types import FloatArray, Image, InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PICTURE = 84
"""Longest side of a picture, pixels."""

BESIDE = 3
"""Pictures of an identity that stand beside an image."""

BINS = 80


@dataclass(frozen=True)
class Group:
    """Pictures that belong together: (data URI, name, marked)."""

    title: str
    pictures: Sequence[dict[str, Any]]


@dataclass(frozen=True)
class Item:
    """A finding: its pictures, its words, and which entry of the decisions its tick stands for."""

    groups: Sequence[Group]
    score: str
    caption: str
    action: str = ""
    number: int | None = None


def clean_page(found: Findings, data: Dataset, title: str, shown: int) -> str:
    """The review page of `clean`: of each kind at most `shown` findings, the strongest evidence first."""
    best = typical(found.scores, data)
    names = data.classes
    entries: list[list[dict[str, Any]]] = []
    outliers: list[Item] = []
    merges: list[Item] = []
    duplicates: list[Item] = []
    for outlier in found.outliers:
        entries.append([_drop(data, outlier.sample)])
        if len(outliers) < shown:
            own = int(data.labels[outlier.sample])
            beside = [sample for sample in best[own] if sample != outlier.sample]
            pictured = [group_of(data, "this image", [outlier.sample], marked=True), group_of(data, names[own], beside)]
            caption = f"to its identity {names[own]}"
            if outlier.other is not None:
                pictured.append(group_of(data, names[outlier.other], best[outlier.other]))
                caption += f"; {outlier.other_score:.3f} to the nearest other, {names[outlier.other]}"
            outliers.append(Item(pictured, f"{outlier.score:.3f}", caption, "leave out", len(entries) - 1))
    proposal = dict(found.decisions(data).merge)
    for merge in found.merges:
        members = [names[label] for label in merge.labels]
        entries.append([{"identity": name, "into": proposal[name]} for name in members if name in proposal])
        if len(merges) < shown:
            pictured = [group_of(data, names[label], best[label]) for label in merge.labels]
            into = next(name for name in members if name not in proposal)
            merges.append(
                Item(pictured, f"{merge.score:.3f}", "between centres", f"merge into {into}", len(entries) - 1)
            )
    for group in found.duplicates:
        entries.append([_drop(data, sample) for sample in group.others])
        if len(duplicates) < shown:
            samples = (group.keep, *group.others)
            pictured = [group_of(data, names[data.labels[s]], [s], marked=s != group.keep) for s in samples]
            caption = "alike in pixels" + (", mirrored" if group.mirrored else "")
            caption += ", under several identities" if group.across else ""
            duplicates.append(
                Item(pictured, f"{group.likeness:.3f}", caption, "leave the framed out", len(entries) - 1)
            )
    sections = [
        Section("Decisions", save(entries) + (Markup() if entries else Markup("<p>There is nothing to decide.</p>"))),
        Section("What was found", _summary(found, data)),
        Section("Images that do not fit their identity", findings(outliers, len(found.outliers), "outliers.csv")),
        Section("Identities that are one person", findings(merges, len(found.merges), "merges.csv")),
        Section("Photos that are there twice", findings(duplicates, len(found.duplicates), "duplicates.csv")),
    ]
    return page(title, sections, f"{len(data):,} images of {len(names):,} identities. Nothing has been deleted.")


def _summary(found: Findings, data: Dataset) -> Markup:
    across = sum(group.across for group in found.duplicates)
    copies = sum(len(group.others) for group in found.duplicates)
    words = {
        "outliers": f"{len(found.outliers):,}: images at or below {_threshold(found.outlier_limit, 'images')}",
        "merges": f"{len(found.merges):,}: groups at or above {_threshold(found.merge_limit, 'neighbours')}",
        "duplicates": f"{copies:,}: copies of other photos ({len(found.duplicates):,}; under several identities: "
        f"{across:,}), alike from a cosine of {found.alike.cosine:.3f} and a likeness of pixels of "
        f"{found.alike.likeness:.3f}",
        "unreadable": f"{found.unreadable:,}",
    }
    warning = Markup('<p class="warning">{}</p>').format(found.warning()) if found.warning() else Markup()
    drawn = figure_svg(_scores_figure(found), "cosines to the own and to other identities")
    return warning + facts(words) + figures([drawn])


def _threshold(threshold: Threshold, what: str) -> str:
    if threshold.share is None or threshold.precision is None or threshold.recall is None:
        return f"a cosine of {threshold.value:.3f}, as asked for"
    return (
        f"a cosine of {threshold.value:.3f}: expected are {threshold.share:.1%} such {what} in all, of which "
        f"this finds {threshold.recall:.0%}, and {threshold.precision:.0%} of what is found to be right"
    )


def _scores_figure(found: Findings) -> Figure:
    """Cosines of images to their own identity and to another one, and the threshold."""
    own = found.scores[np.isfinite(found.scores)]
    return cosines_figure(
        {"to another identity": found.foreign, "to the own identity": own},
        found.outlier_limit.value,
        ("cosine to the centre without the image", "images"),
    )


def cosines_figure(scores: Mapping[str, FloatArray], threshold: float, axes_words: tuple[str, str]) -> Figure:
    """Histograms of two kinds of cosines, what is foreign first, on a scale that also shows single ones."""
    from matplotlib.figure import Figure

    every = np.concatenate([*scores.values(), [threshold]])
    every = every[np.abs(every) <= 1.0]  # a threshold that nothing reaches may lie outside
    low, high = (float(end) for end in (np.floor(10 * every.min()) / 10, np.ceil(10 * every.max()) / 10))
    edges = np.linspace(low, max(high, low + 0.1), BINS + 1)
    with house_style():
        figure = Figure(figsize=(7.2, 3.0), layout="constrained")
        axes = figure.add_subplot()
        for (label, values), color in zip(scores.items(), (IMPOSTOR, GENUINE)):
            counts = np.histogram(values, edges)[0]
            axes.stairs(counts, edges, fill=True, color=color, alpha=0.45, lw=0, label=label)
        axes.axvline(threshold, color="#333333", lw=1, ls="--", label="threshold")
        axes.set_yscale("symlog", linthresh=1)
        axes.set_ylim(bottom=0)
        axes.set_xlabel(axes_words[0])
        axes.set_ylabel(axes_words[1])
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
        return figure


def typical(scores: FloatArray, data: Dataset) -> dict[int, list[int]]:
    """Of each identity the images that fit it best."""
    return {
        label: samples[np.argsort(-np.nan_to_num(scores[samples], nan=-1.0), kind="stable")[:BESIDE]].tolist()
        for label, samples in groups(data.labels, np.ones(len(data), bool))
    }


def group_of(data: Dataset, title: str, samples: Iterable[int], marked: bool = False) -> Group:
    """Images of a dataset, under a title."""
    shown = (shown_image(data.read, sample, f"{data.path(sample)} (sample {sample})", marked) for sample in samples)
    return Group(title, list(shown))


def shown_image(read: Callable[[int], Image], number: int, name: str, marked: bool = False) -> dict[str, Any]:
    """One image for a `Group`; an unreadable one is left white."""
    try:
        image = read(number)
    except InputError:
        image = np.full((PICTURE, PICTURE, 3), 255, np.uint8)
    return {"source": thumbnail(image, PICTURE), "name": name, "marked": marked}


def _drop(data: Dataset, sample: int) -> dict[str, Any]:
    return {"sample": sample, "path": data.path(sample)}


def findings(items: Sequence[Item], count: int | None, listed: str) -> Markup:
    """Findings in frames, and how many there are unless that tells nothing; `listed` is the file that has all."""
    if count is None:
        return _render("findings.html", items=items, note="")
    note = f"{count:,} found" if count else "None"
    note += f", the first {len(items):,} are shown" if count > len(items) else ""
    note += f"; all are in {listed}." if listed and count else "."
    return _render("findings.html", items=items, note=note)


def save(entries: Sequence[object]) -> Markup:
    """The style of findings; where there are entries of decisions, also the buttons that save those still ticked."""
    # A </script> in a name must not end the element.
    text = json.dumps(entries, ensure_ascii=False).replace("<", "\\u003c")
    return _render("save.html", decisions=Markup(text) if entries else "")


def _render(template: str, **values: Any) -> Markup:
    return Markup(_templates().get_template(template).render(**values))


@lru_cache(maxsize=1)
def _templates() -> jinja2.Environment:
    loader = jinja2.FileSystemLoader(Path(__file__).parent / "templates")
    return jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
