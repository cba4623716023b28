"""Files that are whole or absent: written under a temporary name, synced, then renamed."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import time
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

TEMPORARY = re.compile(r"\.facezoo-[0-9a-f]{16}-")
"""How the names of temporary files begin; they are hidden."""

STALE = 24 * 3600
"""Temporary files that nobody has written to for so many seconds were left by a killed process."""


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; on success it becomes `path`, on failure it is removed.

    The parent folder is created. A reader never sees half a file, also after a power cut. What a killed process
    left behind is removed by a later one that writes into the same folder, after a day.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_stale(path.parent.absolute())
    # The ending is kept: writers such as OpenCV and matplotlib choose the format by it.
    temporary = path.with_name(f".facezoo-{secrets.token_hex(8)}-{path.stem[:40]}{path.suffix}")
    # Made as any new file: the umask cannot be asked for without changing it for all threads of the process.
    os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    try:
        yield temporary
        _sync(temporary)
        temporary.replace(path)
        _sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_bytes(path: Path, data: bytes) -> None:
    with whole_file(path) as temporary:
        temporary.write_bytes(data)


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


def _sync(path: Path) -> None:
    if path.is_dir() and os.name == "nt":  # a folder cannot be synced on Windows
        return
    # Windows syncs only what is open for writing, POSIX opens a folder for reading only.
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
