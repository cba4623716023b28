"""MXNet's RecordIO: how records lie in a file, and the header of an image; no mxnet.

Everything is little-endian. A record is the magic, a word with its kind (3 bits) and length (29 bits), the data, and
zeros up to a multiple of four. Data that hold the magic at a multiple of four are cut there into parts, less the magic.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from facezoo import progress
from facezoo.data.mapped import MappedFile
from facezoo.types import InputError

MAGIC = b"\x0a\x23\xd7\xce"
MAGIC_WORD = 0xCED7230A
WHOLE, START, MIDDLE, END = range(4)
MAX_LENGTH = (1 << 29) - 1

_WORDS = struct.Struct("<4sI")
_IMAGE = struct.Struct("<IfQQ")
_GATHERED = 1 << 19
"""Records whose headers are looked at at once: bounds the memory."""


def image_record(label: float | tuple[float, ...], key: int, image: bytes, more: int = 0) -> bytes:
    """The data of a record: mxnet's image header (one label, or several behind the header), then the image."""
    if isinstance(label, tuple):
        return _IMAGE.pack(len(label), 0, key, more) + struct.pack(f"<{len(label)}f", *label) + image
    return _IMAGE.pack(0, label, key, more) + image


def image_of(record: bytes) -> bytes | None:
    """The image of a record behind its header and labels, empty if there is none; None if the header is cut short."""
    if len(record) < _IMAGE.size:
        return None
    start = _IMAGE.size + 4 * int.from_bytes(record[:4], "little")
    return record[start:] if start <= len(record) else None


def frame(data: bytes) -> bytes:
    """A record as it lies in the file.

    Raises:
        InputError: longer than the format allows.
    """
    if len(data) > MAX_LENGTH:
        raise InputError(f"{len(data):,} bytes, a record holds {MAX_LENGTH:,} at most")
    cuts = _aligned(data)
    parts, start = [], 0
    for number, cut in enumerate([*cuts, len(data)]):
        kind = (END if number else WHOLE) if number == len(cuts) else (MIDDLE if number else START)
        parts += [_WORDS.pack(MAGIC, kind << 29 | cut - start), data[start:cut]]
        start = cut + 4
    return b"".join(parts) + bytes(-len(data) % 4)


def _aligned(data: bytes) -> list[int]:
    """Where the data hold the magic at a multiple of four."""
    found, place = [], data.find(MAGIC)
    while place >= 0:
        if place % 4 == 0:
            found.append(place)
        place = data.find(MAGIC, place + (4 if place % 4 == 0 else 1))
    return found


def read_record(file: MappedFile, offset: int) -> tuple[bytes, int]:
    """The data of the record at a byte offset, and where the next one starts.

    Raises:
        InputError: no record starts there, or it reaches beyond the end of the file.
    """
    kind, start, stop, after = _part(file, offset)
    if kind == WHOLE:
        return file.bytes[start:stop], after
    if kind != START:
        raise InputError(
            f"{file.path}: byte {offset}: no record starts here but a later part of one; the index is wrong"
        )
    parts = [file.bytes[start:stop]]
    while kind != END:
        kind, start, stop, after = _part(file, after)
        if kind not in (MIDDLE, END):
            raise InputError(f"{file.path}: byte {offset}: the record has no end, another starts before; it is damaged")
        parts.append(file.bytes[start:stop])
    return MAGIC.join(parts), after


def _part(file: MappedFile, offset: int) -> tuple[int, int, int, int]:
    """Kind, start and end of the data, and end with padding of the part at a byte offset."""
    start = offset + _WORDS.size
    if offset < 0 or start > file.size:
        raise InputError(
            f"{file.path}: byte {offset}: beyond the end of the file ({file.size:,} bytes); it is truncated or the "
            "index belongs to another file"
        )
    magic, word = _WORDS.unpack_from(file.bytes, offset)
    stop = start + (word & MAX_LENGTH)
    if magic != MAGIC:
        raise InputError(
            f"{file.path}: byte {offset}: no record starts here; the file is damaged or the index is wrong"
        )
    if word >> 29 > END:
        raise InputError(f"{file.path}: byte {offset}: a record of the unknown kind {word >> 29}; the file is damaged")
    if stop > file.size:
        raise InputError(
            f"{file.path}: byte {offset}: a record of {stop - start:,} bytes reaches beyond the end of the file "
            f"({file.size:,} bytes); it is truncated"
        )
    return word >> 29, start, stop, stop + -stop % 4


