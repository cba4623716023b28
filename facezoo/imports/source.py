"""Checkpoint files as one flat table of tensors, whatever wrote them."""

from __future__ import annotations

import stat
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
from torch import Tensor

from facezoo.checkpoint import BACKBONE_KEY, NETWORK_KEY, read_metadata
from facezoo.files import unreadable
from facezoo.imports.torch_file import MAX_TENSORS, Stored, read_torch
from facezoo.types import InputError

MAX_BYTES = 100_000_000_000
"""Larger files are refused: no face network with its optimizer's state is as large."""


@dataclass(frozen=True)
class Source:
    """The tensors of a file, not read yet, by their full names, and the names at its top."""

    path: Path
    tensors: dict[str, Stored]
    top: tuple[str, ...]

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: tensor.shape for name, tensor in self.tensors.items()}


def check_file(path: Path) -> None:
    """Raises InputError unless the path is a file that can be read and is not absurdly large."""
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise InputError(f"{path}: is not a file; name the checkpoint file itself")
        with path.open("rb"):
            pass
    except OSError as error:
        raise unreadable(path, error) from None
    if found.st_size > MAX_BYTES:
        raise InputError(f"{path}: {found.st_size:,} bytes, more than the {MAX_BYTES:,} that are read")


def read_source(path: Path) -> Source:
    """The tensors of a torch file or a safetensors file.

    Raises:
        InputError: missing, damaged, without tensors, or a model file of facezoo already.
    """
    check_file(path)
    made = _read_safetensors(path) if path.suffix == ".safetensors" else read_torch(path)
    tensors = _flat(made, path)
    if not tensors:
        raise InputError(f"{path}: holds no named tensors; give the file with the network's state dict")
    return Source(path, tensors, tuple(str(key) for key in made) if isinstance(made, dict) else ())


def _flat(made: Any, path: Path) -> dict[str, Stored]:
    """All tensors in dicts with texts as keys; lists and optimizers' numbered states name no network's tensors."""
    tensors: dict[str, Stored] = {}
    waiting = deque([("", made)])
    visited = 0
    while waiting:
        prefix, value = waiting.popleft()
        visited += 1
        for key, item in value.items() if isinstance(value, dict) else ():
            if isinstance(item, Stored) and isinstance(key, str):
                tensors[prefix + key] = item
            elif isinstance(item, dict) and isinstance(key, str):
                waiting.append((f"{prefix}{key}.", item))
        if max(visited, len(tensors), len(waiting)) > MAX_TENSORS:
            raise InputError(f"{path}: more than {MAX_TENSORS:,} tensors, no face network has so many")
    return tensors


def _read_safetensors(path: Path) -> dict[str, Stored]:
    header = read_metadata(path)
    if BACKBONE_KEY in header or NETWORK_KEY in header:
        raise InputError(f"{path}: is a model file of facezoo already; use it as it is")

    def reader(name: str) -> Stored:
        def read() -> Tensor:
            with safetensors.safe_open(path, framework="pt") as file:
                return file.get_tensor(name)

        return Stored(tuple(file.get_slice(name).get_shape()), read)

    with safetensors.safe_open(path, framework="pt") as file:
        return {name: reader(name) for name in file.keys()}  # noqa: SIM118 - it is no dict
