"""TFace's training sets: TFRecord shards and the index files that say what is where."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from facezoo.data.classes import write_classes
from facezoo.data.columns import count_fields
from facezoo.data.dataset import Dataset
from facezoo.data.framed import read_framed, write_framed
from facezoo.data.list_file import ListFile
from facezoo.data.mapped import MappedFile
from facezoo.data.pairs import Pairs
from facezoo.data.tfrecord import frame, read_record
from facezoo.data.tfrecord_index import (
    MAX_SHARDS,
    Index,
    check_set_name,
    path_positions,
    read_paths,
    read_training,
    shard_file,
)
from facezoo.data.writer import Encoded, Part, Writer
from facezoo.files import whole_file, whole_text
from facezoo.registry import DATASETS, WRITERS
from facezoo.types import InputError

SHARD = 500_000
"""Records in a shard, as TFace writes them."""


@DATASETS.register(name="tfrecord")
def tfrecord(
    path: Path,
    root: Path | None = None,
    crc: bool = False,
    check: bool = False,
    unreadable: Literal["fail", "drop"] = "fail",
    min_images: int = 1,
) -> Dataset:
    """TFRecord shards through one of TFace's index files.

    A training index has lines `SET shard offset label`, tab-separated; the shard is SET/SET-00000.tfrecord below the
    root. One with eight fields lists pairs, two such halves on a line; each record becomes one sample. Two fields,
    `path label`, list image files and are read as the format `list`. A folder SET holds SET.index, with lines
    `image_path shard offset`, and perhaps a training index SET.txt: without it the folder that an image was in is its
    identity.

    Args:
        path: an index file, or the folder of one set.
        root: of the sets' folders (of the image files, with two fields); by default the index's folder.
        crc: compare the checksums whenever a record is read.
        check: compare the checksums and decode every image once now.
        unreadable: with check, fail on damaged records or drop them.
        min_images: identities with fewer images than this are left out.

    Raises:
        InputError: a line that does not parse, a shard that is missing, damaged or truncated records; with the line or
            the byte.
    """
    path = Path(path)
    index = _index_in(path) if path.is_dir() else path
    fields = count_fields(index)
    if fields == 2:
        return ListFile(index, root, check=check, unreadable=unreadable, min_images=min_images)
    if fields not in (3, 4, 8):
        raise InputError(f"{index}: {fields} fields in the first line; an index has 2, 3, 4 or 8, parted by tabs")
    read = read_paths if fields == 3 else read_training
    return TFRecord(path, read(path, index, fields, root), crc, check, unreadable, min_images)


def _index_in(folder: Path) -> Path:
    """The index of the set in a folder, that for training where there are both; the folder may have been renamed."""
    listed = sorted(file.stem for file in folder.glob("*.index"))
    for name in [folder.absolute().name, *(listed if len(listed) == 1 else [])]:
        for index in (folder / f"{name}.txt", folder / f"{name}.index"):
            if index.is_file():
                return index
    raise InputError(f"{folder}: neither {folder.name}.index nor {folder.name}.txt is in it; give the index file")


class TFRecord(Dataset):
    """Records of TFRecord shards.

    Args:
        path: what was opened, for messages.
        index: what is where.
        crc, check, unreadable, min_images: as for `tfrecord`.
    """

    def __init__(
        self,
        path: Path,
        index: Index,
        crc: bool = False,
        check: bool = False,
        unreadable: Literal["fail", "drop"] = "fail",
        min_images: int = 1,
    ) -> None:
        self._files = [MappedFile(file) for file in index.files]
        if unreadable == "fail":
            _check_ends(self._files, index)
        _check_twice(self._files, index)
        self._numbers, self._places, self._offsets, self._pairs = index.shards, index.places, index.offsets, index.pairs
        self._crc = crc or check
        self._count = len(index.values)
        self._kept: NDArray[np.int32] | None = None
        problems, in_order = {"gaps": index.gaps}, bool((np.diff(index.places) >= 0).all())
        kept = self._open(path, index.values, index.classes, self._count, problems, check, unreadable, min_images)
        self._crc = crc
        if len(kept) < self._count:
            self._kept, self._places, self._offsets = kept, self._places[kept], self._offsets[kept]
            self._pairs = self._pairs and self._pairs.among(kept, self._count)
        self.shards = self._places if in_order else None
        self._paths = MappedFile(index.paths) if index.paths is not None and index.paths.is_file() else None

    def encoded(self, index: int) -> bytes:
        return read_record(self._files[self._places[index]], int(self._offsets[index]), self._crc)

    def name(self, index: int) -> str:
        return f"{self._files[self._places[index]].path}: byte {self._offsets[index]}"

    def path(self, index: int) -> str:
        start = self._path_positions
        if start is not None and self._paths is not None:
            first = int(start[index])
            listed = PurePosixPath(
                self._paths.bytes[first : self._paths.bytes.find(b"\t", first)].decode("utf-8", "replace")
            )
            if not listed.is_absolute() and ".." not in listed.parts and len(listed.parts) > 1:
                return str(listed)
        return super().path(index)

    @cached_property
    def _path_positions(self) -> NDArray[np.int64] | None:
        """Where the samples' paths stand; looked up when the first is asked for, as training asks for none."""
        if self._paths is None:
            return None
        shards = self._numbers[self._places]
        return path_positions(self._paths.path, self._count, self._kept, shards, self._offsets)

    def pairs(self) -> Pairs | None:
        return self._pairs


