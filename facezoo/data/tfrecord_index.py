"""TFace's index files: which record is where, and what it is labelled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from glob import escape
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from facezoo.data.classes import CLASSES, numbered, read_classes
from facezoo.data.columns import Columns
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
        shards: their numbers.
        places: (N,) which of the files.
        offsets: (N,) bytes in it.
        values: (N,) labels.
        classes: name of each label value.
        gaps: label values that are missing.
        paths: an index of the records' image paths that may lie there; None if there can be none.
        pairs: that it lists; None if it does not.
    """

    files: list[Path]
    shards: NDArray[np.int64]
    places: NDArray[np.int32]
    offsets: NDArray[np.int64]
    values: Labels
    classes: dict[int, str]
    gaps: Finding = NOTHING
    paths: Path | None = None
    pairs: Pairs | None = None


def read_paths(path: Path, index: Path, _fields: int, root: Path | None) -> Index:
    """An index of image paths, in the folder of its shards; the folder of an image is its identity."""
    _, shards, offsets = Columns(index, PATHS).fields
    folder = index.parent if root is None else Path(root) / index.stem
    numbers: dict[bytes, int] = {}
    found = (numbers.setdefault(identity, len(numbers)) for identity in _identities(index))
    codes = np.fromiter(found, np.int64, len(offsets))
    try:
        identities = [name.decode() for name in numbers]
    except UnicodeDecodeError:
        raise InputError(f"{index}: the name of an identity is not UTF-8; save the index as UTF-8") from None
    names = read_classes(path, 0) or sorted(identities)
    place = {name: number for number, name in enumerate(names)}
    if unknown := next((name for name in identities if name not in place), None):
        raise InputError(f"{index}: the identity {unknown!r} is not among the names of {CLASSES}; add it there")
    values = np.array([place[name] for name in identities], np.int64)[codes]
    files, used, places = _shards(index, [folder], [index.stem], shards)
    return Index(files, used, places, offsets, values, dict(enumerate(names)), paths=index)


def _identities(index: Path) -> Iterator[bytes]:
    """The folder in which each entry's image lies."""
    with index.open("rb") as file:
        for number, line in enumerate(file, 1):
            folders = line.partition(b"\t")[0].rsplit(b"/", 2)
            if len(folders) > 1 and folders[-2]:
                yield folders[-2]
            elif line.strip():
                raise InputError(
                    f"{index}:{number}: {line[:80].strip()!r} names no image in a folder of its identity; open an "
                    "index with labels instead"
                )


def read_training(path: Path, index: Path, fields: int, root: Path | None) -> Index:
    """An index of sets, shards, offsets and labels, or of pairs of these."""
    columns = Columns(index, TRAINING * (fields // 4))
    pairs = None
    if fields == 8:
        columns.fields, pairs = _records(index, columns)
    codes, shards, offsets, values = columns.fields
    names = columns.names
    folders = [_folder(index, root, name) for name in names]
    if len(names) > 1:
        shards = codes * np.int64(MAX_SHARDS) + _possible(index, shards)
    del columns, codes  # of millions of entries
    files, used, places = _shards(index, folders, names, shards)
    del shards
    paths = folders[0] / f"{names[0]}.index" if len(names) == 1 else None
    classes, gaps = numbered(path, values)
    return Index(files, used, places, offsets, values, classes, gaps, paths, pairs)


def check_set_name(source: Path, name: str) -> None:
    if name in ("", ".", "..") or set(name) & set("/\\:") or not name.isprintable():
        raise InputError(
            f"{source}: {name!r} is no name of a set: it must be that of a folder below the root, without : or \\"
        )


def _folder(index: Path, root: Path | None, name: str) -> Path:
    """Where the shards of a set lie: in a folder of its name below the root, or where its own index is."""
    check_set_name(index, name)
    below = (index.parent if root is None else Path(root)) / name
    here = root is None and not below.is_dir() and any(index.parent.glob(f"{escape(name)}-*.tfrecord"))
    return index.parent if here else below


def path_positions(
    index: Path, count: int, kept: NDArray[np.int32] | None, shards: NDArray[np.int64], offsets: NDArray[np.int64]
) -> NDArray[np.int64] | None:
    """Where the paths of records stand in an index of paths; None if it is not there or lists other records.

    Args:
        count: of records, before any was left out.
        kept: which are left; None if all are.
        shards, offsets: of those that are left.
    """
    if not index.is_file():
        return None
    positions, their_shards, their_offsets = Columns(index, PATHS).fields
    if len(positions) != count:
        return None
    chosen = slice(None) if kept is None else kept
    alike = np.array_equal(their_shards[chosen], shards) and np.array_equal(their_offsets[chosen], offsets)
    return positions[chosen] if alike else None


def _records(index: Path, columns: Columns) -> tuple[list[NDArray[np.int64]], Pairs]:
    """The columns of the distinct records of a list of pairs, in order of appearance, and the pairs of their places."""
    halves = [np.stack([columns.fields[k], columns.fields[k + 4]], axis=1).ravel().astype(np.int64) for k in range(4)]
    labels = halves[3]
    order = np.lexsort(halves[2::-1])
    new = np.ones(len(order), bool)
    new[1:] = np.any([np.diff(column[order]) != 0 for column in halves[:3]], axis=0)
    group = np.empty(len(order), np.int64)
    group[order] = np.cumsum(new) - 1
    first = np.sort(order[new])  # lexsort keeps the order of equals
    place = np.empty(len(first), np.int64)
    place[group[first]] = np.arange(len(first))
    which = place[group]
    differing = np.flatnonzero(labels[first][which] != labels)
    if len(differing):
        code, shard, offset, label = (int(column[differing[0]]) for column in halves)
        raise InputError(
            f"{index}: the record of {columns.names[code]}, shard {shard}, offset {offset} has the labels "
            f"{labels[first[which[differing[0]]]]} and {label}; correct one of them"
        )
    pairs = Pairs(which[::2], which[1::2], labels[::2] == labels[1::2])
    return [column[first] for column in halves], pairs


def _shards(
    index: Path, folders: Sequence[Path], names: Sequence[str], shards: NDArray[np.int64]
) -> tuple[list[Path], NDArray[np.int64], NDArray[np.int32]]:
    """The files of the shards, their numbers, and for each record which of them it is in.

    Args:
        shards: (N,) numbers, plus MAX_SHARDS for each set before that of the record.
    """
    keys, places = compact(shards if len(names) > 1 else _possible(index, shards))
    numbers, whose = keys % MAX_SHARDS, keys // MAX_SHARDS
    files = [shard_file(folders[code], names[code], number) for code, number in zip(whose.tolist(), numbers.tolist())]
    return files, numbers, places.astype(np.int32)


def _possible(index: Path, shards: NDArray[np.int64]) -> NDArray[np.int64]:
    if shards.max() >= MAX_SHARDS:
        raise InputError(f"{index}: shard {shards.max()}, the last possible one is {MAX_SHARDS - 1}")
    return shards


def shard_file(folder: Path, name: str, number: int) -> Path:
    return folder / f"{name}-{number:05d}.tfrecord"
