"""Embeddings on disk: one array that is mapped, what the rows are, and the contract they were made by."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from facezoo import __version__
from facezoo.files import sync, whole_file, whole_text, write_text
from facezoo.types import Contract, FloatArray, InputError

HEADER = "features.json"
ROWS = "embeddings.npy"
STATE = "state.npy"
NAMES = "names.txt"
LABELS = "labels.npy"

PENDING, DONE, NO_FACE, UNREADABLE = range(4)
"""What has become of a photo, in the file of states."""

Precision: TypeAlias = Literal["float32", "float16"]

COPIED = 1 << 16
"""Rows that are converted at a time."""


@dataclass(frozen=True)
class Header:
    """What a folder of features holds; all but the counts must agree where an extraction goes on.

    Attributes:
        photos: N.
        contract: of the model. With halves its flip says whether both are added where one embedding is asked for.
        model: digest of the weights.
        data: digest of the photos' names, in order.
        alignment: how the crops were made, in words.
        dtype: of the rows.
        halves: a row is the crop's embedding and behind it that of the mirror image, 2 D wide.
        resized: crops that did not have the model's size, where they were counted.
        version: of facezoo.
    """

    photos: int
    contract: Contract
    model: str
    data: str
    alignment: str
    dtype: Precision = "float32"
    halves: bool = False
    resized: int = 0
    version: str = __version__

    @property
    def width(self) -> int:
        return self.contract.embedding_dim * (2 if self.halves else 1)


def is_features(folder: Path | str) -> bool:
    """Whether a path is a folder of features."""
    return (Path(folder) / HEADER).is_file()


def names_digest(names: Iterable[str]) -> str:
    digest = sha256()
    for name in names:
        digest.update(name.encode("utf-8", "surrogateescape") + b"\n")
    return digest.hexdigest()


class FeatureFile:
    """A folder of features, opened for reading.

    Attributes:
        header: what it holds.
        embeddings: (N, D) or, with halves, (N, 2 D), mapped; rows of photos without an embedding are 0.
        state: (N,), see `DONE`.
        labels: (N,), or None.

    Raises:
        InputError: not such a folder, or damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self.header = _read_header(self.folder)
        self.embeddings: FloatArray = self._mapped(ROWS, (self.header.photos, self.header.width), self.header.dtype)
        self.state = np.asarray(self._mapped(STATE, (self.header.photos,), "uint8"))
        labelled = (self.folder / LABELS).is_file()
        self.labels = self._mapped(LABELS, (self.header.photos,), "int64") if labelled else None

    @property
    def complete(self) -> bool:
        return bool((self.state != PENDING).all())

    @property
    def failed(self) -> NDArray[np.bool_]:
        """Photos without an embedding, (N,)."""
        return self.state != DONE

    def names(self) -> Iterator[str]:
        with (self.folder / NAMES).open(encoding="utf-8", errors="surrogateescape", newline="\n") as file:
            for line in file:
                yield line.removesuffix("\n")

    def rows_of(self, names: Sequence[str]) -> NDArray[np.intp]:
        """The row of each name (K,); where a name occurs twice, the first.

        Raises:
            InputError: some are not there; they are named.
        """
        if len(names) == self.header.photos and all(a == b for a, b in zip(names, self.names())):
            return np.arange(len(names))
        wanted: dict[str, int] = dict.fromkeys(names, -1)
        for row, name in enumerate(self.names()):
            if wanted.get(name) == -1:
                wanted[name] = row
        if gone := [name for name, row in wanted.items() if row < 0]:
            raise InputError(
                f"{self.folder}: has no embedding of {len(gone):,} of {len(wanted):,} photos, the first: "
                f"{', '.join(gone[:3])}; extract those photos, from the folder that these names are relative to"
            )
        return np.array([wanted[name] for name in names], np.intp)

    def rows(self, at: NDArray[np.intp], flip: bool | None = None) -> FloatArray:
        """Embeddings (K, D) of these rows, mapped where that is possible; of halves both added if `flip`, the first
        if not, and (K, 2 D) as they are if it is None."""
        whole = len(at) == self.header.photos and bool((at == np.arange(len(at))).all())
        if flip is None or not self.header.halves:
            return self.embeddings if whole else self.embeddings[at]
        dim = self.header.contract.embedding_dim
        found = np.empty((len(at), dim), np.float32)
        for start in range(0, len(at), COPIED):
            both = self.embeddings[at[start : start + COPIED]].astype(np.float32)
            found[start : start + COPIED] = both[:, :dim] + both[:, dim:] if flip else both[:, :dim]
        return found

    def _mapped(self, name: str, shape: tuple[int, ...], dtype: str) -> Any:
        path = self.folder / name
        try:
            found = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise InputError(f"{path}: not a readable feature file ({error}); remove {self.folder}") from None
        if found.shape != shape or found.dtype != dtype:
            raise InputError(f"{path}: holds {found.dtype} {found.shape}, not {dtype} {shape}; remove {self.folder}")
        return found


