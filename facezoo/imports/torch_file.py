"""Files of torch.save, of any age, as plain containers of tensors; no code in them is run."""

from __future__ import annotations

import io
import math
import struct
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from facezoo.imports.pickles import Made, Name, Persistent, read_pickle
from facezoo.types import InputError

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
"""The first pickle of a file written before torch 1.6."""

MAX_DEPTH = 200
"""Containers and modules nested deeper are refused."""

MAX_TENSORS = 200_000
"""A module with more is refused; the largest published face network has 20,000."""

DTYPES = {
    "Float": torch.float32,
    "Double": torch.float64,
    "Half": torch.float16,
    "BFloat16": torch.bfloat16,
    "Long": torch.int64,
    "Int": torch.int32,
    "Short": torch.int16,
    "Char": torch.int8,
    "Byte": torch.uint8,
    "Bool": torch.bool,
}

TENSORS = ("torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v3")
WRAPPERS = ("torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state")


@dataclass(frozen=True)
class Stored:
    """A tensor of a file that is not read yet."""

    shape: tuple[int, ...]
    read: Callable[[], Tensor]


@dataclass(frozen=True)
class _Storage:
    key: str
    dtype: torch.dtype
    count: int


def read_torch(path: Path) -> Any:
    """The object of a torch file: dicts, lists, numbers, texts, and `Stored` for tensors.

    A pickled module is its state dict; of other objects there is what they hold.

    Raises:
        InputError: not a file of torch.save, damaged, or a tensor reaches beyond its bytes.
    """
    if zipfile.is_zipfile(path):
        return _read_zip(path)
    with path.open("rb") as file:
        return _read_legacy(path, file)


def _read_zip(path: Path) -> Any:
    with _archive(path) as archive:
        members = {info.filename.partition("/")[2]: info for info in archive.infolist()}
        if any(info.compress_type != zipfile.ZIP_STORED for info in members.values()):
            raise InputError(f"{path}: a compressed zip archive, which torch.save never writes; unpack it first")
        if "data.pkl" not in members:
            raise InputError(f"{path}: a zip archive, but not one of torch.save; unpack it first")
        order = archive.read(members["byteorder"]).strip() if "byteorder" in members else b"little"
        if order != b"little":
            raise InputError(f"{path}: written on a big-endian machine, which is not read")
        made = read_pickle(io.BytesIO(archive.read(members["data.pkl"])), str(path))

    def load(storage: _Storage) -> bytes:
        info = members.get(f"data/{storage.key}")
        size = storage.count * storage.dtype.itemsize
        if info is None or info.file_size != size:
            raise InputError(f"{path}: the storage {storage.key!r} is missing or not of {size:,} bytes")
        with _archive(path) as archive:
            return archive.read(info)

    return _Rebuild(path, load).plain(made)


@contextmanager
def _archive(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    # The zip reader reports damage by any of these.
    except (
        zipfile.BadZipFile,
        EOFError,
        NotImplementedError,
        RuntimeError,
        OSError,
        ValueError,
        struct.error,
    ) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: a damaged zip archive ({error})") from None


def _read_legacy(path: Path, file: BinaryIO) -> Any:
    try:
        magic = read_pickle(file, str(path))
    except InputError as error:
        raise InputError(f"{error}; read are files of torch.save, .safetensors, .onnx, and dlib's .dat") from None
    if magic != LEGACY_MAGIC:
        raise InputError(f"{path}: a pickle, but not one of torch.save; save the state dict with torch.save")
    read_pickle(file, str(path))  # the protocol's number
    system = read_pickle(file, str(path))
    if isinstance(system, dict) and not system.get("little_endian", True):
        raise InputError(f"{path}: written on a big-endian machine, which is not read")
    made = read_pickle(file, str(path))
    keys = read_pickle(file, str(path))
    counts = {str(reference.value[2]): _storage(path, reference) for reference in _references(made)}
    places: dict[str, int] = {}
    place, end = file.tell(), path.stat().st_size
    for key in keys if isinstance(keys, list) else []:
        storage = counts.get(str(key))
        if storage is None:
            raise InputError(f"{path}: the storage {key!r} is not used by any tensor; the file is damaged")
        places[storage.key] = place + 8  # behind the number of elements
        place += 8 + storage.count * storage.dtype.itemsize
        if place > end:
            raise InputError(f"{path}: ends early, the storage {storage.key!r} is cut off")

    def load(storage: _Storage) -> bytes:
        if storage.key not in places:
            raise InputError(f"{path}: the storage {storage.key!r} is missing")
        with path.open("rb") as file:
            file.seek(places[storage.key])
            return file.read(storage.count * storage.dtype.itemsize)

    return _Rebuild(path, load).plain(made)


def _references(made: Any) -> Iterable[Persistent]:
    """All storages that an object refers to, each object visited once."""
    seen: set[int] = set()
    waiting = [made]
    while waiting:
        value = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, Persistent):
            yield value
        elif isinstance(value, dict):
            waiting.extend(value.values())
        elif isinstance(value, list | tuple):
            waiting.extend(value)
        elif isinstance(value, Made):
            waiting += [value.args, value.state, value.items]


