"""Looking at what transforms do: `facezoo data preview`, and the colours that `pca_noise` takes."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from facezoo.cli.data import commands
from facezoo.cli.outputs import check_output

if TYPE_CHECKING:
    from facezoo.data.transforms import Row

PAGE = (".html", ".htm")


@commands.command
def preview(
    data: str,
    out: Path,
    /,
    *,
    transforms: Annotated[list[str] | None, Parameter(consume_multiple=True)] = None,
    config: Path | None = None,
    crops: int = 8,
    size: int = 112,
    draws: int = 3,
    seed: int = 0,
    force: bool = False,
) -> None:
    """Show what transforms do to crops of a dataset: a row for each, always applied, and rows of all in order.

    Without transforms and config, every transform there is has its row.

    Args:
        data: path of a dataset, or its spec string such as rec:path=train.rec.
        out: an image (.jpg, .png) or a page (.html).
        transforms: spec strings, in order.
        config: take the transforms of this training configuration first.
        crops: columns: crops drawn from the dataset.
        size: height and width of the crops, pixels.
        draws: rows of the whole, as training would draw them.
        seed: other seeds give other crops and other draws.
        force: replace a sheet or page that is there.
    """
    from facezoo.config import load_config
    from facezoo.data.opening import open_dataset
    from facezoo.data.transforms import draw_crops, preview_rows, sheet
    from facezoo.image import write_image
    from facezoo.registry import TRANSFORMS
    from facezoo.types import InputError

    specs = [*(load_config(config).data.transforms if config else ()), *(transforms or ())]
    if draws < 0:
        raise InputError(f"--draws is {draws}, it must be 0 or more")
    if not specs and config is None:
        specs, draws = TRANSFORMS.names(), 0
    source = open_dataset(data)
    check_output(out, force, source, data)
    rows = preview_rows(draw_crops(source, crops, size, seed), specs, draws, seed)
    if out.suffix.lower() in PAGE:
        _write_page(out, data, rows)
    else:
        write_image(out, sheet(rows))
    print(f"{out}: {len(rows)} rows of {len(rows[0].crops)} crops")


def _write_page(out: Path, data: str, rows: list[Row]) -> None:
    import numpy as np

    from facezoo.evaluation.html import Section, figures, page, picture
    from facezoo.files import write_text

    strips = [(row, np.concatenate(row.crops, axis=1)) for row in rows]
    sections = [
        Section(row.caption, figures([picture(strip, row.caption, size=max(strip.shape))])) for row, strip in strips
    ]
    write_text(out, page("Transforms", sections, f"Crops of {data}; each transform always applied."))


@commands.command
def colors(data: str, /, *, images: int = 5000, seed: int = 0) -> None:
    """Print the `pca_noise` of a dataset: the main axes along which the colours of its pixels vary.

    Args:
        data: path of a dataset, or its spec string.
        images: drawn at random; all if there are no more.
        seed: other seeds draw other images.
    """
    from facezoo import progress
    from facezoo.data.opening import open_dataset
    from facezoo.data.photometric import principal_colors
    from facezoo.data.transforms import draw_samples

    source = open_dataset(data)
    samples = draw_samples(source, images, seed)
    values, vectors = principal_colors(progress.track(map(source.read, samples), "colors", "images", len(samples)))
    rows = ",".join(f"({','.join(f'{value:.4f}' for value in row)})" for row in vectors)
    print(shlex.quote(f"pca_noise:values=({','.join(f'{value:.5f}' for value in values)}),vectors=({rows})"))
