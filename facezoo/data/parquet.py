"""Image datasets in Parquet, as Hugging Face keeps them, and those that `datasets` saved as Arrow; Parquet written."""

from __future__ import annotations

import json
import os
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from facezoo.data.ahead import ahead
from facezoo.data.classes import numbered, write_classes
from facezoo.data.dataset import Dataset, Labels
from facezoo.data.problems import NOTHING, Finding, gaps, present
from facezoo.data.storage import Storage
from facezoo.data.tables import FACEZOO, HUGGINGFACE, Choice, Table, choose, pyarrow
from facezoo.data.writer import Encoded, Part, Writer
from facezoo.files import whole_file
from facezoo.registry import DATASETS, WRITERS
from facezoo.types import InputError
from facezoo.zoo.cache import relative

ENDINGS = (".parquet", ".arrow")

MAX_FILES_OPEN = 8

MAX_NAMES_BYTES = 10_000_000
"""More names of classes are kept beside a file, not in it, where every reader would have to read them first."""

Shards = NDArray[np.int32]


@DATASETS.register(name="parquet")
class Parquet(Dataset):
    """Rows with an image (bytes, or a structure of `bytes` and `path`) and a label (whole number or text).

    The columns are found by their types; names of classes come from the file (`ClassLabel`), else from classes.txt,
    else they are the labels themselves. Row groups are the shards: one is read whole and kept for a while, so orders
    that stay within a few (the sampler `blocks`) read fast, and any order at random slowly. Other columns are not read.

    Args:
        path: a file, a folder (all files in it), a pattern or a URL; on this machine also a folder saved by `datasets`.
        image: column of the images.
        label: column of the labels.
        cache: folder for copies of files behind a URL; without it the row groups are fetched when they are read.
        cache_gb: how much it may hold.
        memory_mb: of row groups that each process keeps.
        check: decode every image once now.
        unreadable: with check, fail on damaged images or drop them.
        min_images: identities with fewer images than this are left out.

    Raises:
        InputError: no file, a damaged one, no such column, files of different columns, or a row without a label.
    """

    shards: Shards

    def __init__(
        self,
        path: str,
        image: str | None = None,
        label: str | None = None,
        cache: Path | None = None,
        cache_gb: float = 100.0,
        memory_mb: int = 256,
        check: bool = False,
        unreadable: Literal["fail", "drop"] = "fail",
        min_images: int = 1,
    ) -> None:
        pyarrow(path)
        if memory_mb < 0:
            raise InputError(f"{path}: memory_mb is {memory_mb}, it must be 0 or more")
        self.storage, self._memory = Storage(path, ENDINGS, cache, cache_gb), memory_mb * 1_000_000
        first = Table(self.storage, 0)
        self._columns, self._schema = choose(first.schema, first.path, image, label), first.schema
        self._groups: list[tuple[int, int]] = []  # file, and group in it
        rows: list[int] = []
        parts: list[np.ndarray] = []
        for number, (counts, labels) in enumerate(ahead(self._labels, range(len(self.storage.files)))):
            self._groups += [(number, group) for group in range(len(counts))]
            rows += counts
            parts.append(labels)
        self._firsts = np.concatenate([[0], np.cumsum([len(part) for part in parts])])
        values, classes, found = self._named(np.concatenate(parts))
        del parts, self._schema
        self._starts = np.concatenate([[0], np.cumsum(rows)]).astype(np.int64)
        self.shards = np.repeat(np.arange(len(rows), dtype=np.int32), rows)
        self._rows: NDArray[np.int32] | None = None  # all of them
        self._process: _Process | None = None
        kept = self._open(Path(path), values, classes, len(values), {"gaps": found}, check, unreadable, min_images)
        if len(kept) < len(values):
            self._rows, self.shards = kept, self.shards[kept]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_process": None}

    def _labels(self, number: int) -> tuple[list[int], np.ndarray]:
        """Rows of each group of a file, and its labels."""
        table = Table(self.storage, number)
        if not table.schema.equals(self._schema, check_metadata=True):
            columns = choose(table.schema, table.path, self._columns.image, self._columns.label)
            if columns != self._columns:
                other = self.storage.files[0].path
                raise InputError(f"{table.path}: its columns or names are not those of {other}; open them one by one")
        labels = table.labels(self._columns.label)
        if labels.dtype != object and len(labels):
            if labels.min() < 0:
                row = int(np.argmax(labels < 0))
                raise InputError(f"{table.path}: row {row}: label {labels[row]}, they begin at 0; leave such rows out")
            labels = labels.astype(np.int32 if labels.max() <= np.iinfo(np.int32).max else np.int64)
        return table.rows, labels

    def _named(self, labels: Any) -> tuple[Labels, dict[int, str], Finding]:
        """Label values, not wider than they have to be, the name of each, and the gaps."""
        if labels.dtype == object:
            texts, codes = np.unique(labels.astype(str), return_inverse=True)
            return codes.astype(np.int64), dict(enumerate(texts.tolist())), NOTHING
        names = self._columns.names
        if names is None:
            return labels, *numbered(self.storage.named(), labels)
        used = present(labels)
        if len(used) and used[-1] >= len(names):
            raise InputError(f"{self.storage.path}: label {used[-1]} has no name, the file has {len(names):,} names")
        return labels, {value: names[value] for value in used.tolist()}, gaps(used)

    def _place(self, index: int) -> tuple[int, int, int]:
        """Row group, row in it, and row in the whole."""
        row = int(self._rows[index]) if self._rows is not None else range(len(self.shards))[index]
        group = int(self.shards[index])
        return group, row - int(self._starts[group]), row

    def encoded(self, index: int) -> bytes:
        group, row, _ = self._place(index)
        data = self._group(group)[0][row].as_py()
        if data is None:
            raise InputError(f"{self.name(index)}: no image in the row; embed the files before writing Parquet")
        return data

    def name(self, index: int) -> str:
        group, _, row = self._place(index)
        number, _ = self._groups[group]
        return f"{self.storage.files[number].path}: row {row - self._firsts[number]}"

    def path(self, index: int) -> str:
        if not self._columns.paths:
            return super().path(index)
        group, row, _ = self._place(index)
        return relative(self._group(group)[1][row].as_py() or "", self.name(index)).as_posix()

    def _group(self, group: int) -> tuple[Any, Any]:
        if self._process is None or self._process.pid != os.getpid():
            self._process = _Process(self.storage, self._columns, self._memory)
        return self._process.group(group, *self._groups[group])


