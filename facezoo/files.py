"""Files that are whole or absent: written under a temporary name, synced, then renamed; and TOML."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import sys
import time
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, TextIO

from facezoo.types import InputError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TEMPORARY = re.compile(r"\.facezoo-[0-9a-f]{16}-")
"""How the names of temporary files begin; they are hidden."""

STALE = 24 * 3600
"""Temporary files that nobody has written to for so many seconds were left by a killed process."""


TOLD = {
    errno.ENOENT: "no such file",
    errno.ENOTDIR: "no such file",
    errno.EISDIR: "is a folder; name a file",
    errno.EACCES: "you have no right to it; ask its owner, or name another place",
    errno.EPERM: "you have no right to it; ask its owner, or name another place",
    errno.EROFS: "can only be read; name another place to write to",
    errno.ENOSPC: "the disk is full; make room, or name another place",
    errno.EDQUOT: "your share of the disk is used up; make room, or name another place",
}
"""What the system's errors mean and what to do, by their number."""


def unreadable(path: Path | str, error: OSError) -> InputError:
    """What to raise for a file or folder that the system does not give or take."""
    unknown = f"cannot be read or written: {error.strerror or error}; see whether its disk is there and sound"
    return InputError(f"{path}: {TOLD.get(error.errno or 0, unknown)}")


@contextlib.contextmanager
def named(path: Path, temporary: Path | None = None) -> Iterator[None]:
    """Give the path to what the system raises meanwhile without one, as a write does, or with that of `temporary`."""
    try:
        yield
    except OSError as error:
        if error.filename in (None, str(temporary)):
            error.filename = str(path)
        raise


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; on success it becomes `path`, on failure it is removed.

    The parent folder is created. A reader never sees half a file, also after a power cut. What a killed process
    left behind is removed by a later one that writes into the same folder, after a day.

    Raises:
        InputError: the path is a folder.
        OSError: it cannot be written, such as on a full disk; it has the path.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path}: is a folder; name a file to write")
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_stale(path.parent.absolute())
    # The ending is kept: writers such as OpenCV and matplotlib choose the format by it.
    temporary = path.with_name(f".facezoo-{secrets.token_hex(8)}-{path.stem[:40]}{path.suffix}")
    # Made as any new file: the umask cannot be asked for without changing it for all threads of the process.
    with named(path, temporary):
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        try:
            yield temporary
            sync(temporary)
            temporary.replace(path)
            sync(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def whole_text(path: Path) -> Iterator[TextIO]:
    """As `whole_file`, open for lines of UTF-8 that end alike on every system."""
    with whole_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        yield file


def write_text(path: Path, text: str) -> None:
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_bytes(path: Path, data: bytes) -> None:
    with whole_file(path) as temporary:
        temporary.write_bytes(data)


def read_toml(path: Path | str) -> dict[str, Any]:
    """The tables of a TOML file.

    Raises:
        InputError: missing, a folder, not readable, or not TOML.
    """
    if Path(path).is_dir():
        raise InputError(f"{path}: is a folder; name a TOML file")
    try:
        return parse_toml(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise unreadable(path, error) from None
    except ValueError as error:  # also of the encoding
        raise InputError(f"{path}: not valid TOML: {error}") from None


def parse_toml(text: str) -> dict[str, Any]:
    """As `read_toml`, from text; ValueError if it is not TOML."""
    return tomllib.loads(text)


@lru_cache(maxsize=4096)  # once a process: listing a folder of a million crops for each of them would take for ever
def _remove_stale(folder: Path) -> None:
    now = time.time()
    # A folder may be for writing only, a file another user's, and its writer faster: none of it hinders writing.
    with contextlib.suppress(PermissionError), os.scandir(folder) as entries:
        for entry in entries:
            if TEMPORARY.match(entry.name):
                with contextlib.suppress(FileNotFoundError, PermissionError):
                    if now - entry.stat(follow_symlinks=False).st_mtime > STALE:
                        Path(entry.path).unlink()


def sync(path: Path) -> None:
    """Make a file, or the names in a folder, last through a power cut."""
    if path.is_dir() and os.name == "nt":  # a folder cannot be synced on Windows
        return
    # Windows syncs only what is open for writing, POSIX opens a folder for reading only.
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
