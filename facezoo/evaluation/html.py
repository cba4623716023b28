"""Pages of one file: nothing in them is fetched from elsewhere. The building blocks, and the page of a report.

    page("My model", [Section("Scores", figure_svg(figure, "ROC") + picture(crop, "the best match"))])

Text is escaped; only `Markup` that these functions return goes into a page as it is.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import jinja2
from markupsafe import Markup

from facezoo import __version__
from facezoo.align import align
from facezoo.evaluation.photos import Photo
from facezoo.evaluation.plots import det_figure, histogram_figure, house_style, roc_figure
from facezoo.evaluation.report import Mistake, Report, show, show_interval, table_rows
from facezoo.evaluation.run import Benchmark
from facezoo.files import write_text
from facezoo.image import encode_jpeg
from facezoo.types import Image

if TYPE_CHECKING:
    from matplotlib.figure import Figure

THUMBNAIL = 112
"""Longest side of a small picture, pixels."""


@dataclass(frozen=True)
class Section:
    """A part of a page: a heading and what stands below it."""

    title: str
    body: Markup


def page(title: str, sections: Sequence[Section], lead: str = "") -> str:
    """A whole HTML document; `lead` is a sentence below the title."""
    return _render("page.html", title=title, sections=sections, lead=lead, version=__version__)


def figure_svg(figure: Figure, alt: str) -> Markup:
    """A matplotlib figure as an inline SVG picture; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    with house_style():
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return _img("image/svg+xml", buffer.getvalue(), alt)


