"""Columns of images and labels in Parquet files and in the Arrow files that `datasets` saves."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from facezoo.data.storage import Storage
from facezoo.types import InputError

HUGGINGFACE = b"huggingface"
"""Key in a schema's metadata under which `datasets` keeps the features of the columns."""

FACEZOO = b"facezoo.paths"
"""Key in a schema's metadata: the paths of the images are unique and begin with the identity."""

MAX_GROUP_BYTES = 1 << 30
"""A row group is read as a whole; larger ones are refused."""


class Choice(NamedTuple):
    """Which columns are read, and what is known of them.

    Attributes:
        image: a column of bytes, or of structures with a field `bytes`.
        nested: whether they are such structures.
        label: a column of whole numbers or of text.
        names: of the labels, or None.
        paths: whether the structures hold the paths that a conversion gave.
    """

    image: str
    nested: bool
    label: str
    names: list[str] | None
    paths: bool


class Table:
    """One file: its schema, the rows of its groups, and columns of a group.

    Raises:
        InputError: pyarrow is missing, no such file, damaged, or row groups too large to read as a whole.
    """

    def __init__(self, storage: Storage, number: int) -> None:
        self.path = storage.files[number].path
        pa = pyarrow(self.path)
        self._file: Any = None
        self._stream: Any = None
        with reported(self.path):
            if self.path.endswith(".arrow"):
                if storage.remote:
                    raise InputError(
                        f"{self.path}: Arrow files are read on this machine only; copy them or use Parquet"
                    )
                with pa.ipc.open_stream(pa.memory_map(self.path)) as reader:
                    self.schema = reader.schema
                    self._batches = list(reader)  # mapped, not read
                self.rows = [batch.num_rows for batch in self._batches]
            else:
                # Arrow's own file does not wait for the interpreter lock.
                self._stream = storage.open(number) if storage.remote else pa.OSFile(self.path)
                self._file = pa.parquet.ParquetFile(self._stream)
                self.schema, metadata = self._file.schema_arrow, self._file.metadata
                groups = [metadata.row_group(group) for group in range(metadata.num_row_groups)]
                self.rows = [group.num_rows for group in groups]
                if (largest := max((group.total_byte_size for group in groups), default=0)) > MAX_GROUP_BYTES:
                    raise InputError(
                        f"{self.path}: a row group of {largest:,} bytes, {MAX_GROUP_BYTES:,} are read; write it anew "
                        "with fewer rows in a group"
                    )

    def __del__(self) -> None:
        stream = getattr(self, "_stream", None)  # also where `__init__` has failed
        if stream is not None:
            stream.close()

    def column(self, group: int, name: str, field: str | None = None) -> Any:
        """A column of a group, or one field of its structures, as a pyarrow array."""
        with reported(self.path):
            if self._file is None:
                found = self._batches[group].column(name)
            else:
                wanted = f"{name}.{field}" if field else name
                read = self._file.read_row_group(group, columns=[wanted], use_threads=False).column(name)
                found = read.combine_chunks() if read.num_chunks != 1 else read.chunk(0)
            self._check(found, self.rows[group])
            return found.field(field) if field else found

    def labels(self, column: str) -> np.ndarray:
        """All labels of the file: int64, or text as objects.

        Raises:
            InputError: a row without a label.
        """
        with reported(self.path):
            if self._file is None:
                parts = [batch.column(column) for batch in self._batches]
            else:
                parts = self._file.read(columns=[column], use_threads=False).column(column).chunks
            for part in parts:
                self._check(part, len(part))
            # As a category of pandas and polars is stored; its places in the dictionary were checked just now.
            parts = [part.dictionary_decode() if hasattr(part, "dictionary") else part for part in parts]
        if sum(map(len, parts)) != sum(self.rows):
            raise InputError(f"{self.path}: {sum(map(len, parts)):,} labels for {sum(self.rows):,} rows; it is damaged")
        found: list[np.ndarray] = []
        for part in parts:
            if part.null_count:
                row = sum(map(len, found)) + int(np.argmax(part.is_null().to_numpy(zero_copy_only=False)))
                raise InputError(f"{self.path}: row {row}: no {column}; leave such rows out")
            found.append(part.to_numpy(zero_copy_only=False))
        return np.concatenate(found) if found else np.empty(0, np.int64)

    def _check(self, column: Any, rows: int) -> None:
        """Arrow believes the offsets in a file, and follows them out of its memory: they are checked first."""
        column.validate(full=True)
        if len(column) != rows:
            raise InputError(f"{self.path}: a row group of {len(column):,} rows, noted are {rows:,}; it is damaged")