def scan(file: MappedFile) -> NDArray[np.int64]:
    """Byte offsets (N,) of all records, by walking through the file.

    Raises:
        InputError: damaged or truncated, with the byte.
    """
    return np.fromiter(_walk(file), np.int64)


def _walk(file: MappedFile) -> Iterator[int]:
    offset = 0
    with progress.bar(file.size, f"scan {file.path.name}", "B") as bar:
        while offset < file.size:
            kind, _, _, after = _part(file, offset)
            if kind in (MIDDLE, END):
                raise InputError(f"{file.path}: byte {offset}: a part of a record without its start; it is damaged")
            start, first = offset, after
            while kind in (START, MIDDLE):
                kind, _, _, after = _part(file, first)
                if kind in (WHOLE, START):
                    raise InputError(f"{file.path}: byte {start}: the record has no end; the file is damaged")
                first = after
            yield start
            offset = after
            bar.update(after - start)


class Heads(NamedTuple):
    """The beginnings of records (N,).

    Attributes:
        first, second: the first two labels; a label that lies in the header is the first, and the second is 0.
        empty: whether no image follows.
        damaged: whether no such record is there at all.
    """

    first: NDArray[np.float32]
    second: NDArray[np.float32]
    empty: NDArray[np.bool_]
    damaged: NDArray[np.bool_]


def read_heads(file: MappedFile, offsets: NDArray[np.int64], tolerant: bool = False) -> Heads:
    """Labels of records at byte offsets (N,), many at a time; no image is read.

    Args:
        tolerant: mark damaged records instead of raising.

    Raises:
        InputError: at one of them there is no record, or none with an image header.
    """
    count = len(offsets)
    heads = Heads(
        np.empty(count, np.float32), np.empty(count, np.float32), np.empty(count, bool), np.zeros(count, bool)
    )
    words = file.words()
    with progress.bar(count, f"labels of {file.path.name}", "records") as bar:
        for low in range(0, count, _GATHERED):
            here = slice(low, low + _GATHERED)
            part = Heads(heads.first[here], heads.second[here], heads.empty[here], heads.damaged[here])
            for row in np.flatnonzero(~_gather(file, words, offsets[here], part)).tolist():
                _read_head(file, int(offsets[low + row]), part, row, tolerant)
            bar.update(len(part.first))
    return heads


def _gather(file: MappedFile, words: NDArray[np.uint32], offsets: NDArray[np.int64], heads: Heads) -> NDArray[np.bool_]:
    """Fill in whole records with room for the header and two labels behind it; False for those that are not such."""
    if len(words) < 10:
        return np.zeros(len(offsets), bool)
    fits = (offsets % 4 == 0) & (offsets >= 0) & (offsets // 4 + 10 <= len(words))
    place = np.where(fits, offsets // 4, 0)
    magic, word, flag, label, behind, next_behind = (words[place + k] for k in (0, 1, 2, 3, 8, 9))
    length, header = word.astype(np.int64) & MAX_LENGTH, _IMAGE.size + 4 * flag.astype(np.int64)
    whole = (magic == MAGIC_WORD) & (word >> 29 == WHOLE) & (length >= header) & (offsets + 8 + length <= file.size)
    heads.first[:] = np.where(flag > 0, behind, label).view(np.float32)
    heads.second[:] = np.where(flag > 1, next_behind, 0).astype(np.uint32).view(np.float32)
    heads.empty[:] = length == header
    return fits & whole


def _read_head(file: MappedFile, offset: int, heads: Heads, row: int, tolerant: bool) -> None:
    """Fill in one record of any kind."""
    try:
        record, _ = read_record(file, offset)
        image = image_of(record)
        if image is None:
            raise InputError(f"{file.path}: byte {offset}: the record is too short for an image header; it is damaged")
    except InputError:
        if not tolerant:
            raise
        heads.damaged[row] = True
        return
    flag, label, _, _ = _IMAGE.unpack_from(record)
    labels = struct.unpack_from(f"<{min(flag, 2)}f", record, _IMAGE.size) if flag else (label,)
    heads.first[row], heads.second[row], heads.empty[row] = labels[0], labels[1] if flag > 1 else 0, not image
