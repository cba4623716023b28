"""Files mapped into memory, and arrays kept beside them that take a pass over the file to compute."""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from facezoo.files import unreadable, whole_file
from facezoo.types import InputError
from facezoo.zoo.cache import cache_dir

KEPT = ".index"
"""Ending of what was found in a file and is kept beside it; it can be made anew."""


class MappedFile:
    """The bytes of a file, mapped when first asked for, in every process anew: it can be pickled, forked and shared.

    Raises:
        InputError: missing, a folder, empty or not readable.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._map: mmap.mmap | None = None
        try:
            self.size = self.path.stat().st_size
        except OSError as error:
            raise unreadable(path, error) from None
        if self.path.is_dir():
            raise InputError(f"{path}: is a folder, not a file")
        if not self.size:
            raise InputError(f"{path}: the file is empty")

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_map": None}

    @property
    def bytes(self) -> mmap.mmap:
        """All of it; a slice is a copy."""
        if self._map is None:
            try:
                with self.path.open("rb") as file:
                    found = os.fstat(file.fileno()).st_size
                    if found != self.size:
                        raise InputError(f"{self.path}: had {self.size:,} bytes and now has {found:,}; open it anew")
                    self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            except OSError as error:
                raise unreadable(self.path, error) from None
        return self._map

    def words(self) -> NDArray[np.uint32]:
        """The file as little-endian words (size // 4,)."""
        return np.frombuffer(self.bytes, "<u4", self.size // 4)


def stamps(paths: Iterable[Path]) -> list[int]:
    """Size and time of change of files, one after the other: what tells that kept arrays still fit them."""
    found = []
    for path in paths:
        if path.is_file():
            state = path.stat()
            found += [state.st_size, state.st_mtime_ns]
        else:
            found += [-1, -1]
    return found


def load_kept(source: Path, stamp: list[int]) -> NDArray[np.int64] | None:
    """The table that `keep` has stored for a file in this state; None if nothing or something else."""
    tables = load_tables(source, stamp, 1)
    return tables[0] if tables else None


def load_tables(source: Path, stamp: list[int], count: int) -> list[NDArray[Any]] | None:
    """As `load_kept`, so many arrays."""
    for path in _places(source):
        with contextlib.suppress(OSError), path.open("rb") as file:
            tables = read_tables(file, stamp, count)
            if tables is not None:
                return tables
    return None


def read_tables(file: BinaryIO, stamp: list[int], count: int) -> list[NDArray[Any]] | None:
    """The arrays in a file that `keep` has written, for a state that begins so; None if it has written others."""
    # A file that another version or a full disk has left is made anew.
    with contextlib.suppress(ValueError, EOFError, TypeError, MemoryError):
        if np.load(file, allow_pickle=False).tolist()[: len(stamp)] == stamp:
            return [np.load(file, allow_pickle=False) for _ in range(count)]
    return None


def keep(source: Path, stamp: list[int], *tables: NDArray[Any]) -> None:
    """Store arrays beside a file, or where that is not allowed in the user's cache folder."""
    beside, cached = _places(source)
    try:
        _write(beside, stamp, tables)
    except (OSError, InputError):  # a folder or disk that is for reading only, or a folder of that name
        _write(cached, stamp, tables)


def _write(path: Path, stamp: list[int], tables: Iterable[NDArray[Any]]) -> None:
    with whole_file(path) as temporary, temporary.open("wb") as file:
        for table in (np.array(stamp, np.int64), *tables):
            np.save(file, table, allow_pickle=False)


def _places(source: Path) -> Iterator[Path]:
    yield source.with_name(f"{source.name}{KEPT}")
    digest = hashlib.sha256(os.fsencode(source.absolute())).hexdigest()[:16]
    yield cache_dir() / "indices" / f"{source.name}.{digest}{KEPT}"