class _Process:
    """Open files and row groups of one process; after a fork the child has its own."""

    def __init__(self, storage: Storage, columns: Choice, memory: int) -> None:
        self.pid, self._storage, self._columns, self._memory = os.getpid(), storage, columns, memory
        self._lock = threading.Lock()
        self._tables: OrderedDict[int, Table] = OrderedDict()
        self._groups: OrderedDict[int, tuple[Any, Any]] = OrderedDict()
        self._held = 0

    def group(self, key: int, number: int, group: int) -> tuple[Any, Any]:
        """Images and paths of a row group."""
        with self._lock:
            if key in self._groups:
                self._groups.move_to_end(key)
                return self._groups[key]
            if number not in self._tables:
                self._tables[number] = Table(self._storage, number)
            self._tables.move_to_end(number)
            while len(self._tables) > MAX_FILES_OPEN:
                self._tables.popitem(last=False)
            table, image = self._tables[number], self._columns.image
            data = table.column(group, image, "bytes" if self._columns.nested else None)
            found = (data, table.column(group, image, "path") if self._columns.paths else None)
            self._held += data.nbytes
            while self._groups and self._held > self._memory:
                self._held -= self._groups.popitem(last=False)[1][0].nbytes
            self._groups[key] = found
            return found


@WRITERS.register(name="parquet")
@dataclass(frozen=True)
class ParquetWriter(Writer):
    """Parquet that `datasets.load_dataset("parquet", ...)` opens with the features Image and ClassLabel.

    Args:
        path: a file that ends with .parquet, or a folder of them.
        rows: of a row group.
    """

    path: Path
    rows: int = 100

    def __post_init__(self) -> None:
        if self.rows < 1:
            raise InputError(f"parquet: {self.rows} rows in a group, there must be 1 or more")

    @property
    def suffix(self) -> str:
        return ".parquet"

    def write(self, samples: Iterable[Encoded], file: Path) -> dict[str, Any]:
        pa = pyarrow(file)
        schema = _schema(None)

        def tables() -> Iterator[Any]:
            remaining = iter(samples)
            while group := list(islice(remaining, self.rows)):
                images = [{"bytes": sample.data, "path": sample.path} for sample in group]
                yield pa.Table.from_pydict({"image": images, "label": [sample.label for sample in group]}, schema)

        return {"rows": _write(file, schema, tables())}

    def finish(self, parts: Sequence[Part], classes: Sequence[str]) -> list[Path]:
        one = self.path.suffix == self.suffix
        if one:
            targets = [(self.path, list(parts))]
        else:
            names = (f"train-{number:05d}-of-{len(parts):05d}{self.suffix}" for number in range(len(parts)))
            targets = [(self.path / name, [part]) for name, part in zip(names, parts)]
        schema = _schema(classes)
        for target, sources in targets:  # the names of the classes, which no part knew, go into every file
            with whole_file(target) as temporary:
                _write(temporary, schema, (table for part in sources for table in _tables(part.file, schema)))
        return [*(target for target, _ in targets), write_classes(self.path, classes)]


def _schema(classes: Sequence[str] | None) -> Any:
    """Columns image and label, with the note that `datasets` looks for."""
    pa = pyarrow("parquet")
    label: dict[str, Any] = {"dtype": "int64", "_type": "Value"}
    if classes is not None and sum(len(name) + 4 for name in classes) <= MAX_NAMES_BYTES:
        label = {"names": list(classes), "_type": "ClassLabel"}
    note = {"info": {"features": {"image": {"_type": "Image"}, "label": label}}}
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    return pa.schema([("image", image), ("label", pa.int64())], {HUGGINGFACE: json.dumps(note).encode(), FACEZOO: b"1"})


def _write(file: Path, schema: Any, tables: Iterable[Any]) -> int:
    """Write each table as a row group; images are compressed already. Gives the rows."""
    rows = 0
    options = {"compression": "none", "use_dictionary": False, "write_statistics": ["label"]}
    with pyarrow(file).parquet.ParquetWriter(file, schema, **options) as writer:
        for table in tables:
            writer.write_table(table, row_group_size=max(1, table.num_rows))
            rows += table.num_rows
    return rows


def _tables(file: Path, schema: Any) -> Iterator[Any]:
    with pyarrow(file).parquet.ParquetFile(file) as source:
        for group in range(source.num_row_groups):
            yield source.read_row_group(group).cast(schema).replace_schema_metadata(schema.metadata)