def thumbnail(image: Image, size: int = THUMBNAIL, quality: int = 85) -> str:
    """An image (H, W, 3) as a data URI: a JPEG whose longer side is at most `size` pixels."""
    height, width = image.shape[:2]
    ratio = size / max(height, width)
    if ratio < 1:
        wanted = (max(1, round(width * ratio)), max(1, round(height * ratio)))
        image = cv2.resize(image, wanted, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    return _data_uri("image/jpeg", encode_jpeg(image, quality))


def picture(image: Image, alt: str, size: int = THUMBNAIL) -> Markup:
    """`thumbnail` as an element."""
    return Markup('<img src="{}" alt="{}">').format(thumbnail(image, size), alt)


def facts(values: Mapping[str, Any]) -> Markup:
    """A table of two columns: a word and what it is."""
    row = Markup('<tr><th scope="row">{}</th><td>{}</td></tr>')
    return Markup("<table><tbody>{}</tbody></table>").format(_joined(row.format(*item) for item in values.items()))


def grid(rows: Sequence[Sequence[str]]) -> Markup:
    """A table with a head row; all columns but the first are numbers."""

    def cells(row: Sequence[str], tag: str) -> Markup:
        kinds = ["", *[' class="number"'] * (len(row) - 1)]
        return _joined(Markup(f"<{tag}{kind}>{{}}</{tag}>").format(cell) for kind, cell in zip(kinds, row))

    body = _joined(Markup("<tr>{}</tr>").format(cells(row, "td")) for row in rows[1:])
    table = "<div class='wide'><table><thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>"
    return Markup(table).format(cells(rows[0], "th"), body)


def figures(pictures: Iterable[Markup]) -> Markup:
    """Pictures side by side, as wide as the page allows."""
    return Markup('<div class="figures">{}</div>').format(_joined(pictures))


def faces(items: Iterable[tuple[Sequence[Markup], str]]) -> Markup:
    """Small frames, each with pictures side by side and a caption."""
    frame = Markup("<figure><div>{}</div><figcaption>{}</figcaption></figure>")
    return Markup('<div class="faces">{}</div>').format(_joined(frame.format(_joined(p), text) for p, text in items))


def write_html(reports: Sequence[Report], path: Path, benchmarks: Sequence[Benchmark] = ()) -> None:
    """Write `report_page` to one file."""
    write_text(path, report_page(reports, benchmarks))


def report_page(reports: Sequence[Report], benchmarks: Sequence[Benchmark] = ()) -> str:
    """The page of one model's reports: figures, metrics with intervals, protocol, worst mistakes, contract.

    Args:
        reports: of one model.
        benchmarks: those that were scored, in the same order: their photos illustrate the mistakes.
    """
    sections = []
    if len(reports) > 1:
        both = [
            figure_svg(roc_figure(reports), "ROC of all benchmarks"),
            figure_svg(det_figure(reports), "DET of all benchmarks"),
        ]
        sections.append(Section("All benchmarks", grid(table_rows(reports)) + figures(both)))
    for k, report in enumerate(reports):
        photos = {photo.name: photo for photo in benchmarks[k].photos} if benchmarks else {}
        sections.append(Section(report.name, report_body(report, photos)))
    contract = next((report.contract for report in reports if report.contract), None)
    if contract is not None:
        values = {word.replace("_", " "): value for word, value in asdict(contract).items()}
        values["threshold"] = "not stated" if contract.threshold is None else contract.threshold
        sections.append(Section("Model contract", facts(values)))
    model = contract.name if contract is not None else "embeddings"
    names = ", ".join(f"{report.name} ({report.protocol.get('pairs', 0):,} pairs)" for report in reports)
    return page(f"Face verification: {model}", sections, lead=f"Scored on {names}.")


def report_body(report: Report, photos: Mapping[str, Photo]) -> Markup:
    """One report without its heading; mistakes are shown with the photos that are given, by name."""
    drawn = [
        (roc_figure([report]), f"ROC of {report.name}"),
        (det_figure([report]), f"DET of {report.name}"),
        (histogram_figure(report), f"genuine and impostor scores of {report.name}"),
    ]
    leading = [name for name in ("accuracy", "eer", "auc", "tar@far=1e-2", "tar@far=1e-3") if name in report.metrics]
    levels = {f"{100 * interval.level:g} %" for interval in report.intervals.values()}
    methods = sorted({interval.method for interval in report.intervals.values()})
    galleries = [
        ("Worst false matches: two people taken for one", [m for m in report.mistakes if not m.same]),
        ("Worst false non-matches: one person taken for two", [m for m in report.mistakes if m.same]),
    ]
    return Markup(
        _render(
            "report.html",
            headline=[_metric_row(report, name) for name in leading],
            figures=[figure_svg(figure, alt) for figure, alt in drawn],
            metrics=[_metric_row(report, name) for name in report.metrics] + _extra_intervals(report),
            level=" / ".join(sorted(levels)),
            methods="; ".join(methods),
            protocol=facts(report.protocol),
            galleries=[(title, [_shown(m, photos) for m in found]) for title, found in galleries if found],
        )
    )


def _metric_row(report: Report, name: str) -> tuple[str, str, str]:
    return _words(name), show(name, report.metrics[name]), show_interval(name, report.intervals.get(name))


def _extra_intervals(report: Report) -> list[tuple[str, str, str]]:
    """Second intervals of a metric, such as that over folds beside the bootstrap."""
    extra = [name for name in report.intervals if name not in report.metrics]
    return [(_words(name), "", show_interval(name, report.intervals[name])) for name in extra]


def _words(metric: str) -> str:
    """`tar@far=1e-3` as TAR at FAR 1e-3."""
    kind, at, rest = metric.partition("@far=")
    kind = kind.upper() if kind in ("tar", "fmr", "eer", "auc") else kind.replace("_", " ")
    return f"{kind} at FAR {rest}" if at else kind


def _shown(mistake: Mistake, photos: Mapping[str, Photo]) -> dict[str, Any]:
    pictures = [_face(photos[name]) for name in (mistake.left, mistake.right) if name in photos]
    score = "no face" if mistake.score is None else f"{mistake.score:.3f}"
    return {"pictures": pictures, "score": score, "left": _breakable(mistake.left), "right": _breakable(mistake.right)}


def _breakable(name: str) -> Markup:
    """A path that may be broken after each folder."""
    return Markup("/<wbr>").join(name.split("/"))


def _face(photo: Photo) -> Markup:
    """The face where landmarks are known, else the whole photo."""
    image = photo.read()
    return picture(image if photo.landmarks is None else align(image, photo.landmarks), photo.name)


def _img(kind: str, data: bytes, alt: str) -> Markup:
    return Markup('<img src="{}" alt="{}">').format(_data_uri(kind, data), alt)


def _data_uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"


def _joined(parts: Iterable[Markup]) -> Markup:
    return Markup("").join(parts)


@lru_cache(maxsize=1)
def _templates() -> jinja2.Environment:
    loader = jinja2.FileSystemLoader(Path(__file__).parent / "templates")
    return jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)


def _render(template: str, **values: Any) -> str:
    return _templates().get_template(template).render(**values)
