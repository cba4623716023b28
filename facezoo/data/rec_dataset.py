"""The .rec / .idx / property sets of MXNet and insightface, read and written without mxnet."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from facezoo.data.classes import numbered, write_classes
from facezoo.data.columns import Columns
from facezoo.data.dataset import Dataset
from facezoo.data.framed import Framed, read_framed, write_framed
from facezoo.data.mapped import MappedFile, keep, load_kept, stamps
from facezoo.data.problems import SHOWN, Finding, Labels
from facezoo.data.recordio import frame, image_of, image_record, read_heads, read_record, scan
from facezoo.data.writer import Encoded, Part, Writer
from facezoo.files import unreadable, whole_file, whole_text, write_text
from facezoo.image import decode_image
from facezoo.registry import DATASETS, WRITERS
from facezoo.types import InputError

EXACT = 1 << 24
"""Up to here float32, as which the format stores keys, holds every whole number."""

MAX_NUMBER = 1 << 31

Offsets = NDArray[np.int64]


@DATASETS.register(name="rec")
class RecordIO(Dataset):
    """An image set in MXNet's RecordIO, as insightface's training sets are: `train.rec`, `train.idx`, `property`.

    The images are keys 1 to n where record 0 announces them (labels, no image), else all records. Labels come from the
    images' headers, not from the identity records behind them: all are read once, and what they say is kept in
    `train.rec.index`, or in the user's cache where that cannot be written. Of a label that is an array the first
    element counts. Without the .idx the file is walked through once.

    Args:
        path: the .rec.
        check: decode every image once now.
        unreadable: with check, fail on damaged images or drop them.
        min_images: identities with fewer images than this are left out.

    Raises:
        InputError: damaged or truncated, an index that belongs to another file, labels that are no whole numbers from
            0, or a property file that states fewer classes; with the byte or the line.
    """

    def __init__(
        self,
        path: Path,
        check: bool = False,
        unreadable: Literal["fail", "drop"] = "fail",
        min_images: int = 1,
    ) -> None:
        path = Path(path)
        self._file = MappedFile(path)
        stamp = stamps([path, path.with_suffix(".idx")])
        table = load_kept(path, stamp)
        if table is not None and table.ndim == 2 and len(table) == 2 and table.dtype == np.int64 and table.size:
            offsets, values = table
        else:
            offsets, values = self._listed(path, stamp, tolerant=unreadable == "drop")
        self._offsets = offsets
        classes, gaps = numbered(path, values)
        problems = {"gaps": _with_property(path.with_name("property"), int(max(classes)), gaps)}
        kept = self._open(path, values, classes, len(offsets), problems, check, unreadable, min_images)
        if len(kept) < len(offsets):
            self._offsets = offsets[kept]

    def _listed(self, path: Path, stamp: list[int], tolerant: bool) -> tuple[Offsets, Labels]:
        """Offsets and labels of the images, from the index and the records."""
        if path.with_suffix(".idx").is_file():
            keys, offsets = _read_index(path.with_suffix(".idx"))
            if not tolerant:
                read_record(self._file, int(offsets.max()))  # a truncated file is noticed now
        else:
            offsets = scan(self._file)
            keys = np.arange(len(offsets))
        images = self._layout(keys, offsets)
        values, damaged = _labels(self._file, images, tolerant)
        if not damaged:
            keep(path, stamp, np.stack([images, values]))
        return images, values

    def _layout(self, keys: NDArray[np.int64], offsets: Offsets) -> Offsets:
        """Offsets of the images."""
        head = read_heads(self._file, offsets[:1])
        if not head.empty[0]:
            return offsets
        announced = np.concatenate([head.first, head.second])
        if not _whole(announced).all():
            raise InputError(
                f"{self._file.path}: byte {offsets[0]}: record 0 announces images up to {announced[0]}; it is damaged"
            )
        first = int(announced[0])
        if first > EXACT:  # rounded: the images end where the records without an image begin
            reach = max(2, int(np.spacing(head.first[0])))
            ends = np.searchsorted(keys, [first - reach, first + reach + 1])
            empty = read_heads(self._file, offsets[slice(*ends)]).empty
            first = int(keys[ends[0] + int(np.argmax(empty))]) if empty.any() else int(keys[ends[1] - 1]) + 1
        start, stop = np.searchsorted(keys, [1, first])
        if stop - start != first - 1 or first < 2:
            raise InputError(
                f"{self._file.path}: byte {offsets[0]}: record 0 announces images 1 to {first - 1:,}, the index has "
                f"{stop - start:,} of them; it belongs to another file"
            )
        return offsets[start:stop].copy()

    def encoded(self, index: int) -> bytes:
        offset = int(self._offsets[index])
        image = image_of(read_record(self._file, offset)[0])
        if not image:
            raise InputError(f"{self._file.path}: byte {offset}: the record holds no image")
        return image

    def name(self, index: int) -> str:
        return f"{self._file.path}: byte {self._offsets[index]}"


def _read_index(path: Path) -> tuple[NDArray[np.int64], Offsets]:
    """Keys in rising order and their byte offsets."""
    keys, offsets = Columns(path, ("int", "int")).fields
    if (np.diff(keys) <= 0).any():
        order = np.argsort(keys, kind="stable")
        keys, offsets = keys[order], offsets[order]
        if len(twice := keys[1:][np.diff(keys) == 0]):
            raise InputError(
                f"{path}: the key {twice[0]} comes twice (and {len(twice) - 1:,} more); make the index anew"
            )
    return keys, offsets


def _labels(file: MappedFile, images: Offsets, tolerant: bool = False) -> tuple[Labels, int]:
    """Labels of the images from their own headers, and how many are damaged; those get a label of the others."""
    heads = read_heads(file, images, tolerant)
    bad = np.flatnonzero(~_whole(heads.first) & ~heads.damaged)
    if len(bad):
        raise InputError(
            f"{file.path}: byte {images[bad[0]]}: the label is {heads.first[bad[0]]}, not a whole number from 0 "
            f"(and {len(bad) - 1:,} more)"
        )
    sound = np.flatnonzero(~heads.damaged)
    if not len(sound):
        raise InputError(f"{file.path}: none of {len(images):,} records can be read; the index belongs to another file")
    heads.first[heads.damaged] = heads.first[sound[0]]
    return heads.first.astype(np.int64), len(images) - len(sound)


def _whole(numbers: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which are whole numbers from 0; what is not a number compares as none."""
    return (numbers >= 0) & (numbers < MAX_NUMBER) & (numbers == np.floor(numbers))