def _storage(path: Path, reference: Persistent) -> _Storage:
    match reference.value:
        case ("storage", Name(path=kind), key, _, int(count), *rest):
            dtype = DTYPES.get(kind.removeprefix("torch.").removesuffix("Storage"))
            if kind == "torch.storage.UntypedStorage":
                dtype = torch.uint8
            if dtype is None:
                raise InputError(f"{path}: holds a {kind}; save the state dict in float32")
            if count < 0 or (rest and rest[0] is not None):
                raise InputError(f"{path}: a storage of {count} elements or a view of one; the file is damaged")
            return _Storage(str(key), dtype, count)
    raise InputError(f"{path}: refers to something that is no storage; the file is damaged")


class _Rebuild:
    """Records of calls become tensors to be read later, modules become their state dicts."""

    def __init__(self, path: Path, load: Callable[[_Storage], bytes]) -> None:
        self.path, self._load = path, load
        self._known: dict[int, Any] = {}
        self._last: tuple[_Storage | None, bytearray] = (None, bytearray())

    def load(self, storage: _Storage) -> bytearray:
        """A storage's bytes; the last one is kept, for files whose tensors all lie in one."""
        if self._last[0] != storage:
            self._last = (storage, bytearray(self._load(storage)))
        return self._last[1]

    def plain(self, value: Any, depth: int = 0) -> Any:
        """As `read_torch` gives it; what occurs in many places is made once, or a small file could grow without end."""
        if depth > MAX_DEPTH:
            raise InputError(f"{self.path}: nested more than {MAX_DEPTH} deep, no checkpoint is")
        if id(value) not in self._known:
            self._known[id(value)] = self._plain(value, depth)
        return self._known[id(value)]

    def _plain(self, value: Any, depth: int) -> Any:
        if isinstance(value, dict):
            return {key: self.plain(item, depth + 1) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.plain(item, depth + 1) for item in value]
        if not isinstance(value, Made):
            return value
        if value.name in TENSORS:
            return self.tensor(*value.args)
        if value.name in WRAPPERS and value.args:
            return self.plain(value.args[0], depth + 1)
        if value.name == "torch._tensor._rebuild_from_type_v2" and len(value.args) > 2:
            return self._plain(Made(_path(value.args[0]), tuple(value.args[2])), depth + 1)
        if isinstance(value.state, dict) and "_modules" in value.state:
            return self.module(value.state, depth)
        if isinstance(value.state, dict):  # of anything else what it holds, such as a TorchScript module's tensors
            return {key: self.plain(item, depth + 1) for key, item in value.state.items()}
        return None

    def module(self, state: dict[Any, Any], depth: int) -> dict[str, Any]:
        """The state dict of a pickled torch module, nested by its children."""
        own = {**_dict(state.get("_parameters")), **_dict(state.get("_buffers"))}
        found = {str(key): self.plain(item, depth + 1) for key, item in own.items()}
        children = {str(key): self.plain(item, depth + 1) for key, item in _dict(state["_modules"]).items()}
        for name, child in children.items():
            for key, item in child.items() if isinstance(child, dict) else ():
                found[f"{name}.{key}"] = item
            if len(found) > MAX_TENSORS:
                raise InputError(
                    f"{self.path}: a module of more than {MAX_TENSORS:,} tensors, no face network has so many"
                )
        return {key: item for key, item in found.items() if isinstance(item, Stored)}

    def tensor(self, reference: Any = None, offset: Any = 0, size: Any = (), stride: Any = (), *rest: Any) -> Stored:
        """A view of a storage; one that reaches beyond it, or spreads it over more elements, is refused."""
        if not isinstance(reference, Persistent):
            raise InputError(f"{self.path}: a tensor without a storage; the file is damaged")
        storage = _storage(self.path, reference)
        dtype = storage.dtype
        if storage.dtype == torch.uint8 and len(rest) > 2:  # untyped: the type stands among the rest
            dtype = next((getattr(torch, n.path.removeprefix("torch."), dtype) for n in rest if _is_dtype(n)), dtype)
        count = storage.count * storage.dtype.itemsize // dtype.itemsize
        if not isinstance(size, tuple) or not isinstance(stride, tuple):
            raise InputError(f"{self.path}: a tensor without a shape; the file is damaged")
        numbers = (offset, *size, *stride)
        if len(size) != len(stride) or not all(isinstance(n, int) and n >= 0 for n in numbers):
            raise InputError(f"{self.path}: a tensor of shape {size} and strides {stride}; the file is damaged")
        last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
        if math.prod(size) > count or (math.prod(size) and last >= count):
            raise InputError(f"{self.path}: a tensor of shape {tuple(size)} reaches beyond its storage")
        shape, strides = tuple(size), tuple(stride)

        def read() -> Tensor:
            if not math.prod(shape):
                return torch.empty(shape, dtype=dtype)
            flat = torch.frombuffer(self.load(storage), dtype=dtype)
            return flat.as_strided(shape, strides, offset).clone()

        return Stored(shape, read)


def _is_dtype(value: Any) -> bool:
    return isinstance(value, Name) and isinstance(getattr(torch, value.path.removeprefix("torch."), None), torch.dtype)


def _path(value: Any) -> str:
    return value.path if isinstance(value, Name) else ""


def _dict(value: Any) -> dict[Any, Any]:
    return value if isinstance(value, dict) else {}
