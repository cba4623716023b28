"""What the photos of a class tell about it: its centre, and which of them do not belong."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from facezoo import progress
from facezoo.align import recrop
from facezoo.data.dataset import Dataset
from facezoo.data.subset import write_subset
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
            yield recrop(crop, embed.contract.template, embed.contract.input_size)

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
    """What `clean_list` did: images that stay and go, the head with the main centres alone, what to train on."""

    kept: int
    dropped: int
    unreadable: int
    head: HeadFile
    spec: str

    def sentence(self, out: Path) -> str:
        share = self.dropped / max(1, self.kept + self.dropped)
        unreadable = f", {self.unreadable:,} cannot be read" if self.unreadable else ""
        return (
            f"{out}: {self.kept:,} images stay, {self.dropped:,} ({share:.1%}) go to {dropped_file(out)}{unreadable}; "
            f"train on {shlex.quote(self.spec)}"
        )


def dropped_file(out: Path) -> Path:
    """Where the images that `clean_list` leaves out are written down."""
    return out.with_name(f"{out.stem}.dropped{out.suffix}")


def clean_list(head: HeadFile, embed: Embedder, data: Dataset, of: str, out: Path, angle: float = 75.0) -> Cleaned:
    """Write the images of a dataset within an angle (degrees) of their class's main centre as a list, and the others.

    The list is that of `facezoo.data.subset.write_subset`, classes keep their names. The others, as
    `path<TAB>class<TAB>angle`, lie beside it.

    Args:
        of: path or spec of the data.

    Raises:
        InputError: the head has one centre a class, lacks a class of the data, or has another dimension; or no image
            would be left.
    """
    if head.sub_centres < 2:
        raise InputError("the head has one centre a class: train with model.sub_centres=3 to tell stray images apart")
    places = np.array(head.places(data.classes))
    embeddings, read = embed_samples(data, range(len(data)), embed)
    if embeddings.shape[1] != head.embedding_dim:
        raise InputError(f"the model gives {embeddings.shape[1]} dimensions, the head has {head.embedding_dim}")
    samples = np.array(read, np.int64)
    weight = head.weight.float().numpy()
    found = clean(weight, embeddings, places[data.labels[samples]], angle)
    spec = write_subset(data, of, samples[found.kept], out)
    dropped = [
        f"{data.path(sample)}\t{data.classes[data.labels[sample]]}\t{degrees:.1f}\n"
        for sample, degrees in zip(samples[~found.kept].tolist(), found.angles[~found.kept], strict=True)
    ]
    write_text(dropped_file(out), "".join(dropped))
    main = replace(head, weight=torch.from_numpy(dominant_centres(weight, found.dominant)))
    return Cleaned(int(found.kept.sum()), len(dropped), len(data) - len(read), main, spec)
