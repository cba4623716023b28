"""LMDB databases of numbered samples, each a msgpack pair of image bytes and label; https://github.com/HaiyuWu."""

from __future__ import annotations

import mmap
import os
import threading
import weakref
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from facezoo import progress
from facezoo.data.classes import numbered, write_classes
from facezoo.data.dataset import Dataset, Labels
from facezoo.data.lmdb_tree import Tree, check_tree
from facezoo.data.mapped import keep, load_kept, stamps
from facezoo.data.writer import Encoded, Part, Writer
from facezoo.files import unreadable, whole_file
from facezoo.image import MAX_BYTES
from facezoo.registry import DATASETS, WRITERS
from facezoo.types import InputError
from facezoo.zoo.cache import lock

DATA = "data.mdb"
SUFFIXES = (".lmdb", ".mdb")

MAGIC = 0xBEEFC0DE
META = np.dtype(
    {
        "names": ["magic", "version", "page_size", "root", "last_page", "transaction"],
        "formats": ["<u4", "<u4", "<u4", "<u8", "<u8", "<u8"],
        "offsets": [16, 20, 40, 128, 136, 144],
        "itemsize": 152,
    }
)
"""What is looked at of a meta page of LMDB's format 1."""

PAGE_SIZES = (512, 1 << 16)
"""Smallest and largest that LMDB takes."""

MAX_LABEL = 2**31 - 1
COMMIT_BYTES = 1 << 26

_environments: weakref.WeakValueDictionary[tuple[int, str], Any] = weakref.WeakValueDictionary()
"""By process and file: LMDB does not allow to open a file twice in one process, nor to use one after a fork."""

_opening = threading.Lock()


@DATASETS.register(name="lmdb")
class Lmdb(Dataset):
    """Keys `0` to `n - 1`, each msgpack of (image bytes, label), and `__len__`, `__classnum__`.

    It is opened for reading only and without a lock. The first opening checks all pages of the tree, which LMDB's
    library trusts, reads the labels out of all values and keeps them beside the file, or in the cache folder.

    Args:
        path: the folder of data.mdb, or a single file.
        check: decode every image once now.
        unreadable: with check, fail on damaged images or drop them.
        min_images: identities with fewer images than this are left out.

    Raises:
        InputError: no LMDB file, truncated, of another layout, or a value that does not parse, by its key.
    """

    def __init__(
        self,
        path: Path,
        check: bool = False,
        unreadable: Literal["fail", "drop"] = "fail",
        min_images: int = 1,
    ) -> None:
        self.root = Path(path)
        self.file = self.root / DATA if self.root.is_dir() else self.root
        _library(self.file, "lmdb"), _library(self.file, "msgpack")
        self._tree = _check_whole(self.file)
        self._process: tuple[int, Any] | None = None
        self._keys: np.ndarray | None = None  # all of them
        values = self._labels()
        classes, gaps = numbered(self.root, values)
        kept = self._open(self.root, values, classes, len(values), {"gaps": gaps}, check, unreadable, min_images)
        if len(kept) < len(values):
            self._keys = kept

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_process": None}

    def encoded(self, index: int) -> bytes:
        return self._sample(self._key(index))[0]

    def name(self, index: int) -> str:
        return f"{self.file}: key {self._key(index)}"

    def _key(self, index: int) -> int:
        return int(self._keys[index]) if self._keys is not None else index

    def _environment(self) -> Any:
        pid = os.getpid()
        if self._process is None or self._process[0] != pid:
            self._process = (pid, _environment(self.file))
        return self._process[1]

    def _value(self, key: str) -> Any:
        """What is stored under a key, unpacked; None if there is no such key."""
        unpack, environment = _library(self.file, "msgpack").unpackb, self._environment()
        try:
            with environment.begin(buffers=True) as transaction:
                data = transaction.get(key.encode())
                return None if data is None else unpack(data, raw=True)
        except (_library(self.file, "lmdb").Error, ValueError) as error:
            raise InputError(f"{self.file}: key {key}: the value does not parse ({error}); it is damaged") from None

    def _sample(self, key: int) -> tuple[bytes, int]:
        value = self._value(str(key))
        fits = isinstance(value, list) and len(value) == 2 and isinstance(value[0], bytes) and type(value[1]) is int
        if not fits or not 0 <= value[1] <= MAX_LABEL:
            what = "missing" if value is None else "not a pair of image bytes and a whole number from 0"
            raise InputError(f"{self.file}: key {key}: the value is {what}; write the database anew")
        if len(value[0]) > MAX_BYTES:
            raise InputError(
                f"{self.file}: key {key}: {len(value[0]):,} bytes, more than the {MAX_BYTES:,} that are read"
            )
        return value[0], value[1]

    def _labels(self) -> Labels:
        """The label of every sample, as it was kept or else out of the values."""
        stamp = stamps([self.file])
        labels = load_kept(self.file, stamp)
        if labels is None:
            with lock(self.file.absolute()):  # of several processes one reads
                labels = load_kept(self.file, stamp)
                if labels is None:
                    labels = self._read_labels()
                    keep(self.file, stamp, labels)
        return labels

    def _read_labels(self) -> Labels:
        check_tree(self.file, self._tree)
        count, entries = self._value("__len__"), self._environment().stat()["entries"]
        if type(count) is not int or not 0 < count <= entries:
            shown = "nothing" if count is None else repr(count)[:40]
            raise InputError(
                f"{self.file}: key __len__ holds {shown}, not the number of samples ({entries:,} keys are there); only "
                "databases with keys 0, 1, ... of msgpack pairs are read"
            )
        keys = progress.track(range(count), f"labels of {self.file.name}", "samples")
        labels = np.fromiter((self._sample(key)[1] for key in keys), np.int64, count)
        classes = self._value("__classnum__")
        if type(classes) is int and labels.max() >= classes:
            key = int(np.argmax(labels >= classes))
            raise InputError(
                f"{self.file}: key {key}: label {labels[key]}, __classnum__ is {classes}; write the database anew"
            )
        return labels


