"""Index files of millions of tab-separated lines, parsed by columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from facezoo.files import unreadable
from facezoo.types import InputError

MAX_DIGITS = 18
"""Of a whole number: what fits 64 bits."""

MAX_NAMES = 10_000
"""Distinct names in a column of names."""

CHUNK = 2 << 20

_HEAD = 1 << 16
"""Bytes in which the first line ends."""

Ints = NDArray[np.int64]


class Columns:
    """The columns of a text file with one tab-separated entry on each line; blank lines are skipped.

    Args:
        path: the file.
        kinds: what the fields hold: `int`, a whole number from 0; `name`, one of a few names; `text`.

    Attributes:
        fields: a column (N,) for each: the numbers, int64; for a name its place in `names`, int32; for text its byte
            position in the file, int64.
        names: the distinct names of all columns of names.

    Raises:
        InputError: unreadable, without a line, or a line of another form, by its number.
    """

    def __init__(self, path: Path, kinds: Sequence[str]) -> None:
        self.path, self.kinds, self.names = Path(path), tuple(kinds), list[str]()
        self._codes: dict[bytes, int] = {}
        try:
            with self.path.open("rb") as file:
                lines = sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(CHUNK), b"")) + 1
                self.fields: list[NDArray[Any]] = [
                    np.empty(lines, np.int32 if kind == "name" else np.int64) for kind in kinds
                ]
                file.seek(0)
                done = number = position = 0
                for chunk in _chunks(file):
                    rows = self._fast(chunk, position)
                    if rows is None:
                        rows = self._careful(chunk, position, number)
                    for column, values in zip(self.fields, rows.T):
                        column[done : done + len(rows)] = values
                    done, number, position = done + len(rows), number + chunk.count(b"\n"), position + len(chunk)
        except OSError as error:
            raise unreadable(path, error) from None
        if not done:
            raise InputError(f"{path}: there is no entry in it")
        self.fields = [column[:done] for column in self.fields]

    def _fast(self, chunk: bytes, position: int) -> Ints | None:
        """The rows of whole lines, all fields at once; None if any line needs a closer look."""
        data = np.frombuffer(chunk, np.uint8)
        ends = np.flatnonzero((data == 9) | (data == 10))
        width = len(self.kinds)
        if len(ends) % width or not (data[ends].reshape(-1, width) == [9] * (width - 1) + [10]).all():
            return None
        starts = np.concatenate([[0], ends[:-1] + 1]).reshape(-1, width)
        stops = ends.reshape(-1, width)
        stops[:, -1] -= data[stops[:, -1] - 1] == 13
        rows = np.empty((len(stops), width), np.int64)
        for column, kind in enumerate(self.kinds):
            first, last = starts[:, column], stops[:, column]
            if (first >= last).any():
                return None
            found = first + position if kind == "text" else (_ints if kind == "int" else self._coded)(data, first, last)
            if found is None:
                return None
            rows[:, column] = found
        return rows

    def _coded(self, data: NDArray[np.uint8], first: Ints, last: Ints) -> Ints:
        codes = np.full(len(first), -1, np.int64)
        left = np.arange(len(first))
        while len(left):
            name = data[first[left[0]] : last[left[0]]].tobytes()
            alike = left[last[left] - first[left] == len(name)]
            for place, letter in enumerate(name):
                alike = alike[data[first[alike] + place] == letter]
            codes[alike] = self._code(name)
            left = left[codes[left] < 0]
        return codes

    def _code(self, name: bytes) -> int:
        if name not in self._codes:
            if len(self._codes) >= MAX_NAMES:
                raise InputError(f"{self.path}: more than {MAX_NAMES:,} different names where the sets' names stand")
            try:
                self.names.append(name.decode())
            except UnicodeDecodeError:
                raise InputError(f"{self.path}: the name {name[:80]!r} is not UTF-8") from None
            self._codes[name] = len(self._codes)
        return self._codes[name]

    def _careful(self, chunk: bytes, position: int, number: int) -> Ints:
        """As `_fast`, line by line: for blank lines, and to name the line that does not parse."""
        rows = []
        for line in chunk.split(b"\n")[:-1]:
            number += 1
            fields = line.removesuffix(b"\r").split(b"\t")
            if line.strip():
                if len(fields) != len(self.kinds) or not all(map(_fits, fields, self.kinds)):
                    wanted = " TAB ".join({"int": "NUMBER"}.get(kind, kind.upper()) for kind in self.kinds)
                    raise InputError(f"{self.path}:{number}: {line[:80].strip()!r} is not {wanted}")
                row, start = [], position
                for field, kind in zip(fields, self.kinds):
                    row.append(int(field) if kind == "int" else self._code(field) if kind == "name" else start)
                    start += len(field) + 1
                rows.append(row)
            position += len(line) + 1
        return np.array(rows, np.int64).reshape(-1, len(self.kinds))


def count_fields(path: Path) -> int:
    """Tab-separated fields of the first line that is not blank.

    Raises:
        InputError: unreadable, or the first lines are longer than any index's.
    """
    try:
        with Path(path).open("rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        raise unreadable(path, error) from None
    if len(head) == _HEAD and b"\n" not in head:
        raise InputError(f"{path}: not an index: its first line has more than {_HEAD:,} bytes")
    line = next((line for line in head.split(b"\n") if line.strip()), b"")
    return len(line.split(b"\t"))


def _fits(field: bytes, kind: str) -> bool:
    return bool(field) and (kind != "int" or (field.isdigit() and len(field) <= MAX_DIGITS))


def _ints(data: NDArray[np.uint8], first: Ints, last: Ints) -> Ints | None:
    """The whole numbers between these positions; None if one is not."""
    widths = last - first
    if widths.max() > MAX_DIGITS:
        return None
    values = np.zeros(len(first), np.int64)
    for place in range(int(widths.max())):
        there = place < widths
        digits = data[np.where(there, first + place, first)] - np.uint8(48)
        if (digits > 9).any():
            return None
        values = np.where(there, values * 10 + digits, values)
    return values


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    """Whole lines, some megabytes at a time; the last one is ended."""
    while chunk := file.read(CHUNK):
        rest = file.readline(CHUNK)
        if len(rest) == CHUNK:
            raise InputError(f"{file.name}: not an index: it has a line of more than {CHUNK:,} bytes")
        chunk += rest
        yield chunk if chunk.endswith(b"\n") else chunk + b"\n"
