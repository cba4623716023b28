"""Labelled crops: what every reader of training data gives, and how it says what is wrong with the data."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
from abc import ABC, abstractmethod
from array import array
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from facezoo import progress
from facezoo.data.ahead import ahead
from facezoo.data.pairs import Pairs
from facezoo.data.problems import Finding, Labels, Problems, compact
from facezoo.image import decode_image, read_file
from facezoo.types import Crop, InputError

log = logging.getLogger(__name__)


@functools.cache
def _warn(source: Path, problems: str) -> None:
    """Once a process: a dataset around another, as `masked`, opens again what a command has opened."""
    log.warning("%s: %s", source, problems)


class Names:
    """Millions of short strings in one buffer of UTF-8 bytes, instead of one object each."""

    def __init__(self, names: Iterable[bytes]) -> None:
        buffer, lengths = bytearray(), array("q")
        for name in names:
            buffer += name
            lengths.append(len(name))
        self._keep(buffer, np.frombuffer(lengths, np.int64))

    @classmethod
    def joined(cls, texts: Iterable[tuple[bytes, NDArray[np.unsignedinteger[Any]]]]) -> Names:
        """Names that lie one behind the other in each of the texts, by their lengths in bytes."""
        buffer, lengths = bytearray(), [np.empty(0, np.uint8)]
        for text, counts in texts:
            buffer += text
            lengths.append(counts)
        names = cls.__new__(cls)
        names._keep(buffer, np.concatenate(lengths))
        return names

    def _keep(self, buffer: bytearray, lengths: NDArray[np.integer[Any]]) -> None:
        self._buffer, self._ends = buffer, np.zeros(len(lengths) + 1, np.int64)
        np.cumsum(lengths, out=self._ends[1:])

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, index: int) -> str:
        return self.raw(range(len(self))[index]).decode()

    def raw(self, index: int) -> bytes:
        return bytes(self._buffer[self._ends[index] : self._ends[index + 1]])

    def take(self, indices: NDArray[np.integer[Any]]) -> Names:
        """The names at these places."""
        return Names(self.raw(int(i)) for i in indices)


class Dataset(ABC):
    """Crops with integer labels: what every format's reader gives.

    Opening one reads an index, never the images; an image is read when it is asked for, from any thread or process.

    Attributes:
        labels: (N,) int64, from 0 to C - 1, every one of them used.
        classes: C names; `classes[label]` is the label's name in the source.
        problems: what was wrong with the source and was left out.
        shards: (N,) number of the shard, row group or part of the source each sample lies in, never falling; None where
            any order reads equally fast. Orders that stay within a few shards at a time read such sources fast.
        weights: (N,) how often a sample is drawn in an epoch, fractions allowed; None where each is drawn once.
        spaces: (C,) number of the label space each class belongs to; None for one space. People of different spaces
            may be the same, so a sample competes with the classes of its own space only.
        source: (N,) number of the set each sample comes from; None where the data are one set.
    """

    labels: Labels
    classes: list[str]
    problems: Problems
    shards: NDArray[np.int32] | None = None
    weights: NDArray[np.float64] | None = None
    spaces: Labels | None = None
    source: Labels | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def digest(self) -> str:
        """Tells these data from any other by the labels, in order, and their names."""
        digest = sha256(np.ascontiguousarray(self.labels).tobytes())
        for name in self.classes:
            digest.update(name.encode("utf-8", "surrogateescape") + b"\0")
        return digest.hexdigest()

    @abstractmethod
    def encoded(self, index: int) -> bytes:
        """The image as the source stores it: the bytes of a JPEG, PNG or other image file.

        Raises:
            InputError: it cannot be read; what, where (file and offset) and what to do.
        """

    def read(self, index: int) -> Crop:
        """The crop, uint8 RGB (H, W, 3), in the size of the source.

        Raises:
            InputError: it cannot be read or decoded.
        """
        return decode_image(self.encoded(index), self.name(index))

    @abstractmethod
    def name(self, index: int) -> str:
        """Where the crop comes from, for messages."""

    def path(self, index: int) -> str:
        """Where the image lies, or would lie as a file: `identity/image.jpg`, forward slashes, no two alike."""
        return f"{self.classes[self.labels[index]]}/{index:09d}.jpg"

    def origin(self, index: int) -> str:
        """The path, in its own set, of the photo that the sample was made of: what a teacher saw of a masked one."""
        return self.path(index)

    def stamp(self) -> str:
        """Tells whether the files of the source have changed since; empty where the reader keeps no names of files."""
        return ""

    def pairs(self) -> Pairs | None:
        """The pairs of samples that the source lists; None if it lists none."""
        return None

    def _open(
        self,
        source: Path,
        values: Labels,
        classes: Mapping[int, str],
        entries: int,
        problems: dict[str, Finding],
        check: bool = False,
        unreadable: Literal["fail", "drop"] = "fail",
        min_images: int = 1,
    ) -> NDArray[np.int32]:
        """Set labels, classes and problems, and give the places of the samples that stay, in order.

        The reader calls it once all samples of the source can be read by their place there, and then lets go of those
        that do not stay.

        Args:
            source: what is opened, for messages.
            values: (N,) integers of any values; they are numbered anew from 0 in rising order.
            classes: the name of each label value.
            entries: images listed, before any was left out.
            problems: what was found so far.
            check: decode every image once now, in parallel.
            unreadable: what to do with images that do not decode: fail, or drop them.
            min_images: identities with fewer images are left out.
        """
        if unreadable == "drop" and not check:
            raise InputError(f"{source}: unreadable=drop needs check=true, else nothing looks for unreadable files")
        if min_images < 1:
            raise InputError(f"{source}: min_images is {min_images}, it must be 1 or more")
        kept = np.arange(len(values), dtype=np.int32)
        if check:
            broken = self._broken(len(values))
            kept = np.delete(kept, list(broken))
            problems["unreadable"] = Finding.of(broken.values())
            if broken and unreadable == "fail":
                raise InputError(
                    f"{source}: unreadable images: {problems['unreadable']}; repair them or write unreadable=drop"
                )
        used, codes = compact(values if len(kept) == len(values) else values[kept])  # else all labels are copied
        small = np.bincount(codes, minlength=len(used)) < min_images
        problems["small"] = Finding.of(classes[value] for value in used[small].tolist())
        if small.any():
            kept = kept[~small[codes]]
        if len(kept) == 0:
            raise InputError(f"{source}: no image is left ({Problems(entries, **problems).summary()})")
        used, self.labels = compact(values[kept]) if small.any() else (used, codes)
        self.classes = [classes[value] for value in used.tolist()]
        self.problems = Problems(entries, **problems)
        if self.problems:
            _warn(source, self.problems.summary())
        return kept

    def _broken(self, count: int) -> dict[int, str]:
        """Of the first `count` images those that do not decode, by place; decoding releases the interpreter lock."""
        reads = progress.track(ahead(self._reads, range(count)), "check", "images", count)
        return {place: self._short_name(place) for place, reads_well in enumerate(reads) if not reads_well}

    def _reads(self, place: int) -> bool:
        try:
            self.read(place)
        except InputError:
            return False
        return True

    def _short_name(self, place: int) -> str:
        """As `name`, for lists of several."""
        return self.name(place)


class FileDataset(Dataset):
    """One image file per crop, below one folder.

    Args:
        root: the folder.
        names: N paths relative to it, forward slashes.
        labels: (N,) integers of any values; they are numbered anew from 0 in rising order.
        classes: the name of each label value.
        entries: images listed, before any was left out.
        problems: what was found so far.
        check: decode every image once now, in parallel.
        unreadable: what to do with images that do not decode: fail, or drop them.
        min_images: identities with fewer images are left out.
    """

    def __init__(
        self,
        root: Path,
        names: Names,
        labels: Labels,
        classes: dict[int, str],
        entries: int,
        problems: dict[str, Finding],
        check: bool = False,
        unreadable: Literal["fail", "drop"] = "fail",
        min_images: int = 1,
    ) -> None:
        self.root, self._names = Path(root), names
        kept = self._open(root, labels, classes, entries, problems, check, unreadable, min_images)
        if len(kept) < len(names):
            self._names = names.take(kept)

    def stamp(self) -> str:
        digest = sha256()
        for index in range(len(self)):
            with contextlib.suppress(OSError):  # a missing file is told when it is read
                found = os.stat(self.name(index))  # noqa: PTH116 - millions of files
                digest.update(f"{found.st_size} {found.st_mtime_ns}\n".encode())
        return digest.hexdigest()

    def encoded(self, index: int) -> bytes:
        return read_file(self.name(index))

    def path(self, index: int) -> str:
        return self._names[index]

    def name(self, index: int) -> str:
        return os.path.join(self.root, self._names[index])  # noqa: PTH118 - Path costs as much as a small read

    def _short_name(self, place: int) -> str:
        return self._names[place]
