"""Pages of one file: nothing in them is fetched from elsewhere. The building blocks.

    page("My model", [Section("Scores", figure_svg(figure, "ROC") + picture(crop, "the best match"))])

Text is escaped; only `Markup` that these functions return goes into a page as it is.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import jinja2
from markupsafe import Markup, escape

from facezoo import __version__
from facezoo.evaluation.plots import house_style
from facezoo.evaluation.report import numbers
from facezoo.image import encode_jpeg
from facezoo.types import Image

if TYPE_CHECKING:
    from matplotlib.figure import Figure

THUMBNAIL = 112
"""Longest side of a small picture, pixels."""

WORDS = 4
"""Spaces of a cell from which on it is a sentence."""


@dataclass(frozen=True)
class Section:
    """A part of a page: a heading and what stands below it."""

    title: str
    body: Markup


def page(title: str, sections: Sequence[Section], lead: str = "") -> str:
    """A whole HTML document; `lead` is a sentence below the title."""
    return render("page.html", title=title, sections=sections, lead=lead, version=__version__)


def breakable(name: str) -> Markup:
    """A path that may be broken after each folder."""
    return Markup("/<wbr>").join(name.split("/"))


POWER = re.compile(r"\b\d+e-\d+\b")


def unbroken(text: str) -> Markup:
    """Text in which 1e-4 is not broken after its sign."""
    return Markup(POWER.sub(r'<span class="whole">\g<0></span>', str(escape(text))))


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
    rows = (row.format(*(unbroken(str(text)) for text in item)) for item in values.items())
    return Markup("<table><tbody>{}</tbody></table>").format(_joined(rows))


def grid(rows: Sequence[Sequence[str]]) -> Markup:
    """A table with a head row; columns of numbers are flush right, those of sentences are not squeezed."""
    kinds = [_kind(place, [row[place] for row in rows[1:]]) for place in range(len(rows[0]))]

    def cells(row: Sequence[str], tag: str) -> Markup:
        return _joined(Markup(f"<{tag}{kind}>{{}}</{tag}>").format(unbroken(cell)) for kind, cell in zip(kinds, row))

    body = _joined(Markup("<tr>{}</tr>").format(cells(row, "td")) for row in rows[1:])
    table = "<div class='wide' tabindex='0'><table><thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>"
    return Markup(table).format(cells(rows[0], "th"), body)


def _kind(place: int, column: Sequence[str]) -> str:
    if place > 0 and numbers(column):
        return ' class="number"'
    return ' class="words"' if any(cell.count(" ") >= WORDS for cell in column) else ""


def figures(pictures: Iterable[Markup]) -> Markup:
    """Pictures side by side, as wide as the page allows."""
    return Markup('<div class="figures">{}</div>').format(_joined(pictures))


def faces(items: Iterable[tuple[Sequence[Markup], str]]) -> Markup:
    """Small frames, each with pictures side by side and a caption."""
    frame = Markup("<figure><div>{}</div><figcaption>{}</figcaption></figure>")
    return Markup('<div class="faces">{}</div>').format(_joined(frame.format(_joined(p), text) for p, text in items))


def _img(kind: str, data: bytes, alt: str) -> Markup:
    return Markup('<img src="{}" alt="{}">').format(_data_uri(kind, data), alt)


def _data_uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"


def _joined(parts: Iterable[Markup]) -> Markup:
    return Markup("").join(parts)


@lru_cache(maxsize=1)
def _templates() -> jinja2.Environment:
    loader = jinja2.FileSystemLoader(Path(__file__).parent / "templates")
    found = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
    found.filters["unbroken"] = unbroken
    return found


def render(template: str, **values: Any) -> str:
    """A template of the package, filled in."""
    return _templates().get_template(template).render(**values)