def _with_property(path: Path, largest: int, gaps: Finding) -> Finding:
    """The gaps and the classes behind the largest label that a property file states.

    Raises:
        InputError: it states fewer classes than there are, or has another form.
    """
    if not path.is_file():
        return gaps
    try:
        with path.open("rb") as file:
            fields = file.read(200).split(b",")
    except OSError as error:
        raise unreadable(path, error) from None
    if len(fields) != 3 or not all(field.strip().isdigit() and len(field) < 12 for field in fields):
        raise InputError(f"{path}: 'classes,height,width' was expected, such as 85742,112,112")
    count = int(fields[0])
    if largest >= count:
        raise InputError(f"{path}: {count:,} classes, but an image has the label {largest}; correct one of them")
    behind = range(largest + 1, count)
    return Finding(gaps.count + len(behind), (*gaps.first, *map(str, behind[:SHOWN]))[:SHOWN])


@WRITERS.register(name="rec")
@dataclass(frozen=True)
class RecordIOWriter(Writer):
    """insightface's layout: record 0 announces the images, 1 to n hold them, and the identities' ranges of keys follow.

    Images that are not grouped by identity in rising order have no ranges: then no identity records are written. With
    more keys than float32 can tell apart (2^24) there is no record 0 either, and keys start at 0. insightface and
    mxnet read all three.

    Args:
        path: the .rec; the .idx, property and names of classes lie beside it.
    """

    path: Path
    alone: ClassVar[str | None] = "*.rec"  # the name of property is not the file's own

    @property
    def suffix(self) -> str:
        return ".rec"

    def write(self, samples: Iterable[Encoded], file: Path) -> dict[str, Any]:
        return write_framed(samples, file, _framed)

    def finish(self, parts: Sequence[Part], classes: Sequence[str]) -> list[Path]:
        framed = [read_framed(part) for part in parts]
        labels = np.concatenate([part.labels for part in framed])
        count = len(labels)
        announced = count + len(classes) < EXACT
        grouped = announced and bool((np.diff(labels) >= 0).all())
        ends = np.searchsorted(labels, np.arange(len(classes) + 1)) + 1 if grouped else np.ones(1, np.int64)
        last = count + 1 + len(ends) - 1
        offsets = []
        self.path.parent.mkdir(parents=True, exist_ok=True)
        height, width = _first_size(framed[0])
        with whole_file(self.path) as temporary, temporary.open("wb") as out:
            if announced:
                offsets.append(np.zeros(1, np.int64))
                out.write(frame(image_record((count + 1, last), 0, b"", 1)))
            for part in framed:
                offsets.append(part.offsets[:-1] + out.tell())
                part.copy(out)
            for key in range(count + 1, last):
                offsets.append(np.array([out.tell()]))
                start, end = ends[key - count - 1 : key - count + 1].tolist()
                out.write(frame(image_record((start, end), key, b"")))
            index = self.path.with_suffix(".idx")
            with whole_text(index) as lines:
                key = 0
                for some in offsets:
                    lines.writelines(f"{k}\t{offset}\n" for k, offset in enumerate(some.tolist(), key))
                    key += len(some)
        about = self.path.with_name("property")
        write_text(about, f"{len(classes)},{height},{width}")
        return [self.path, index, about, write_classes(self.path, classes)]


def _framed(sample: Encoded) -> bytes:
    return frame(image_record(sample.label, sample.number + 1, sample.data))


def _first_size(part: Framed) -> tuple[int, int]:
    """Height and width of the first image that can be read: images that are copied unseen may be damaged."""
    for offset in part.offsets[:-1].tolist():
        with contextlib.suppress(InputError):
            image = decode_image(image_of(read_record(part.file, offset)[0]) or b"")
            return image.shape[0], image.shape[1]
    raise InputError(f"none of the first {len(part.labels):,} images can be read; leave --no-check out")
