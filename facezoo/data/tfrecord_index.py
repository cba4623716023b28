"""TFace's index files: which record is where, and what it is labelled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from facezoo.data.classes import CLASSES, numbered, read_classes
from facezoo.data.columns import Columns
from facezoo.data.mapped import MappedFile
from facezoo.data.pairs import Pairs
from facezoo.data.problems import NOTHING, Finding, Labels, compact
from facezoo.types import InputError

MAX_SHARDS = 100_000
"""Shards of one set: five digits."""

PATHS = ("text", "int", "int")
TRAINING = ("name", "int", "int", "int")


class Index(NamedTuple):
    """What an index file lists: N records.

    Attributes:
        files: the shards.
        places: (N,) which of the files.
        offsets: (N,) bytes in it.
        values: (N,) labels.
        classes: name of each label value.
        gaps: label values that are missing.
        paths: where the records' image paths stand: a file, and the byte positions (N,) in it; None if nowhere.
        pairs: that it lists; None if it does not.
    """

    files: list[Path]
    places: NDArray[np.int64]
    offsets: NDArray[np.int64]
    values: Labels
    classes: dict[int, str]
    gaps: Finding = NOTHING
    paths: tuple[MappedFile, NDArray[np.int64]] | None = None
    pairs: Pairs | None = None


def read_paths(path: Path, index: Path, _fields: int, root: Path | None) -> Index:
    """An index of image paths, in the folder of its shards; the folder of an image is its identity."""
    positions, shards, offsets = Columns(index, PATHS).ints.T
    folder = index.parent if root is None else Path(root) / index.stem
    identities = [_identity(index, number, line) for number, line in enumerate(_lines(index), 1) if line.strip()]
    names = read_classes(path, 0) or sorted(set(identities))
    numbers = {name: number for number, name in enumerate(names)}
    if unknown := next((name for name in identities if name not in numbers), None):
        raise InputError(
            f"{index}: the identity {unknown!r} is not among the names of {CLASSES}; add it or remove the file"
        )
    values = np.array([numbers[name] for name in identities], np.int64)
    files, places = _shards(index, [folder], [index.stem], np.zeros_like(shards), shards)
    return Index(
        files, places, offsets.copy(), values, dict(enumerate(names)), paths=(MappedFile(index), positions.copy())
    )


def _lines(index: Path) -> Iterator[bytes]:
    with index.open("rb") as file:
        yield from file


def _identity(index: Path, number: int, line: bytes) -> str:
    try:
        folders = line.partition(b"\t")[0].decode().split("/")
    except UnicodeDecodeError:
        raise InputError(f"{index}:{number}: not UTF-8; save the index as UTF-8") from None
    if len(folders) < 2 or not folders[-2]:
        raise InputError(
            f"{index}:{number}: {folders[-1]!r} lies in no identity's folder; open an index with labels instead"
        )
    return folders[-2]


def read_training(path: Path, index: Path, fields: int, root: Path | None) -> Index:
    """An index of sets, shards, offsets and labels, or of pairs of these."""
    columns = Columns(index, TRAINING * (fields // 4))
    rows, pairs = _records(index, columns) if fields == 8 else (columns.ints, None)
    folders = [_folder(index, root, name) for name in columns.names]
    files, places = _shards(index, folders, columns.names, rows[:, 0], rows[:, 1])
    offsets, values = rows[:, 2].copy(), rows[:, 3].copy()
    classes, gaps = numbered(path, values)
    paths = _paths(folders[0] / f"{columns.names[0]}.index", rows) if len(folders) == 1 else None
    return Index(files, places, offsets, values, classes, gaps, paths, pairs)


def _folder(index: Path, root: Path | None, name: str) -> Path:
    """Where the shards of a set lie: in a folder of its name below the root, or where its own index is."""
    if name in (".", "..") or set(name) & set("/\\:") or not name.isprintable():
        raise InputError(f"{index}: {name!r} is no name of a set: it must be that of a folder below the root")
    below = (index.parent if root is None else Path(root)) / name
    own = index.absolute().parent
    return own if root is None and own.name == name and not below.is_dir() else below


def _paths(index: Path, rows: NDArray[np.int64]) -> tuple[MappedFile, NDArray[np.int64]] | None:
    """Where the records' paths stand in the set's own index, if that lists the same records in the same order."""
    if not index.is_file():
        return None
    listed = Columns(index, PATHS).ints
    return (MappedFile(index), listed[:, 0].copy()) if np.array_equal(listed[:, 1:], rows[:, 1:3]) else None


def _records(index: Path, columns: Columns) -> tuple[NDArray[np.int64], Pairs]:
    """The distinct records of a list of pairs, in order of appearance, and the pairs of their places."""
    rows = columns.ints.reshape(-1, 4)
    order = np.lexsort(rows[:, 2::-1].T)
    new = np.ones(len(rows), bool)
    new[1:] = (np.diff(rows[order, :3], axis=0) != 0).any(axis=1)
    group = np.empty(len(rows), np.int64)
    group[order] = np.cumsum(new) - 1
    first = np.sort(order[new])  # lexsort keeps the order of equals
    place = np.empty(len(first), np.int64)
    place[group[first]] = np.arange(len(first))
    which = place[group]
    differing = np.flatnonzero(rows[first, 3][which] != rows[:, 3])
    if len(differing):
        code, shard, offset, label = rows[differing[0]].tolist()
        raise InputError(
            f"{index}: the record of {columns.names[code]}, shard {shard}, offset {offset} has the labels "
            f"{rows[first[which[differing[0]]], 3]} and {label}; correct one of them"
        )
    labels = rows[:, 3]
    return rows[first], Pairs(which[::2], which[1::2], labels[::2] == labels[1::2])


def _shards(
    index: Path, folders: Sequence[Path], names: Sequence[str], codes: NDArray[np.int64], shards: NDArray[np.int64]
) -> tuple[list[Path], NDArray[np.int64]]:
    """The files of the shards, and for each record which of them it is in."""
    if shards.max() >= MAX_SHARDS:
        raise InputError(f"{index}: shard {shards.max()}, the last possible one is {MAX_SHARDS - 1}")
    used, places = compact(codes * MAX_SHARDS + shards)
    files = [
        shard_file(folders[code], names[code], shard)
        for code, shard in (divmod(key, MAX_SHARDS) for key in used.tolist())
    ]
    return files, places


def shard_file(folder: Path, name: str, number: int) -> Path:
    return folder / f"{name}-{number:05d}.tfrecord"
