"""The cache folder: files that are made or fetched once, verified, by one process at a time."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import platformdirs
from filelock import FileLock

from facezoo.files import whole_file
from facezoo.types import InputError

_CHUNK = 1 << 20


def cache_dir() -> Path:
    """Where fetched files lie: `FACEZOO_CACHE`, else the user's cache folder of this system."""
    folder = os.environ.get("FACEZOO_CACHE")
    return Path(folder).expanduser().absolute() if folder else Path(platformdirs.user_cache_dir("facezoo"))


def derived(name: str, write: Callable[[Path], None]) -> Path:
    """A file computed once and kept in the cache under `derived/name`: a model in another format, for instance.

    Args:
        name: of the file; it changes whenever the content would (version, digest of the source).
        write: writes the file to the path it is given.
    """
    target = cache_dir() / "derived" / relative(name, name)
    with lock(target):
        if not target.is_file():
            with whole_file(target) as temporary:
                write(temporary)
    return target


def cached(target: Path, source: str, sha256: str, write: Callable[[Path], None]) -> Path:
    """`target` if it lies there and its digest fits; else written, verified and put there."""
    if target.is_file() and digest_fits(target, sha256):
        return target
    with lock(target):
        if target.is_file() and digest_fits(target, sha256):  # another process was faster
            return target
        with whole_file(target) as temporary:
            write(temporary)
            verify(temporary, source, sha256)
    return target


def relative(path: str, source: str) -> Path:
    """A path with forward slashes that stays below the folder it is joined to."""
    parts = path.split("/")
    if any(part in ("", ".", "..") or "\\" in part or ":" in part for part in parts):
        raise InputError(f"{source}: {path!r} is not a plain path of names separated by /")
    return Path(*parts)


def demand_network(source: str) -> None:
    """Called before anything is asked of the network."""
    if os.environ.get("FACEZOO_OFFLINE", "0") not in ("", "0"):
        raise InputError(f"{source} is not in the cache {cache_dir()}, and FACEZOO_OFFLINE forbids to fetch it")


def digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    total = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            total.update(chunk)
    return total.hexdigest()


def digest_fits(path: Path, sha256: str) -> bool:
    return not sha256 or digest(path) == sha256.lower()


def verify(path: Path, source: str, sha256: str) -> None:
    if not digest_fits(path, sha256):
        raise InputError(f"{source}: SHA-256 is {digest(path)}, expected {sha256}; the file is damaged or not this one")


@contextlib.contextmanager
def lock(target: Path) -> Iterator[None]:
    """One process (or thread) at a time makes a cached file; the others wait and then find it."""
    path = cache_dir() / "locks" / hashlib.sha256(str(target).encode()).hexdigest()[:16]
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path):
        yield
