"""insightface's verification packs as datasets: read, and written from any other."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from facezoo.data.classes import numbered
from facezoo.data.dataset import Dataset
from facezoo.data.framed import Framed, read_framed, write_framed
from facezoo.data.mapped import MappedFile
from facezoo.data.pack import MAX_PACK_BYTES, distinct, read_pack
from facezoo.data.pairs import Pairs, draw_pairs, joined, read_pairs
from facezoo.data.problems import Labels
from facezoo.data.writer import Encoded, Part, Writer
from facezoo.files import whole_file
from facezoo.registry import DATASETS, WRITERS
from facezoo.types import InputError


@DATASETS.register(name="bin")
class Pack(Dataset):
    """The images of an insightface verification pack (`lfw.bin`, `cfp_fp.bin`, `agedb_30.bin`), each once.

    A pack has no labels: images that genuine pairs connect make one class, as far as it tells, so a person may have
    several. `pairs()` are the pack's. The images stay in the file; only those of packs written by Python 2's protocols,
    which hold them as escaped text, are kept in memory.

    Args:
        path: the pack.
        check: decode every image once now.
        unreadable: with check, fail on damaged images or drop them, with their pairs.
        min_images: classes with fewer images than this are left out, with their pairs.

    Raises:
        InputError: not such a pack, damaged, or a pickle that asks for anything but bytes and booleans.
    """

    def __init__(
        self,
        path: Path,
        check: bool = False,
        unreadable: Literal["fail", "drop"] = "fail",
        min_images: int = 1,
    ) -> None:
        path = Path(path)
        images, same = read_pack(path)
        images, which, self._numbers = distinct(images)
        pairs = Pairs(which[::2], which[1::2], same)
        self._file = MappedFile(path)
        self._spans = _places(self._file, images)
        self._images = images if self._spans is None else None
        values = _components(pairs, len(images))
        classes, gaps = numbered(path, values)
        kept = self._open(path, values, classes, len(which), {"gaps": gaps}, check, unreadable, min_images)
        self._pairs = pairs
        if len(kept) < len(values):
            self._pairs = pairs.among(kept, len(values))
            self._numbers = self._numbers[kept]
            self._spans = self._spans if self._spans is None else self._spans[kept]
            self._images = self._images and [self._images[place] for place in kept]

    def encoded(self, index: int) -> bytes:
        if self._images is not None:
            return self._images[index]
        assert self._spans is not None
        start, end = self._spans[index]
        return self._file.bytes[start:end]

    def name(self, index: int) -> str:
        return f"{self._file.path}: image {self._numbers[index]}"

    def pairs(self) -> Pairs:
        return self._pairs


def _places(file: MappedFile, images: Sequence[bytes]) -> NDArray[np.int64] | None:
    """Start and end (N, 2) of images in the file, one after the other; None if one does not lie there as it is."""
    spans = np.empty((len(images), 2), np.int64)
    end = 0
    for number, image in enumerate(images):
        start = file.bytes.find(image, end)
        if start < 0:
            return None
        end = start + len(image)
        spans[number] = start, end
    return spans


def _components(pairs: Pairs, count: int) -> Labels:
    """Labels (N,) of images that genuine pairs connect, numbered by first appearance."""
    found = joined(pairs.left[pairs.same], pairs.right[pairs.same], count)
    _, first, labels = np.unique(found, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[labels].astype(np.int64)


@WRITERS.register(name="bin")
@dataclass(frozen=True)
class PackWriter(Writer):
    """A verification pack, as insightface's `load_bin` reads it: the images of pairs, and which pairs are genuine.

    Args:
        path: the pack.
        pairs: how many to draw, half of them genuine where there are enough, spread evenly so that consecutive folds
            are alike; or a list with lines `left right label` of the source's image paths, kept in order.
        seed: of the pairs that are drawn.
    """

    path: Path
    pairs: int | Path = 6000
    seed: int = 0
    complete: ClassVar[bool] = False

    @property
    def suffix(self) -> str:
        return ".part"

    def write(self, samples: Iterable[Encoded], file: Path) -> dict[str, Any]:
        return write_framed(samples, file, lambda sample: sample.data)

    def finish(self, parts: Sequence[Part], classes: Sequence[str]) -> list[Path]:
        framed = [read_framed(part) for part in parts]
        if isinstance(self.pairs, int):
            pairs = _drawn(np.concatenate([part.labels for part in framed]), self.pairs, self.seed)
        else:
            pairs = _listed(Path(self.pairs), framed)
        order = np.stack([pairs.left, pairs.right], axis=1).ravel()
        lengths = np.concatenate([np.diff(part.offsets) for part in framed])
        if (size := int(lengths[order].sum())) > MAX_PACK_BYTES:
            raise InputError(
                f"{self.path}: {size:,} bytes of images, a pack holds {MAX_PACK_BYTES:,}; take fewer pairs"
            )
        firsts = np.cumsum([0, *(len(part.labels) for part in framed)])
        with whole_file(self.path) as temporary, temporary.open("wb") as out:
            # A pickle of protocol 3, written as it is read back: ([bytes, ...], [True, ...]).
            out.write(b"\x80\x03](")
            for sample in order.tolist():
                part = int(np.searchsorted(firsts, sample, side="right")) - 1
                image = framed[part].frame(sample - int(firsts[part]))
                out.write(b"B" + struct.pack("<I", len(image)) + image)
            out.write(b"e](" + b"".join(b"\x88" if same else b"\x89" for same in pairs.same) + b"e\x86.")
        return [self.path]


def _drawn(labels: Labels, count: int, seed: int) -> Pairs:
    """Drawn pairs, either kind spread evenly."""
    left, right = draw_pairs(labels.astype(np.intp), count, seed)
    same = labels[left] == labels[right]
    place = np.empty(len(same))
    for kind in (same, ~same):
        place[kind] = (np.arange(kind.sum()) + 0.5) / max(1, kind.sum())
    order = np.argsort(place, kind="stable")
    return Pairs(left[order], right[order], same[order])


def _listed(path: Path, framed: Sequence[Framed]) -> Pairs:
    """The pairs of a list, by the paths of the samples."""
    listed = read_pairs(path)
    names, left, right = listed.photos()
    wanted = dict.fromkeys(names, -1)
    number = 0
    for part in framed:
        for name in part.paths():
            if name in wanted:
                wanted[name] = number
            number += 1
    if missing := [name for name, sample in wanted.items() if sample < 0]:
        raise InputError(
            f"{path}: {len(missing):,} of {len(names):,} images are not in the source, the first: {missing[0]}; "
            "the list must name the paths that the source gives"
        )
    samples = np.array(list(wanted.values()), np.intp)
    return Pairs(samples[left], samples[right], listed.same)