def choose(schema: Any, path: str, image: str | None, label: str | None) -> Choice:
    """The columns of images and labels: those that are named, else the only ones that can be meant.

    Raises:
        InputError: no such column, one of another type, or several that could be meant.
    """
    types = pyarrow(path).types
    with reported(path):  # names that are no text
        columns = {
            field.name: field.type.value_type if types.is_dictionary(field.type) else field.type for field in schema
        }
    features = _features(schema, path)

    def is_bytes(kind: Any) -> bool:
        return types.is_binary(kind) or types.is_large_binary(kind)

    def is_structure(kind: Any) -> bool:
        return types.is_struct(kind) and kind.get_field_index("bytes") >= 0 and is_bytes(kind.field("bytes").type)

    def is_label(kind: Any) -> bool:
        return types.is_integer(kind) or types.is_string(kind) or types.is_large_string(kind)

    images = [name for name, kind in columns.items() if is_structure(kind) or is_bytes(kind)]
    labels = [name for name, kind in columns.items() if is_label(kind)]
    classed = [name for name in labels if features.get(name, {}).get("_type") == "ClassLabel"]
    whole = [name for name in labels if types.is_integer(columns[name])]
    image = _one(path, "image", image, [images], columns)
    label = _one(path, "label", label, [classed, whole, labels], columns)
    names = features.get(label, {}).get("names")
    if names is not None and not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
        raise InputError(f"{path}: the class names of column {label!r} are no list of texts; repair the file")
    nested = is_structure(columns[image])
    return Choice(image, nested, label, names, nested and FACEZOO in (schema.metadata or {}))


def _one(path: str, option: str, given: str | None, choices: list[list[str]], columns: dict[str, Any]) -> str:
    """The column that is given, or the only one of the first kind that has any."""
    possible = next((names for names in choices if names), [])
    if given is None and len(possible) == 1:
        return possible[0]
    shown = ", ".join(f"{name} ({kind})" for name, kind in columns.items())[:500]
    if given is None:
        raise InputError(
            f"{path}: {'several columns' if possible else 'no column'} may hold the {option}: {shown}; write "
            f"{option}=COLUMN"
            if possible
            else f"{path}: no column can hold the {option}: {shown}"
        )
    if given not in choices[-1]:
        raise InputError(f"{path}: column {given!r} cannot hold the {option}; the columns are {shown}")
    return given


def _features(schema: Any, path: str) -> dict[str, dict[str, Any]]:
    """What `datasets` noted about each column."""
    text = (schema.metadata or {}).get(HUGGINGFACE)
    if text is None:
        return {}
    try:
        features = json.loads(text)["info"]["features"]
        return {name: feature for name, feature in features.items() if isinstance(feature, dict)}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise InputError(f"{path}: the note of `datasets` in its schema does not parse; write the file anew") from None


def pyarrow(path: object) -> Any:
    """The library, with its parts for Parquet and streams."""
    try:
        import pyarrow
        import pyarrow.ipc
        import pyarrow.parquet
    except ImportError:
        raise InputError(f'{path}: needs pyarrow; pip install "facezoo[data]"') from None
    return pyarrow


@contextlib.contextmanager
def reported(path: str) -> Iterator[None]:
    """What pyarrow raises, as one sentence."""
    pa = pyarrow(path)
    try:
        yield
    except InputError:
        raise
    except (pa.ArrowException, OSError, ValueError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: damaged, or no file of this format ({str(error).splitlines()[0][:200]})") from None
