"""insightface's .bin verification packs, read without running what a pickle may ask for."""

from __future__ import annotations

import pickle
import pickletools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from facezoo.files import unreadable
from facezoo.types import InputError

MAX_PACK_BYTES = 2_000_000_000
"""Larger packs are refused before they are read; the usual ones have 50 to 150 MB."""


class _Dtype:
    """Stands for a numpy dtype of one byte: booleans and unsigned bytes are all that a pack may hold."""

    def __init__(self, code: Any, *_flags: Any) -> None:
        code = code.decode() if isinstance(code, bytes) else code
        if code not in ("u1", "b1"):
            raise InputError(f"an array of type {str(code)[:20]!r}")
        self.code = code

    def __setstate__(self, _state: Any) -> None:
        """Byte order and the like mean nothing for one byte."""


class _Array:
    """Stands for a numpy array of bytes: an encoded image."""

    data = b""

    def __setstate__(self, state: Any) -> None:
        _version, shape, dtype, _fortran, data = state
        if not isinstance(dtype, _Dtype) or not isinstance(data, bytes) or tuple(shape) != (len(data),):
            raise InputError("an array that is no row of bytes")
        self.data = data


def _reconstruct(*_arguments: Any) -> _Array:
    return _Array()


def _frombuffer(data: Any, dtype: Any, shape: Any, _order: Any) -> _Array:
    array = _Array()
    array.__setstate__((1, shape, dtype, False, bytes(data) if isinstance(data, bytearray) else data))
    return array


def _scalar(dtype: Any, data: Any) -> bool:
    if not isinstance(dtype, _Dtype) or not isinstance(data, bytes) or len(data) != 1:
        raise InputError("a number of another type")
    return data != b"\0"


def _encode(text: Any, encoding: Any) -> bytes:
    if encoding not in ("latin1", b"latin1") or not isinstance(text, str):
        raise InputError("text in another encoding")
    return text.encode("latin-1")


def _bytes(data: Any = b"") -> bytes:
    if not isinstance(data, bytes):  # a whole number would reserve that much memory
        raise InputError("bytes made of something else")
    return data


_KNOWN: dict[tuple[str, str], Callable[..., Any]] = {
    ("_codecs", "encode"): _encode,  # how protocol 2 writes bytes
    ("builtins", "bytes"): _bytes,
    ("__builtin__", "bytes"): _bytes,
    ("numpy", "dtype"): _Dtype,
    ("numpy", "ndarray"): _Array,
    ("numpy.core.numeric", "_frombuffer"): _frombuffer,  # protocol 5
    ("numpy._core.numeric", "_frombuffer"): _frombuffer,
    **{
        (f"numpy.{core}.multiarray", name): stand_in
        for core in ("core", "_core")
        for name, stand_in in (("_reconstruct", _reconstruct), ("scalar", _scalar))
    },
}


_PUTS = ("PUT", "BINPUT", "LONG_BINPUT")
"""They store what was read last under a number; writers count from 0 or 1."""


class _PackReader(pickle.Unpickler):
    """Knows nothing but lists, tuples, bytes, booleans and the stand-ins above."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _KNOWN:
            raise InputError(f"the foreign object {module}.{name}")
        return _KNOWN[module, name]


def read_pack(path: Path) -> tuple[list[bytes], NDArray[np.bool_]]:
    """Encoded images (2 P) and whether pair k, images 2k and 2k + 1, is genuine (P,).

    Raises:
        InputError: not such a pack, damaged, too large, or a pickle that asks for anything but bytes and booleans.
    """
    try:
        if path.stat().st_size > MAX_PACK_BYTES:
            raise InputError(f"{path}: more than the {MAX_PACK_BYTES:,} bytes that are read")
        with path.open("rb") as file:
            content = _load(path, file)
    except OSError as error:
        raise unreadable(path, error) from None
    return _checked(path, content)


def _load(path: Path, file: BinaryIO) -> Any:
    try:
        for number, (operation, argument, _) in enumerate(pickletools.genops(file)):
            if operation.name in _PUTS and int(argument or 0) > number:  # the reader makes room for all below it
                raise MemoryError
        file.seek(0)
        return _PackReader(file, encoding="bytes").load()
    except InputError as error:
        raise InputError(f"{path}: not a verification pack: it contains {error}") from None
    # What a damaged or hostile pickle raises while it is read.
    except (pickle.UnpicklingError, EOFError, ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        why = " ".join(str(error).split())  # some of pickle's sentences have two lines
        raise InputError(f"{path}: not a readable verification pack ({why})") from None
    except (MemoryError, OverflowError, RecursionError):
        raise InputError(f"{path}: not a readable verification pack (it asks for too much memory)") from None


def _checked(path: Path, content: Any) -> tuple[list[bytes], NDArray[np.bool_]]:
    if not isinstance(content, tuple | list) or len(content) != 2:
        raise InputError(f"{path}: not a verification pack: a pair of lists was expected")
    images, same = content
    if isinstance(same, _Array):
        same = list(same.data)
    if not isinstance(images, list | tuple) or not isinstance(same, list | tuple) or len(images) != 2 * len(same):
        raise InputError(f"{path}: not a verification pack: two images for each label were expected")
    if not len(same):
        raise InputError(f"{path}: there are no pairs in it")
    encoded = [image.data if isinstance(image, _Array) else image for image in images]
    if not all(isinstance(image, bytes) for image in encoded):
        raise InputError(f"{path}: not a verification pack: images are not encoded bytes")
    if not all(isinstance(label, bool | int) for label in same):
        raise InputError(f"{path}: not a verification pack: labels are not booleans")
    return encoded, np.array([bool(label) for label in same])


def distinct(images: Sequence[bytes]) -> tuple[list[bytes], NDArray[np.intp], NDArray[np.intp]]:
    """The images that differ (N,) in order of appearance, which of them each one is, where each comes first (N,)."""
    index: dict[bytes, int] = {}
    which = np.array([index.setdefault(image, len(index)) for image in images], np.intp)
    return list(index), which, np.unique(which, return_index=True)[1]
