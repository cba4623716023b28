"""TFRecord shards with TFace's index files, read and written without TensorFlow.

A record is its length (8 bytes, little-endian), the masked CRC-32C of these, the data, and the masked CRC-32C of the
data. The data are a protobuf message, Example{1: Features{1: map<string, Feature{1: BytesList{1: bytes}}>}}, with the
image under the key `image`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from facezoo.data.crc32c import crc32c, masked
from facezoo.data.mapped import MappedFile
from facezoo.types import InputError

KEY = b"image"
_HEAD = struct.Struct("<QI")
_TAIL = struct.Struct("<I")
OVERHEAD = _HEAD.size + _TAIL.size


def frame(image: bytes) -> bytes:
    """A record as it lies in a shard."""
    feature = _field(_field(image))
    data = _field(_field(_field(KEY) + b"\x12" + _varint(len(feature)) + feature))
    head = struct.pack("<Q", len(data))
    return head + _TAIL.pack(masked(crc32c(head))) + data + _TAIL.pack(masked(crc32c(data)))


def read_record(file: MappedFile, offset: int, check: bool = False) -> bytes:
    """The image of the record at a byte offset.

    Args:
        check: compare both checksums.

    Raises:
        InputError: no whole record there, none with an image, or a checksum that differs.
    """
    where = f"{file.path}: byte {offset}"
    if offset < 0 or offset + OVERHEAD > file.size:
        raise InputError(
            f"{where}: beyond the end of the file ({file.size:,} bytes); it is truncated or the index is not its own"
        )
    length, crc = _HEAD.unpack_from(file.bytes, offset)
    start = offset + _HEAD.size
    stop = start + length
    if check and masked(crc32c(file.bytes[offset : offset + 8])) != crc:
        raise InputError(f"{where}: the checksum of the length differs; the file is damaged or the index is wrong")
    if stop + _TAIL.size > file.size:
        raise InputError(
            f"{where}: a record of {length:,} bytes reaches beyond the end of the file ({file.size:,} bytes); it is "
            "truncated, or no record starts here"
        )
    data = file.bytes[start:stop]
    if check and masked(crc32c(data)) != _TAIL.unpack_from(file.bytes, stop)[0]:
        raise InputError(f"{where}: the checksum of the data differs; the file is damaged")
    image = _image(data)
    if not image:
        raise InputError(f"{where}: no image in this record; the file is damaged or the index is wrong")
    return image


def _field(data: bytes) -> bytes:
    return b"\x0a" + _varint(len(data)) + data


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _image(data: bytes) -> bytes | None:
    """The first bytes under the key `image` of an Example; None if the message is damaged or has no such key."""
    try:
        for features in _values(data, (0, len(data)), 1):
            for entry in _values(data, features, 1):
                key = next(_values(data, entry, 1), (0, 0))
                if data[slice(*key)] != KEY:
                    continue
                for feature in _values(data, entry, 2):
                    for listed in _values(data, feature, 1):
                        for value in _values(data, listed, 1):
                            return data[slice(*value)]
    except ValueError:
        return None
    return None


def _values(data: bytes, span: tuple[int, int], wanted: int) -> Iterator[tuple[int, int]]:
    """Start and end of each field of this number within a message; others are passed over.

    Raises:
        ValueError: damaged.
    """
    start, stop = span
    while start < stop:
        tag, start = _number(data, start, stop)
        number, kind = tag >> 3, tag & 7
        if kind == 2:
            length, start = _number(data, start, stop)
            end = start + length
        elif kind == 0:
            _, end = _number(data, start, stop)
        elif kind in (1, 5):
            end = start + (8 if kind == 1 else 4)
        else:
            raise ValueError
        if end > stop:
            raise ValueError
        if kind == 2 and number == wanted:
            yield start, end
        start = end


def _number(data: bytes, start: int, stop: int) -> tuple[int, int]:
    """A varint and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        if start >= stop:
            raise ValueError
        byte = data[start]
        start += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, start
    raise ValueError
