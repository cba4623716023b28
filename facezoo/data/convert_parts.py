"""The pieces of a conversion that worker processes do: samples made ready, parts written, unreadable images found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from facezoo.data.dataset import Dataset
from facezoo.data.folder import folder_name
from facezoo.data.manifest import sample_digest
from facezoo.data.problems import Labels
from facezoo.data.recode import Recoding, image_kind
from facezoo.data.staging import Staging
from facezoo.data.writer import Encoded, Writer
from facezoo.files import write_bytes
from facezoo.image import decode_image
from facezoo.types import InputError


@dataclass(frozen=True)
class Source:
    """The samples that are written, in the source's order: number k is the k-th of them."""

    data: Dataset
    kept: NDArray[np.int64]
    labels: Labels
    classes: list[str]
    recoding: Recoding | None
    check: bool

    @classmethod
    def of(cls, data: Dataset, skipped: list[int], recoding: Recoding | None, check: bool) -> Source:
        kept = np.delete(np.arange(len(data)), skipped)
        if not len(kept):
            raise InputError("no image of the source can be read")
        used, labels = np.unique(data.labels[kept], return_inverse=True)
        return cls(data, kept, labels, [data.classes[label] for label in used], recoding, check)

    def __len__(self) -> int:
        return len(self.kept)

    def image(self, number: int) -> bytes:
        """The bytes to write, decoded once if that is asked for."""
        index = int(self.kept[number])
        data = self.data.encoded(index)
        if self.recoding is not None:
            return self.recoding(data, self.data.name(index))
        if self.check:
            decode_image(data, self.data.name(index))
        return data

    def sample(self, number: int) -> Encoded:
        data, label = self.image(number), int(self.labels[number])
        return Encoded(number, label, self.path(number, data), data)

    def path(self, number: int, data: bytes) -> str:
        """The path in the source, below the class's folder, with the ending of the image's kind."""
        index, name = int(self.kept[number]), self.classes[self.labels[number]]
        kind, path = image_kind(data), self.data.path(index)
        if kind is None:
            raise InputError(f"{self.data.name(index)}: not an image of a known format")
        folders, _, base = path.removeprefix(f"{name}/").rpartition("/")
        stem, dot, ending = base.rpartition(".")
        if not dot or ending.lower() not in {
            kind,
            *(("jpeg",) if kind == "jpg" else ("tiff",) if kind == "tif" else ()),
        }:
            base = f"{stem if dot else base}.{kind}"
        parts = PurePosixPath(folders).parts
        if ".." in parts or PurePosixPath(folders).is_absolute():
            raise InputError(f"{self.data.name(index)}: its path {path!r} leads out of the dataset")
        return "/".join(folder_name(part) for part in (name, *parts, base))


@dataclass(frozen=True)
class PartWriter:
    """Writes the parts of a conversion, one for each call, in whichever process."""

    source: Source
    writer: Writer
    staging: Staging
    part_size: int

    @property
    def parts(self) -> int:
        return -(-len(self.source) // self.part_size)

    def __call__(self, part: int) -> int:
        """Write a part with its record; gives its number of images."""
        numbers, digests = _piece(part, self.part_size, len(self.source)), bytearray()
        classes = self.source.classes

        def samples() -> Iterator[Encoded]:
            for number in numbers:
                try:
                    sample = self.source.sample(number)
                except InputError as error:
                    raise InputError(
                        f"{error}; repair it, or leave such images out with --unreadable skip --force"
                    ) from None
                digests.extend(sample_digest(classes[sample.label], sample.data))
                yield sample

        suffix = self.writer.suffix
        facts = self.staging.write_part(part, suffix, lambda file: self.writer.write(samples(), file))
        write_bytes(self.staging.digests(part), bytes(digests))
        record = {"first": numbers.start, "samples": len(numbers), "facts": facts}
        self.staging.record(self.staging.record_of(part), record)
        return len(numbers)


@dataclass(frozen=True)
class Scan:
    """Looks for the images that cannot be read, piece by piece."""

    source: Source
    size: int

    @property
    def pieces(self) -> int:
        return -(-len(self.source) // self.size)

    def numbers(self, piece: int) -> range:
        return _piece(piece, self.size, len(self.source))

    def __call__(self, piece: int) -> list[tuple[int, str]]:
        """Those of one piece, and why."""
        found = []
        for number in self.numbers(piece):
            try:
                self.source.sample(number)
            except InputError as error:
                found.append((number, str(error)))
        return found


def _piece(number: int, size: int, count: int) -> range:
    return range(number * size, min((number + 1) * size, count))