def _check_ends(files: Sequence[MappedFile], index: Index) -> None:
    """Notice shards that are truncated or not those of the index: no offset lies behind their end, the last is read."""
    last = np.full(len(files), -1, np.int64)
    np.maximum.at(last, index.places, index.offsets)
    for file, offset in zip(files, last.tolist()):
        read_record(MappedFile(file.path), offset)  # its map is let go of


def _check_twice(files: Sequence[MappedFile], index: Index) -> None:
    """No record has two labels."""
    places, offsets = index.places, index.offsets
    steps, further = np.diff(places), np.diff(offsets) > 0
    if ((steps > 0) | ((steps == 0) & further)).all():  # as writers leave it: nothing need be sorted
        return
    order = np.lexsort((offsets, places))
    places, offsets, values = places[order], offsets[order], index.values[order]
    twice = np.flatnonzero((np.diff(places) == 0) & (np.diff(offsets) == 0) & (np.diff(values) != 0))
    if len(twice):
        first = twice[0]
        raise InputError(
            f"{files[places[first]].path}: byte {offsets[first]}: the index gives the record the labels "
            f"{values[first]} and {values[first + 1]}; correct one of them"
        )


@WRITERS.register(name="tfrecord")
@dataclass(frozen=True)
class TFRecordWriter(Writer):
    """A folder SET with shards, SET.index (path, shard, offset) and SET.txt (SET, shard, offset, label).

    Args:
        path: the folder.
        shard: records in each shard.
    """

    path: Path
    shard: int = SHARD

    def __post_init__(self) -> None:
        if self.shard < 1:
            raise InputError(f"tfrecord: {self.shard} records in a shard, there must be 1 or more")
        check_set_name(self.path, self.path.absolute().name)

    @property
    def suffix(self) -> str:
        return ".tfrecord"

    def write(self, samples: Iterable[Encoded], file: Path) -> dict[str, Any]:
        return write_framed(samples, file, _framed)

    def finish(self, parts: Sequence[Part], classes: Sequence[str]) -> list[Path]:
        name = self.path.absolute().name
        count = sum(part.samples for part in parts)
        if count > self.shard * MAX_SHARDS:
            raise InputError(f"{self.path}: {count:,} records need more than {MAX_SHARDS:,} shards; make shards larger")
        index, training = self.path / f"{name}.index", self.path / f"{name}.txt"
        files = [shard_file(self.path, name, number) for number in range(-(-count // self.shard))]
        with whole_text(index) as listed, whole_text(training) as labelled:
            entries = _copied(parts, files, self.shard)
            for path, number, offset, label in entries:
                listed.write(f"{path}\t{number}\t{offset}\n")
                labelled.write(f"{name}\t{number}\t{offset}\t{label}\n")
        return [*files, index, training, write_classes(self.path, classes)]


def _framed(sample: Encoded) -> bytes:
    if set(sample.path) & set("\t\r\n"):
        raise InputError("a path with a tab or line break cannot be listed in an index; rename the image")
    return frame(sample.data)


def _copied(parts: Sequence[Part], files: Sequence[Path], size: int) -> Iterator[tuple[str, int, int, int]]:
    """Write the parts' records into files of `size` records; path, file, offset and label of each."""
    for number, file in enumerate(files):
        with whole_file(file) as temporary, temporary.open("wb") as out:
            for part in parts:
                first = max(0, number * size - part.first)
                last = min(part.samples, (number + 1) * size - part.first)
                if first >= last:
                    continue
                framed = read_framed(part)
                offsets = framed.offsets[first:last] - framed.offsets[first] + out.tell()
                framed.copy(out, first, last)
                for path, offset, label in zip(
                    framed.paths()[first:last], offsets.tolist(), framed.labels[first:last].tolist(), strict=True
                ):
                    yield path, number, offset, label