class FeatureWriter:
    """A folder of features that is written block by block, in any order and by several processes.

    A photo's state is written after its row has reached the disk: what a killed process leaves is gone on with.

    Args:
        folder: made by `begin`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        file = FeatureFile(self.folder)
        self.header, self.state = file.header, file.state.copy()
        with (self.folder / ROWS).open("rb") as rows, (self.folder / STATE).open("rb") as state:
            self._rows_at, self._state_at = _data_at(rows), _data_at(state)

    def write(self, start: int, rows: FloatArray, state: NDArray[np.uint8]) -> None:
        """Write the rows (B, width) and states (B,) from photo `start` on."""
        with np.errstate(over="ignore"):  # what half precision cannot hold is named below
            rows = np.ascontiguousarray(rows, self.header.dtype)
        if not np.isfinite(rows).all():
            row = start + int(np.flatnonzero(~np.isfinite(rows).all(axis=1))[0])
            raise InputError(
                f"{self.folder}: the embedding of photo {row:,} has numbers that {self.header.dtype} cannot hold"
            )
        self._put(self.folder / ROWS, self._rows_at + start * rows.itemsize * self.header.width, rows.tobytes())
        self._put(self.folder / STATE, self._state_at + start, np.ascontiguousarray(state, np.uint8).tobytes())

    @staticmethod
    def _put(path: Path, place: int, data: bytes) -> None:
        with path.open("r+b", buffering=0) as file:
            file.seek(place)
            view = memoryview(data)
            while view:
                view = view[file.write(view) :]
            os.fsync(file.fileno())


def begin(folder: Path, header: Header, names: Iterable[str], labels: NDArray[np.int64] | None = None) -> None:
    """Make a folder of features without rows, or leave one as it is that holds the same.

    Raises:
        InputError: the folder holds other features, or a name has a line break.
    """
    folder = Path(folder)
    if is_features(folder):
        there = asdict(_read_header(folder))
        if other := [key for key, value in asdict(header).items() if key != "resized" and there[key] != value]:
            raise InputError(f"{folder}: holds features with another {', '.join(other)}; give another folder")
        return
    with whole_text(folder / NAMES) as file:
        file.reconfigure(errors="surrogateescape")  # type: ignore[attr-defined]
        for name in names:
            if "\n" in name:
                raise InputError(f"{name!r}: a photo's name has a line break; rename it")
            file.write(name + "\n")
    if labels is not None:
        with whole_file(folder / LABELS) as temporary, temporary.open("wb") as binary:
            np.save(binary, np.asarray(labels, np.int64))
    else:
        (folder / LABELS).unlink(missing_ok=True)
    for name, shape, dtype in (
        (ROWS, (header.photos, header.width), header.dtype),
        (STATE, (header.photos,), "uint8"),
    ):
        with whole_file(folder / name) as temporary:
            # Holes in the file: a row takes room on the disk when it is written.
            np.lib.format.open_memmap(temporary, "w+", np.dtype(dtype), shape)
    write_text(folder / HEADER, json.dumps(asdict(header), indent=2) + "\n")
    sync(folder)


def _data_at(file: Any) -> int:
    """Where the numbers of a .npy file begin."""
    version = np.lib.format.read_magic(file)
    reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    reader(file)
    return int(file.tell())


def _read_header(folder: Path) -> Header:
    path = folder / HEADER
    try:
        return TypeAdapter(Header).validate_json(path.read_bytes())
    except FileNotFoundError:
        raise InputError(f"{folder}: no folder of features: has no {HEADER}") from None
    except (OSError, ValidationError) as error:
        why = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
        raise InputError(f"{path}: not a readable feature file ({why}); remove {folder}") from None
