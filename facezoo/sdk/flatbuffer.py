"""FlatBuffers, read with the standard library and never beyond the bytes there are: https://flatbuffers.dev/internals."""

from __future__ import annotations

import struct

from facezoo.types import InputError

MAX_TABLES, MAX_NUMBERS, MAX_TEXT = 10_000, 64, 1_000
"""Longer vectors and texts are refused; many tables may point to one, so a small file could make a large list."""


class Table:
    """One table of a flatbuffer: fields by their place in the schema, absent ones at their default.

    Raises:
        InputError: something lies outside of the bytes.
    """

    def __init__(self, data: memoryview, position: int, name: str) -> None:
        self.data, self.position, self.name = data, position, name
        self._fields = position - self._read("<i", position)
        # Two sizes of two bytes each stand before the offsets of the fields.
        self._size = self._read("<H", self._fields)

    @classmethod
    def root(cls, data: bytes, identifier: bytes, name: str) -> Table:
        """The first table of a file that carries the four bytes `identifier`."""
        if data[4:8] != identifier:
            raise InputError(f"{name}: not a {identifier.decode()} file")
        return cls(memoryview(data), int.from_bytes(data[:4], "little"), name)

    def number(self, field: int, default: int = 0, code: str = "i") -> int:
        """A scalar; `code` is struct's: b, B, h, H, i, I."""
        at = self._place(field)
        return default if at is None else self._read(f"<{code}", at)

    def table(self, field: int) -> Table | None:
        at = self._place(field)
        return None if at is None else Table(self.data, self._jump(at), self.name)

    def tables(self, field: int) -> list[Table]:
        start, count = self._vector(field)
        self._bound(count, MAX_TABLES)
        return [Table(self.data, self._jump(start + 4 * i), self.name) for i in range(count)]

    def numbers(self, field: int) -> list[int]:
        """A vector of int32."""
        start, count = self._vector(field)
        self._bound(count, MAX_NUMBERS)
        return list(struct.unpack(f"<{count}i", self._span(start, 4 * count)))

    def text(self, field: int) -> str:
        data = self.data_of(field)
        self._bound(len(data), MAX_TEXT)
        return bytes(data).decode("utf-8", "replace")

    def data_of(self, field: int) -> memoryview:
        """A vector of bytes, not copied."""
        start, count = self._vector(field)
        return self._span(start, count)

    def _place(self, field: int) -> int | None:
        """Where a field lies in the data; None if the table leaves it out."""
        if 4 + 2 * field + 2 > self._size:
            return None
        offset = self._read("<H", self._fields + 4 + 2 * field)
        return self.position + offset if offset else None

    def _vector(self, field: int) -> tuple[int, int]:
        at = self._place(field)
        if at is None:
            return 0, 0
        start = self._jump(at)
        return start + 4, self._read("<I", start)

    def _jump(self, at: int) -> int:
        return at + self._read("<I", at)

    def _bound(self, count: int, most: int) -> None:
        if count > most:
            raise InputError(f"{self.name}: a list of {count:,} entries, more than the {most:,} that are read")

    def _read(self, code: str, at: int) -> int:
        value: int = struct.unpack(code, self._span(at, struct.calcsize(code)))[0]
        return value

    def _span(self, start: int, size: int) -> memoryview:
        if start < 0 or size < 0 or start + size > len(self.data):
            raise InputError(f"{self.name}: damaged or cut short, {size:,} bytes at byte {start:,} are not there")
        return self.data[start : start + size]
