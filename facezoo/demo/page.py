"""The demo's page: one file that shows what was trained, how well, and what was found in the photos."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup

from facezoo.evaluation.html import Section, facts, figure_svg, figures, grid, page, picture
from facezoo.evaluation.html import faces as frames
from facezoo.evaluation.plots import histogram_figure, house_style, roc_figure
from facezoo.evaluation.report import show, show_interval
from facezoo.files import write_text
from facezoo.sdk.draw import draw

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from facezoo.demo.story import Photo, Recognised, Trained

WIDE = 420
"""Longest side of a photo on the page, pixels."""


def write_page(path: Path, trained: Trained, recognised: Recognised, seconds: float) -> Path:
    """Write the page and give back its path."""
    sections = [
        Section("A model trained on faces that belong to nobody", _training(trained)),
        Section("How well it tells strangers apart", _evaluation(trained)),
        Section("Real photos: detect and align", _detection(recognised)),
        Section("Real photos: compare and search", _search(recognised)),
    ]
    lead = (
        f"Rendered, trained, evaluated, exported, detected, compared and searched in {seconds:.0f} s on this machine. "
        "Every number was measured in this run."
    )
    write_text(path, page("facezoo demo", sections, lead))
    return path


def _training(trained: Trained) -> Markup:
    last = [line for line in trained.history if "loss" in line][-1]
    speed = np.median([line["images_per_second"] for line in trained.history if "images_per_second" in line])
    table = facts(
        {
            "backbone": trained.config.model.backbone,
            "head": trained.config.model.head,
            "steps": f"{last['step']:,} of {trained.config.data.batch_size} crops",
            "speed": f"{speed:.0f} crops/s",
            "ONNX": trained.parity.sentence(),
        }
    )
    curve = figure_svg(training_figure(trained.history), "loss and accuracy over the steps")
    sheet = picture(trained.sheet, "rendered identities", 2 * WIDE)
    return figures([sheet]) + figures([curve]) + table


def _evaluation(trained: Trained) -> Markup:
    reports = trained.reports
    rows: list[Sequence[str]] = [["", *reports, "95 % interval, trained"]]
    for name in ("accuracy", "auc", "eer"):
        values = [show(name, report.metrics[name]) for report in reports.values()]
        rows.append([name, *values, show_interval(name, reports["trained"].intervals.get(name))])
    plots = [
        figure_svg(
            roc_figure([reports["untrained"], reports["trained"]]), "ROC of the untrained and the trained network"
        ),
        figure_svg(histogram_figure(reports["trained"]), "scores of genuine and impostor pairs"),
    ]
    protocol = reports["trained"].protocol
    words = Markup("<p>{} pairs of identities that were not in the training, {} folds.</p>").format(
        protocol["pairs"], protocol["folds"]
    )
    return words + grid(rows) + figures(plots)


def _detection(recognised: Recognised) -> Markup:
    shown = []
    for photo in recognised.enrolled + recognised.probes:
        drawn = picture(draw(photo.image, photo.faces), photo.name, WIDE)
        scores = ", ".join(f"{face.score:.2f}" for face in photo.faces)
        caption = f"{photo.name}: {len(photo.faces)} face(s), score {scores}; beside it the crop for the recogniser"
        shown.append(([drawn, picture(photo.crop, f"crop of {photo.name}", 150)], caption))
    return frames(shown)


def _search(recognised: Recognised) -> Markup:
    photos = recognised.enrolled + recognised.probes
    names = [photo.name for photo in photos]
    rows: list[Sequence[str]] = [["cosine", *names]]
    rows += [[name, *(f"{value:.3f}" for value in row)] for name, row in zip(names, recognised.cosine)]
    threshold = recognised.contract.threshold
    words = Markup("<p>{} takes two faces for one person from a cosine of {} on.</p>").format(
        recognised.contract.name, "n/m" if threshold is None else f"{threshold:.3f}"
    )
    found = [([picture(photo.crop, photo.name, 150)], _verdict(photo)) for photo in recognised.probes]
    return words + grid(rows) + frames(found)


def _verdict(photo: Photo) -> str:
    best, *others = photo.hits
    who = best.name if best.known else "unknown"
    rest = "".join(f"; next {hit.name} {hit.score:.3f}" for hit in others)
    return f"{photo.name} is {who} ({best.name} {best.score:.3f}{rest})"


def training_figure(history: list[dict[str, float]]) -> Figure:
    """Loss over the steps, and the accuracy of each validation on the right axis."""
    from matplotlib.figure import Figure

    losses = [(line["step"], line["loss"]) for line in history if "loss" in line]
    accuracy = [(line["step"], value) for line in history for key, value in line.items() if key.endswith("/accuracy")]
    with house_style():
        figure = Figure(figsize=(7.2, 3.0), layout="constrained")
        axes = figure.add_subplot()
        axes.plot(*zip(*losses), color="#4477aa", lw=1.4)
        axes.set_xlabel("step")
        axes.set_ylabel("loss", color="#4477aa")
        if accuracy:
            right = axes.twinx()
            right.plot(*zip(*accuracy), "o-", color="#cc6677", lw=1.4, ms=4)
            right.set_ylabel("accuracy on unseen identities", color="#cc6677")
            right.set_ylim(0.5, 1)
            right.grid(False)
        return figure
