"""Labels for images from the class centres of a trained head: for images without labels, or with doubtful ones.

What a model is sure of is added to its training data, as in Noisy Student, https://arxiv.org/abs/1911.04252; an image
that is near no centre, or as near to a second one, gets no label.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facezoo import progress
from facezoo.align import recrop
from facezoo.data.ahead import ahead
from facezoo.data.dataset import Dataset, FileDataset, Names
from facezoo.data.opening import open_dataset
from facezoo.data.problems import Labels
from facezoo.embedder import Embedder
from facezoo.extract import holds_photos_only
from facezoo.files import write_text
from facezoo.image import image_names
from facezoo.types import Crop, FloatArray, InputError, unit

BLOCK = 1024
"""Images embedded and compared at once."""

CENTRES = 1 << 15
"""Centres that a block is compared with at once: 128 MB of cosines."""


@dataclass(frozen=True, eq=False)
class Nearest:
    """The class that images are nearest to.

    Attributes:
        label: (N,) its place in the head.
        cosine: (N,) to its nearest centre.
        second: (N,) the cosine to the nearest centre of all other classes; -1 where there is no other.
    """

    label: Labels
    cosine: FloatArray
    second: FloatArray


def nearest(centres: FloatArray, embeddings: FloatArray) -> Nearest:
    """The nearest class of each embedding (N, D) among centres (C, D), or (C, K, D) with sub-centres, of any length."""
    each = centres.shape[1] if centres.ndim == 3 else 1
    flat = centres.reshape(-1, centres.shape[-1])
    rows, each_row = unit(embeddings.astype(np.float32)), np.arange(len(embeddings))
    label, best, second = np.zeros(len(rows), np.int64), np.full(len(rows), -1.0), np.full(len(rows), -1.0)
    step = max(1, CENTRES // each)
    for first in range(0, len(centres), step):
        some = unit(flat[first * each : (first + step) * each].astype(np.float32))
        cosine = (rows @ some.T).reshape(len(rows), -1, each).max(axis=2)
        top = cosine.argmax(axis=1)
        high = cosine[each_row, top]
        cosine[each_row, top] = -1
        second = np.maximum.reduce([second, cosine.max(axis=1), np.minimum(best, high)])
        label = np.where(high > best, top + first, label)
        best = np.maximum(best, high)
    return Nearest(label, best, second)


def _together(parts: Sequence[Nearest]) -> Nearest:
    return Nearest(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Nearest)))


def open_images(text: str) -> Dataset:
    """A dataset by path or spec, whose labels may mean nothing, or a folder that holds nothing but images."""
    path = Path(text)
    if not (path.is_dir() and holds_photos_only(path)):
        return open_dataset(text)
    names = Names(name.encode("utf-8", "surrogateescape") for name in image_names(path))
    return FileDataset(path, names, np.zeros(len(names), np.int64), {0: "unlabelled"}, len(names), {})


@dataclass(frozen=True, eq=False)
class Labelled:
    """What became of the images of a dataset.

    Attributes:
        samples: (K,) those that have a label, rising.
        labels: (K,) its place among the head's classes.
        counts: how many images there are of each kind, in words.
    """

    samples: NDArray[np.int64]
    labels: Labels
    counts: dict[str, int]


def label(
    data: Dataset,
    embed: Embedder,
    centres: FloatArray,
    classes: Sequence[str],
    cosine: float = 0.5,
    margin: float = 0.1,
) -> Labelled:
    """Find which images of a dataset are near one class, and only one.

    Args:
        data: crops as the model wants them; its own labels are only counted against.
        embed: the model that the centres were trained with.
        centres: (C, D), or (C, K, D) with sub-centres.
        classes: C names.
        cosine: an image has at least this cosine to its class.
        margin: and is nearer to it than to any other by at least this.

    Raises:
        InputError: other dimensions, thresholds that are none, no image can be read, or none would get a label.
    """
    if not -1 <= cosine <= 1 or not 0 <= margin <= 2:
        raise InputError(f"cosine is {cosine} and margin {margin}; they must be -1 to 1, and 0 to 2")
    if embed.contract.embedding_dim != centres.shape[-1]:
        raise InputError(
            f"the model gives {embed.contract.embedding_dim} dimensions, the head has {centres.shape[-1]}: it was "
            "trained with another one"
        )
    read: list[int] = []
    crops = _crops(data, embed, read)
    parts = []
    while len(rows := embed(islice(crops, BLOCK))):
        parts.append(nearest(centres, rows))
    if not parts:
        raise InputError(f"none of {len(data):,} images can be read")
    found, samples = _together(parts), np.array(read)
    near, alone = found.cosine >= cosine, found.cosine - found.second >= margin
    sure = near & alone
    if not sure.any():
        raise InputError(_none_labelled(found, near, cosine, margin))
    own = {name: number for number, name in enumerate(classes)}
    before = np.array([own.get(name, -1) for name in data.classes])[data.labels[samples]]
    counts = {
        "images": len(data),
        "labelled": int(sure.sum()),
        "near no class": int((~near).sum()),
        "near two classes": int((near & ~alone).sum()),
        "unreadable": len(data) - len(read),
        "labelled as before": int((sure & (found.label == before)).sum()),
        "labelled otherwise than before": int((sure & (found.label != before) & (before >= 0)).sum()),
    }
    return Labelled(samples[sure], found.label[sure], counts)


def _none_labelled(found: Nearest, near: NDArray[np.bool_], cosine: float, margin: float) -> str:
    """Why no image has a label, with the numbers that a threshold is chosen by."""
    if near.any():
        lead = found.cosine[near] - found.second[near]
        return (
            f"no image is labelled: of {near.sum():,} with a cosine of {cosine:g} to a class the nearest is nearer "
            f"than the next by {_spread(lead)}; lower the margin, which is {margin:g}"
        )
    return (
        f"no image is labelled: the cosines to the nearest class are {_spread(found.cosine)}; lower the cosine, which "
        f"is {cosine:g}"
    )


def _spread(values: FloatArray) -> str:
    half, most = np.quantile(values, [0.5, 0.9])
    return f"{half:.3f} in half of the images, {most:.3f} in nine of ten, {values.max():.3f} at most"


def _crops(data: Dataset, embed: Embedder, read: list[int]) -> Iterator[Crop]:
    """The crops that can be read, as the model wants them; which they are goes to `read`."""
    contract = embed.contract

    def crop(sample: int) -> Crop | None:
        try:
            return recrop(data.read(sample), contract.template, contract.input_size)
        except InputError:
            return None  # counted as unreadable

    for sample, found in enumerate(progress.track(ahead(crop, range(len(data))), "embed", "img", len(data))):
        if found is not None:
            read.append(sample)
            yield found


def write_counts(path: Path, labels: Labels, classes: Sequence[str]) -> None:
    """How many images each class has got, most first, as CSV."""
    images = np.bincount(labels, minlength=len(classes))
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["class", "images"])
    rows.writerows([classes[place], images[place]] for place in np.argsort(-images, kind="stable"))
    write_text(path, text.getvalue())
