"""Photos that are there more than once, also re-encoded, scaled or mirrored: alike to the model and alike in pixels.

How alike copies are is measured on copies of the data's own images that are made for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from facezoo import progress
from facezoo.align import recrop
from facezoo.curation.embeddings import Embeddings
from facezoo.curation.outliers import groups
from facezoo.data.dataset import Dataset
from facezoo.data.pairs import joined
from facezoo.data.problems import Labels
from facezoo.evaluation.run import Embed
from facezoo.image import decode_image, encode_jpeg
from facezoo.types import Crop, FloatArray, unit

SIDE = 32
"""Of the small grey picture in which images are compared, pixels."""

COPIES, QUALITY, SCALE = 200, 50, 0.75
"""How many copies are made to measure on, their JPEG quality, and how far they are scaled down and up again."""

RECALL = 0.99
"""Of the copies that are made, the share that the thresholds find."""

TABLES = 24
"""Hash tables in which images of different identities meet; more find more copies that are less alike."""

BUCKET = 4096
"""Images of one bucket that are compared with each other."""

BITS = range(4, 21)


class Alike(NamedTuple):
    """From where on two images count as copies: the cosine of their embeddings, and the likeness of their pixels."""

    cosine: float
    likeness: float


@dataclass(frozen=True)
class Duplicate:
    """Samples that show one photo: which one to keep, and the others.

    Attributes:
        likeness: the lowest of a pair that holds the group together.
        mirrored: whether a pair is alike only after one is mirrored.
        across: whether they have several labels.
    """

    keep: int
    others: tuple[int, ...]
    likeness: float
    mirrored: bool
    across: bool


def signature(crop: Crop) -> FloatArray:
    """(2, SIDE, SIDE) float32: the fine structure of a crop and of its mirror image, each of length 1.

    What is coarse, the shape of an aligned face and its light, is alike in all photos of a person and left out.
    """
    grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY).astype(np.float32)
    small = cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    fine = small - cv2.GaussianBlur(small, (0, 0), SIDE / 16)
    fine = unit((fine - fine.mean()).reshape(1, -1)).reshape(SIDE, SIDE)
    return np.stack([fine, fine[:, ::-1]])


def measure_copies(data: Dataset, embeddings: Embeddings, embed: Embed, seed: int = 0) -> Alike:
    """How alike copies of these images are: both thresholds, under which `RECALL` of the copies made lie.

    Raises:
        InputError: none of the images drawn can be read.
    """
    usable = np.flatnonzero(~embeddings.failed)
    drawn = np.sort(np.random.default_rng(seed).choice(usable, min(COPIES, len(usable)), replace=False))
    images = [data.read(int(sample)) for sample in drawn]
    copies = [_copy(image) for image in images]
    contract = embed.contract
    vectors = unit(embed(recrop(copy, contract.template, contract.input_size) for copy in copies))
    cosine = np.einsum("nd,nd->n", vectors, embeddings[drawn])
    likeness = [float((signature(one)[0] * signature(other)[0]).sum()) for one, other in zip(images, copies)]
    return Alike(float(np.quantile(cosine, 1 - RECALL)), float(np.quantile(likeness, 1 - RECALL)))


def _copy(image: Crop) -> Crop:
    height, width = image.shape[:2]
    small = (max(1, round(SCALE * width)), max(1, round(SCALE * height)))
    scaled = cv2.resize(cv2.resize(image, small, interpolation=cv2.INTER_AREA), (width, height))
    return decode_image(encode_jpeg(scaled, QUALITY), "copy")  # type: ignore[arg-type]


def duplicates(data: Dataset, embeddings: Embeddings, alike: Alike, fits: FloatArray, seed: int = 0) -> list[Duplicate]:
    """Groups of copies, those under several labels first, then by likeness.

    Inside an identity all pairs are compared, across identities those that meet in a bucket of one of `TABLES` hash
    tables. One image of a group is kept: under several labels the one that fits its identity best, else the largest.

    Args:
        fits: (N,) how well each image fits its identity.
        seed: of the hash tables.
    """

    @lru_cache(maxsize=4 * BUCKET)
    def look(sample: int) -> tuple[FloatArray, int]:
        crop = data.read(sample)
        return signature(crop), crop.shape[0] * crop.shape[1]

    near = set(_inside(embeddings, data.labels, alike.cosine)) | set(
        _across(embeddings, data.labels, alike.cosine, seed)
    )
    pairs: dict[tuple[int, int], tuple[float, bool]] = {}
    for one, other in progress.track(sorted(near), "pixels", "pair"):
        straight, mirrored = (float((look(one)[0][0] * picture).sum()) for picture in look(other)[0])
        if max(straight, mirrored) >= alike.likeness:
            pairs[one, other] = max(straight, mirrored), mirrored > straight
    found = []
    for group in _joined(pairs):
        inner = [pairs[pair] for pair in pairs if pair[0] in group]
        across = len(np.unique(data.labels[group])) > 1
        if across:
            keep = max(group, key=lambda sample: (np.nan_to_num(fits[sample], nan=-1.0), -sample))
        else:
            keep = max(group, key=lambda sample: (look(sample)[1], len(data.encoded(sample)), -sample))
        others = tuple(sample for sample in group if sample != keep)
        found.append(Duplicate(keep, others, min(v for v, _ in inner), any(m for _, m in inner), across))
    return sorted(found, key=lambda group: (not group.across, -group.likeness, group.keep))


def _inside(embeddings: Embeddings, labels: Labels, cosine: float) -> Iterator[tuple[int, int]]:
    for _, samples in progress.track(groups(labels, ~embeddings.failed), "copies inside", "id"):
        vectors = embeddings[samples]
        for start in range(0, len(samples), BUCKET):
            rows, columns = np.nonzero(vectors[start : start + BUCKET] @ vectors.T >= cosine)
            later = columns > rows + start
            yield from _pairs(samples[rows[later] + start], samples[columns[later]])


def _across(embeddings: Embeddings, labels: Labels, cosine: float, seed: int) -> Iterator[tuple[int, int]]:
    """Pairs of different labels: random hyperplanes through the mean put near images into one bucket."""
    usable = np.flatnonzero(~embeddings.failed)
    generator = np.random.default_rng(seed)
    mean = embeddings[generator.permutation(usable)[: 16 * BUCKET]].mean(axis=0)
    bits = int(np.clip(np.log2(max(len(usable) / 64, 1)), BITS.start, BITS.stop - 1))
    for _ in progress.track(range(TABLES), "copies across", "table"):
        planes = generator.normal(size=(embeddings.dim, bits + 1)).astype(np.float32)
        parts = [(embeddings[part] - mean) @ planes for part in _blocks(usable)]
        sides = np.concatenate(parts)
        keys = (sides[:, :bits] > 0) @ (1 << np.arange(bits))
        order = np.lexsort((sides[:, bits], keys))  # in a bucket that is cut, near images stay together
        for start, stop in _runs(keys[order]):
            samples = np.sort(usable[order[start:stop]])
            if len(samples) > 1 and (labels[samples] != labels[samples[0]]).any():
                vectors = embeddings[samples]
                rows, columns = np.nonzero(np.triu(vectors @ vectors.T >= cosine, 1))
                apart = labels[samples[rows]] != labels[samples[columns]]
                yield from _pairs(samples[rows[apart]], samples[columns[apart]])


def _blocks(samples: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    return np.array_split(samples, -(-len(samples) // BUCKET))


def _runs(keys: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Where runs of equal keys begin and end, cut to at most BUCKET."""
    starts = np.append(np.flatnonzero(np.diff(keys, prepend=-1)), len(keys))
    for start, stop in zip(starts[:-1].tolist(), starts[1:].tolist()):
        for first in range(start, stop, BUCKET):
            yield first, min(first + BUCKET, stop)


def _pairs(ones: NDArray[np.int64], others: NDArray[np.int64]) -> Iterable[tuple[int, int]]:
    return zip(ones.tolist(), others.tolist())


def _joined(pairs: Iterable[tuple[int, int]]) -> list[list[int]]:
    """Samples that hang together, each group rising."""
    edges = np.array(list(pairs), np.int64).reshape(-1, 2)
    samples, codes = np.unique(edges, return_inverse=True)
    left, right = codes.reshape(-1, 2).T
    group = joined(left, right, len(samples))
    return [samples[group == number].tolist() for number in np.unique(group)]