def _environment(file: Path) -> Any:
    """The open database of this process."""
    lmdb, key = _library(file, "lmdb"), (os.getpid(), os.path.realpath(file))
    with _opening:
        for (pid, _), inherited in list(_environments.items()):
            if pid != os.getpid():  # without a lock there is nothing in it that the parent would miss
                inherited.close()
        found = _environments.get(key)
        if found is None:
            try:
                found = lmdb.open(str(file), subdir=False, readonly=True, lock=False, readahead=False)
            except lmdb.Error as error:
                raise InputError(f"{file}: LMDB cannot open it ({error})") from None
            _environments[key] = found
    return found


def _library(file: Path, name: str) -> Any:
    try:
        return __import__(name)
    except ImportError:
        raise InputError(f'{file}: needs {name}; pip install "facezoo[data]"') from None


def _check_whole(file: Path) -> Tree:
    """LMDB maps what its meta pages name and dies of pages that are not there: the file is measured first.

    Gives where the tree is.

    Raises:
        InputError: not readable, no LMDB of format 1, or shorter than its pages.
    """
    try:
        with file.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            first = stream.read(META.itemsize)
            metas = [np.frombuffer(first, META)[0]] if len(first) == META.itemsize else []
            if metas and metas[0]["magic"] == MAGIC:
                stream.seek(int(metas[0]["page_size"]))
                second = stream.read(META.itemsize)
                metas += [np.frombuffer(second, META)[0]] if len(second) == META.itemsize else []
    except OSError as error:
        raise unreadable(file, error) from None
    if len(metas) < 2 or any(meta["magic"] != MAGIC or meta["version"] != 1 for meta in metas):
        raise InputError(f"{file}: not an LMDB database of format 1")
    sizes = {int(meta["page_size"]) for meta in metas}
    if len(sizes) > 1 or not PAGE_SIZES[0] <= (size_of := sizes.pop()) <= PAGE_SIZES[1] or size_of & (size_of - 1):
        raise InputError(f"{file}: its two heads do not agree on the size of a page; it is damaged, copy it anew")
    newest = max(metas, key=lambda meta: int(meta["transaction"]))
    tree = Tree(size_of, int(newest["last_page"]), int(newest["root"]))
    needed = (tree.last_page + 1) * tree.page_size
    if size < needed:
        raise InputError(f"{file}: has {size:,} bytes, its pages end at byte {needed:,}; it is truncated, copy it anew")
    return tree


@WRITERS.register(name="lmdb")
@dataclass(frozen=True)
class LmdbWriter(Writer):
    """One database in the layout that `lmdb` reads, with `__keys__` as well.

    Args:
        path: a file that ends with .lmdb or .mdb, or a folder for data.mdb.
    """

    path: Path

    @property
    def suffix(self) -> str:
        return ".msgpack"

    def write(self, samples: Iterable[Encoded], file: Path) -> dict[str, Any]:
        pack = _library(file, "msgpack").packb
        count = total = 0
        with file.open("wb") as stream:
            for sample in samples:
                total += stream.write(pack((sample.data, sample.label)))
                count += 1
        return {"samples": count, "bytes": total}

    def finish(self, parts: Sequence[Part], classes: Sequence[str]) -> list[Path]:
        lmdb, pack = _library(self.path, "lmdb"), _library(self.path, "msgpack").packb
        file = self.path if self.path.suffix in SUFFIXES else self.path / DATA
        count = sum(part.facts["samples"] for part in parts)
        # The file is sparse: the room is only reserved. A value may lie on pages of its own, begun and not filled.
        room = 2 * sum(part.facts["bytes"] for part in parts) + count * 4 * mmap.PAGESIZE + (1 << 26)
        with (
            whole_file(file) as temporary,
            lmdb.open(str(temporary), subdir=False, map_size=room, lock=False, sync=False) as environment,
        ):
            number = 0
            for batch in _batches(parts):
                with environment.begin(write=True) as transaction:
                    for value in batch:
                        transaction.put(str(number).encode(), value)
                        number += 1
            with environment.begin(write=True) as transaction:
                transaction.put(b"__keys__", pack([str(key).encode() for key in range(count)]))
                transaction.put(b"__len__", pack(count))
                transaction.put(b"__classnum__", pack(len(classes)))
        return [file, write_classes(self.path, classes)]


def _batches(parts: Sequence[Part]) -> Iterator[list[bytes]]:
    """The packed samples of all parts, so many at a time as one transaction holds in memory."""
    batch: list[bytes] = []
    total = 0
    for part in parts:
        unpacker_of, pack = _library(part.file, "msgpack").Unpacker, _library(part.file, "msgpack").packb
        with part.file.open("rb") as stream:
            for pair in unpacker_of(stream, max_buffer_size=2 * MAX_BYTES):
                batch.append(pack(pair))
                total += len(batch[-1])
                if total >= COMMIT_BYTES:
                    yield batch
                    batch, total = [], 0
    yield batch
