"""What the photos of a class tell about it: its centre, and which of them do not belong."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from facezoo import progress
from facezoo.align import fit
from facezoo.data.list_lines import MAX_DIGITS
from facezoo.embedder import Embedder
from facezoo.files import write_text
from facezoo.head_file import HeadFile
from facezoo.heads.cleaning import clean, dominant_centres
from facezoo.types import Crop, FloatArray, InputError, unit

log = logging.getLogger(__name__)


def embed_samples(data: Any, samples: Sequence[int], embed: Embedder) -> tuple[FloatArray, list[int]]:
    """Embeddings (n, D) of samples of a dataset, and which samples they are: unreadable ones are named and left out."""
    read: list[int] = []

    def crops() -> Iterator[Crop]:
        for sample in progress.track(samples, "embed", "img"):
            try:
                crop = data.read(sample)
            except InputError as error:
                log.warning("left out: %s", error)
                continue
            read.append(sample)
            yield fit(crop, embed.contract.input_size)

    embeddings = embed(crops())
    if not read:
        raise InputError(f"none of {len(samples)} images can be read")
    return embeddings, read


def class_means(data: Any, classes: Sequence[str], embed: Embedder) -> Tensor:
    """Mean directions (n, D) of the photos of some classes of a dataset.

    Raises:
        InputError: a class has no readable photo.
    """
    place = {name: number for number, name in enumerate(classes)}
    wanted = np.array([place.get(name, -1) for name in data.classes])[data.labels]
    embeddings, read = embed_samples(data, np.flatnonzero(wanted >= 0).tolist(), embed)
    sums = np.zeros((len(classes), embeddings.shape[1]))
    np.add.at(sums, wanted[read], unit(embeddings))
    if empty := [name for name, row in zip(classes, sums, strict=True) if not row.any()]:
        raise InputError(f"class {empty[0]!r} has no readable photo (and {len(empty) - 1} more classes)")
    return torch.from_numpy(unit(sums)).float()


@dataclass(frozen=True, eq=False)
class Cleaned:
    """What `clean_list` found: how many images stay and go, and the head with the main centres alone."""

    kept: int
    dropped: int
    unreadable: int
    head: HeadFile
    root: Path

    def sentence(self, out: Path) -> str:
        share = self.dropped / max(1, self.kept + self.dropped)
        unreadable = f", {self.unreadable:,} cannot be read" if self.unreadable else ""
        return (
            f"{out}: {self.kept:,} images stay, {self.dropped:,} ({share:.1%}) go to {dropped_file(out)}{unreadable}; "
            f"train on list:path={out},root={self.root}"
        )


def dropped_file(out: Path) -> Path:
    """Where the images that `clean_list` leaves out are written down."""
    return out.with_name(f"{out.stem}.dropped{out.suffix}")


def clean_list(head: HeadFile, embed: Embedder, data: Any, out: Path, angle: float = 75.0) -> Cleaned:
    """Write the images of a dataset within an angle (degrees) of their class's main centre as a list, and the others.

    Lines are `path<TAB>label`, paths relative to the dataset's root, as `list:path=OUT,root=ROOT` reads them. The label
    is the class's name where all names are whole numbers, as a list has them, else its place in the data: then the
    head that is given back has the data's classes under these labels. Images left out have their angle besides.

    Raises:
        InputError: the head has one centre a class, lacks a class of the data, or has another dimension; or the data
            are not files below one folder.
    """
    root = getattr(data, "root", None)
    if root is None:
        raise InputError("a list can be written for data of image files only")
    if head.sub_centres < 2:
        raise InputError("the head has one centre a class: train with model.sub_centres=3 to tell stray images apart")
    places = np.array(head.places(data.classes))
    embeddings, read = embed_samples(data, range(len(data)), embed)
    if embeddings.shape[1] != head.embedding_dim:
        raise InputError(f"the model gives {embeddings.shape[1]} dimensions, the head has {head.embedding_dim}")
    labels = places[data.labels[read]]
    weight = head.weight.float().numpy()
    found = clean(weight, embeddings, labels, angle)
    # As a list gives them back: 007 would come back as 7.
    numbered = all(name.isdecimal() and len(name) <= MAX_DIGITS and str(int(name)) == name for name in data.classes)
    names = list(data.classes) if numbered else [str(place) for place in range(len(data.classes))]
    lines: dict[bool, list[str]] = {True: [], False: []}
    for sample, keep, degrees in zip(read, found.kept, found.angles, strict=True):
        label = int(data.labels[sample])
        path = Path(data.name(sample)).relative_to(root).as_posix()
        line = f"{path}\t{names[label]}"
        lines[bool(keep)].append(f"{line}\n" if keep else f"{line}\t{degrees:.1f}\n")
    write_text(dropped_file(out), "".join(lines[False]))
    write_text(out, "".join(lines[True]))
    main = replace(head, weight=torch.from_numpy(dominant_centres(weight, found.dominant)))
    if not numbered:
        main = replace(main.only(data.classes), classes=names)
    return Cleaned(len(lines[True]), len(lines[False]), len(data) - len(read), main, root)
