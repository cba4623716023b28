"""Parts of a dataset that is being written: one frame of bytes for each sample, then a table of what they are."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from facezoo.data.mapped import MappedFile
from facezoo.data.problems import Labels
from facezoo.data.writer import Encoded, Part
from facezoo.types import InputError

_COPIED = 1 << 24
"""Bytes handed to the system at once."""


@dataclass(frozen=True, eq=False)
class Framed:
    """A part as `write_framed` has left it.

    Attributes:
        offsets: (n + 1,) where each sample's frame starts, and where the last ends.
        labels: (n,).
        file: the frames, and behind them this table.
    """

    offsets: NDArray[np.int64]
    labels: Labels
    file: MappedFile
    _ends: NDArray[np.int64]
    _paths: int

    def paths(self) -> list[str]:
        """Path of each sample."""
        text, starts = self.file.bytes[self._paths :], [0, *self._ends.tolist()]
        return [text[start:end].decode() for start, end in pairwise(starts)]

    def frame(self, index: int) -> bytes:
        return self.file.bytes[self.offsets[index] : self.offsets[index + 1]]

    def copy(self, out: BinaryIO, first: int = 0, last: int | None = None) -> None:
        """Append the frames of samples first to last - 1, or to the end, to an open file."""
        start, end = int(self.offsets[first]), int(self.offsets[-1 if last is None else last])
        # Read, not mapped: the pages of all parts of a large set would count as this process's memory.
        with self.file.path.open("rb") as frames:
            frames.seek(start)
            for low in range(start, end, _COPIED):
                out.write(frames.read(min(end - low, _COPIED)))


def write_framed(samples: Iterable[Encoded], file: Path, frame: Callable[[Encoded], bytes]) -> dict[str, Any]:
    """Write the frame of each sample, then the table; gives what `read_framed` needs to know."""
    offsets, labels, ends, paths = [0], [], [], bytearray()
    with file.open("wb") as out:
        for sample in samples:
            try:
                offsets.append(offsets[-1] + out.write(frame(sample)))
                paths += sample.path.encode()
            except InputError as error:
                raise InputError(f"{sample.path}: {error}") from None
            labels.append(sample.label)
            ends.append(len(paths))
        for column in (offsets, labels, ends):
            out.write(np.array(column, "<i8").tobytes())
        out.write(paths)
    return {"records": len(labels), "end": offsets[-1]}


def read_framed(part: Part) -> Framed:
    count, end = part.facts["records"], part.facts["end"]
    file = MappedFile(part.file)
    numbers = np.frombuffer(file.bytes, "<i8", 3 * count + 1, end).astype(np.int64)
    offsets, labels, ends = np.split(numbers, [count + 1, 2 * count + 1])
    return Framed(offsets, labels, file, ends, end + 8 * len(numbers))
