"""Tar files read by their headers: members of a shard without their data, names of any length, every size bounded."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from facezoo.types import InputError

BLOCK = tarfile.BLOCKSIZE
MAX_NAME = 4096
MAX_PAX = 1 << 20
"""Bytes of a member's extended header."""

_EXTENDED = {
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
}
_FILES = {tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE}
_LINKS = {tarfile.LNKTYPE, tarfile.SYMTYPE}


class Member(NamedTuple):
    """A file in a tar.

    Attributes:
        path: as stored, forward slashes, without a leading `./`.
        start: byte at which its headers start.
        offset, size: where its data lie.
    """

    path: str
    start: int
    offset: int
    size: int


def members(file: BinaryIO, size: int, name: str) -> Iterator[Member]:
    """The files of a tar of `size` bytes, in order; folders are passed over.

    Raises:
        InputError: no tar, damaged, truncated, or with what a shard cannot hold (links, sparse files), with the byte.
    """
    start = 0
    while True:
        member, after = _next(file, start, size, name)
        if after < 0:
            return
        if member is not None:
            yield member
        start = after


def path_of(headers: bytes, name: str) -> str:
    """The path of a member from its headers alone (`start` to `offset`)."""
    member, _ = _next(_Bytes(headers), 0, 1 << 62, name)
    if member is None:
        raise InputError(f"{name}: no member starts where the index says; remove the index")
    return member.path


class _Bytes:
    """Bytes as a file for `_next`; a BytesIO costs more than the parsing."""

    def __init__(self, data: bytes) -> None:
        self.data, self.place = data, 0

    def seek(self, place: int) -> None:
        self.place = place

    def read(self, size: int) -> bytes:
        return self.data[self.place : self.place + size]


def _next(file: BinaryIO | _Bytes, start: int, size: int, name: str) -> tuple[Member | None, int]:
    """The member whose headers start at a byte, None for a folder, and where the next starts; -1 at the end."""
    place, long_name, pax = start, "", dict[str, str]()
    while True:
        header = _read(file, place, BLOCK, name)
        if not header.strip(b"\0"):
            if place != start:
                raise InputError(f"{name}: byte {start}: an extended header without its file; the tar is damaged")
            _check_end(file, place, size, name)
            return None, -1
        try:
            info = tarfile.TarInfo.frombuf(header, "utf-8", "strict")
        except (tarfile.HeaderError, UnicodeDecodeError) as error:
            raise InputError(
                f"{name}: byte {place}: no tar header ({error}); the tar is damaged or compressed"
            ) from None
        offset = place + BLOCK
        if info.type in _EXTENDED:
            if not 0 <= info.size <= MAX_PAX:
                raise InputError(
                    f"{name}: byte {place}: an extended header of {info.size:,} bytes; {MAX_PAX:,} are read"
                )
            data = _read(file, offset, info.size, name)
            if info.type == tarfile.GNUTYPE_LONGNAME:
                long_name = _text(data.rstrip(b"\0"), place, name)
            elif info.type in (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE):
                pax = dict(_records(data, place, name))
            place = offset + _blocks(info.size)
            continue
        if (
            info.type in _LINKS
            or info.type == tarfile.GNUTYPE_SPARSE
            or any(key.startswith("GNU.sparse") for key in pax)
        ):
            raise InputError(f"{name}: byte {place}: {info.name!r} is a link or sparse file; write it as a plain file")
        length = int(pax["size"]) if pax.get("size", "").isdigit() and len(pax["size"]) < 19 else info.size
        if not 0 <= length <= size - offset:
            raise InputError(
                f"{name}: byte {place}: {info.name!r} of {length:,} bytes reaches beyond the end of the file; it is "
                "truncated"
            )
        path = (pax.get("path") or long_name or info.name).removeprefix("./")
        after = offset + _blocks(length)
        if info.type not in _FILES or path.endswith("/"):
            return None, after
        if not path or len(path) > MAX_NAME or path.startswith("/") or ".." in path.split("/") or "\\" in path:
            raise InputError(f"{name}: byte {place}: {path[:80]!r} is not a plain path of names separated by /")
        return Member(path, start, offset, length), after


def _read(file: BinaryIO | _Bytes, place: int, size: int, name: str) -> bytes:
    file.seek(place)
    data = file.read(size)
    if len(data) < size:
        raise InputError(f"{name}: byte {place}: the tar ends without its end mark; it is truncated")
    return data


def _check_end(file: BinaryIO | _Bytes, place: int, size: int, name: str) -> None:
    """What follows the end mark is zeros: of tars that were joined, nothing is left out silently."""
    while place < size:
        chunk = _read(file, place, min(1 << 20, size - place), name)
        if chunk.strip(b"\0"):
            raise InputError(
                f"{name}: byte {place}: data behind the end mark; tars joined by cat are not read, unpack them"
            )
        place += len(chunk)


def _records(data: bytes, place: int, name: str) -> Iterator[tuple[str, str]]:
    """The `LENGTH KEY=VALUE` lines of a pax header."""
    while data.strip(b"\0"):
        digits, blank, _ = data[:8].partition(b" ")
        length = int(digits) if blank and digits.isdigit() else 0
        key, equals, value = data[len(digits) + 1 : length].partition(b"=")
        if not equals or data[length - 1 : length] != b"\n":
            raise InputError(f"{name}: byte {place}: an extended header that does not parse; the tar is damaged")
        if key in (b"path", b"size") or key.startswith(b"GNU.sparse"):
            yield _text(key, place, name), _text(value[:-1], place, name)
        data = data[length:]


def _text(data: bytes, place: int, name: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise InputError(f"{name}: byte {place}: a name that is not UTF-8") from None


def _blocks(size: int) -> int:
    return -(-size // BLOCK) * BLOCK
