"""The group `facezoo data`: look at a dataset and choose parts of it."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter

from facezoo.cli.app import app, print_json
from facezoo.cli.outputs import check_list, check_output

if TYPE_CHECKING:
    from facezoo.data.dataset import Dataset
    from facezoo.data.subset import Samples

commands = App(name="data", help="Look at a dataset and work on it.")
app.command(commands)


@commands.command
def stats(data: str, /, *, html: Path | None = None, force: bool = False, json: bool = False) -> None:
    """Read every image once and tell what there is: identities, sizes, formats, copies, damaged images.

    Args:
        data: path of a dataset, or its spec such as rec:path=train.rec.
        html: also write a page with histograms and the images at the extremes.
        force: replace a page that is there.
        json: print as JSON.
    """
    from facezoo.data.opening import open_dataset
    from facezoo.data.stats import measure, rows

    source = open_dataset(data)
    if html:
        check_output(html, force, source, data)
    found = measure(source)
    if html:
        from facezoo.curation.stats_page import stats_page
        from facezoo.files import write_text

        write_text(html, stats_page(found, source, data))
    if json:
        print_json(found.to_dict())
        return
    for word, value in rows(found, source.classes).items():
        print(f"{word:24}{value}")
    for place in found.unreadable.first:
        print(f"  {place}")


@commands.command(name="filter")
def filter_(
    data: str,
    out: Path,
    /,
    *,
    min_images: int = 1,
    max_images: int | None = None,
    labels: Path | None = None,
    drop: Path | None = None,
    seed: int = 0,
    force: bool = False,
    json: bool = False,
) -> None:
    """Write the list of a part of a dataset, chosen by identity; the data stay as they are.

    Args:
        data: path of a dataset, or its spec.
        out: the list: `path label` lines for image files, else sample numbers; trained on with what is printed.
        min_images: identities with at least so many images stay, those with fewer go. (face.evoLVe's low-shot removal
            also deletes those with exactly its number: give one more here. TFace's num_min is this number.)
        max_images: of identities with more, so many images are drawn.
        labels: text file, one name of an identity a line: all others go.
        drop: text file of identities that go, such as leave_out.txt of `data audit`.
        seed: of the images that are drawn.
        force: replace a list that is there.
        json: print as JSON.
    """
    from facezoo.data.opening import open_dataset
    from facezoo.data.subset import filtered, read_names

    source = open_dataset(data)
    keep = read_names(labels) if labels else None
    samples = filtered(source, min_images, max_images, keep, read_names(drop) if drop else (), seed)
    _write(source, data, {out: samples}, force, json)


@commands.command
def split(
    data: str,
    out: Path,
    /,
    *,
    parts: Annotated[list[float], Parameter(consume_multiple=True)],
    by: Literal["identity", "image"],
    seed: int = 0,
    force: bool = False,
    json: bool = False,
) -> None:
    """Cut a dataset into lists that together are the whole, by chance.

    Args:
        data: path of a dataset, or its spec.
        out: folder in which part1.txt, part2.txt ... are written.
        parts: shares such as 0.9 0.1; together 1.
        by: identity: no person is in two parts; image: every identity is cut by the shares.
        seed: other seeds cut otherwise.
        force: replace lists that are there.
        json: print as JSON.
    """
    from facezoo.data.opening import open_dataset
    from facezoo.data.subset import split as cut

    source = open_dataset(data)
    found = cut(source, parts, by, seed)
    _write(source, data, {out / f"part{number}.txt": part for number, part in enumerate(found, 1)}, force, json)


@commands.command
def shallow(
    data: str,
    out: Path,
    /,
    *,
    images: int = 2,
    keep_small: bool = False,
    seed: int = 0,
    force: bool = False,
    json: bool = False,
) -> None:
    """Write the list of a few images of each identity, drawn by chance, as shallow training takes them.

    Args:
        data: path of a dataset, or its spec.
        out: the list.
        images: of each identity.
        keep_small: keep identities with fewer images, with all they have; otherwise they go.
        seed: other seeds draw others.
        force: replace a list that is there.
        json: print as JSON.
    """
    from facezoo.data.opening import open_dataset
    from facezoo.data.subset import shallow as draw

    source = open_dataset(data)
    _write(source, data, {out: draw(source, images, seed, keep_small)}, force, json)


def _write(source: Dataset, of: str, parts: dict[Path, Samples], force: bool, json: bool) -> None:
    import numpy as np

    from facezoo.data.subset import write_subset

    for out in parts:
        check_list(out, force, source, of)
    facts: list[dict[str, Any]] = []
    for out, samples in parts.items():
        spec = write_subset(source, of, samples, out)
        people = len(np.unique(source.labels[samples]))
        facts.append({"list": str(out), "images": len(samples), "identities": people, "train": spec})
    if json:
        print_json(facts)
        return
    for fact in facts:
        print(
            f"{fact['list']}: {fact['images']:,} of {len(source):,} images, {fact['identities']:,} of "
            f"{len(source.classes):,} identities; train on {shlex.quote(fact['train'])}"
        )
