"""The files of a dataset, here or behind a URL: listed, read by range, copied whole into a cache of bounded size."""

from __future__ import annotations

import asyncio
import contextlib
import glob
import os
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO

from facezoo.data.ahead import ahead
from facezoo.data.classes import CLASSES
from facezoo.data.mapped import MappedFile
from facezoo.files import whole_file, write_bytes
from facezoo.types import InputError
from facezoo.zoo.cache import cache_dir, lock

URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+(://|::)")
BRACES = re.compile(r"\{([^{}]*)\}")
RANGE = re.compile(r"(\d+)\.\.(\d+)")
MAGIC_LETTERS = re.compile(r"[*?\[]")

BELOW = ("*", "*/*")
"""Where the files of a folder lie: in it, else in the folders in it, as on the Hugging Face hub."""

MAX_FILES = 1_000_000
"""A pattern that stands for more files is refused."""

MAX_BESIDE = 4_000_000_000
"""A larger file beside the data (names, index) is not read."""

TOUCHED = 60.0
"""Seconds after which a cached file that is read counts as used anew."""


@dataclass(frozen=True)
class Stored:
    """One file, and what tells it from a later one of the same name: its size in bytes and a version."""

    path: str
    size: int
    version: str

    @property
    def name(self) -> str:
        return os.path.basename(self.path)  # noqa: PTH119 - also of URLs


class Storage:
    """Some files in order, named by one text. It can be pickled, forked and read from threads.

    Args:
        path: a file, a folder, or a pattern of files (`*`, `**`, `{000..127}`, `{a,b}`), here or as the URL of any of
            fsspec's filesystems, whose credentials and endpoints come from fsspec's own configuration.
        endings: of the files that are taken from a folder, such as `.tar`.
        cache: folder into which files behind a URL are copied whole when they are first read; without it the bytes
            that are asked for are fetched each time.
        cache_gb: how much the cache may hold; the files used longest ago go first.

    Raises:
        InputError: nothing is there, or it cannot be listed.
    """

    def __init__(self, path: str, endings: tuple[str, ...], cache: Path | None = None, cache_gb: float = 100.0) -> None:
        self.path, self.cache, self.cache_bytes = str(path), cache, int(cache_gb * 1e9)
        self.remote = bool(URL.match(self.path))
        if cache is not None and not self.remote:
            raise InputError(f"{path}: cache is for files behind a URL; leave it out for files on this machine")
        self.files = _remote(self.path, endings) if self.remote else _local(self.path, endings)
        if not self.files:
            raise InputError(f"{path}: no file that ends with {' or '.join(endings)}")
        if cache is not None and (largest := max(file.size for file in self.files)) > self.cache_bytes:
            raise InputError(f"{path}: one file has {largest:,} bytes, more than cache_gb={cache_gb:g}; set it higher")
        self._maps: dict[int, MappedFile] = {}

    @property
    def folder(self) -> str:
        """Where the first file lies: a local folder, or a URL."""
        return self.files[0].path[: -len(self.files[0].name)].rstrip("/") or ("/" if not self.remote else "")

    def beside(self, name: str) -> bytes | None:
        """The bytes of another file in `folder`; None if there is none."""
        path = f"{self.folder}/{name}" if self.folder else name
        with _reported(path):
            filesystem, inside = _filesystem(path) if self.remote else (None, "")
            if not (filesystem.isfile(inside) if filesystem else Path(path).is_file()):
                return None
            size = filesystem.size(inside) if filesystem else Path(path).stat().st_size
            if size is None or size > MAX_BESIDE:
                raise InputError(f"{path}: more than the {MAX_BESIDE:,} bytes that are read")
            return filesystem.cat_file(inside) if filesystem else Path(path).read_bytes()

    def named(self) -> Path:
        """The local path beside or in which the file of the classes' names lies, for `read_classes`."""
        if not self.remote:
            return Path(self.path) if Path(self.path).exists() else Path(self.folder or ".")
        local = cache_dir() / "classes" / sha256(self.folder.encode()).hexdigest()[:16]
        names = self.beside(CLASSES)
        if names is None:
            (local / CLASSES).unlink(missing_ok=True)
        local.mkdir(parents=True, exist_ok=True)
        if names is not None:
            write_bytes(local / CLASSES, names)
        return local

    def read(self, number: int, start: int, size: int) -> bytes:
        """Bytes of a file.

        Raises:
            InputError: it cannot be read, or ends before them.
        """
        file = self.files[number]
        with _reported(file.path):
            if not self.remote:
                data = self._map(number).bytes[start : start + size]
            elif self.cache is None:
                filesystem, inside = _filesystem(file.path)
                data = filesystem.cat_file(inside, start=start, end=start + size)
            else:
                with self._cached(file) as stream:
                    stream.seek(start)
                    data = stream.read(size)
        if len(data) != size:
            raise InputError(
                f"{file.path}: byte {start}: {len(data):,} of {size:,} bytes are there; it is truncated or was changed"
            )
        return data

    def open(self, number: int) -> BinaryIO:
        """A file as a stream that can be sought in."""
        file = self.files[number]
        with _reported(file.path):
            if not self.remote:
                return Path(file.path).open("rb", buffering=0)
            if self.cache is not None:
                return self._cached(file)
            filesystem, inside = _filesystem(file.path)
            return filesystem.open(inside, "rb", block_size=1 << 23)

    def _map(self, number: int) -> MappedFile:
        found = self._maps.get(number)
        if found is None:
            found = MappedFile(Path(self.files[number].path))
            if found.size != (size := self.files[number].size):
                raise InputError(f"{found.path}: had {size:,} bytes and now has {found.size:,}; open it anew")
            self._maps[number] = found
        return found

    def _cached(self, file: Stored) -> BinaryIO:
        """The copy of a file in the cache; one process fetches it, others wait. It stays readable when it has to go."""
        folder = Path(self.cache or "")
        target = folder / f"{sha256(repr(file).encode()).hexdigest()[:32]}{Path(file.name).suffix}"
        with contextlib.suppress(FileNotFoundError):
            return _used(target)
        with lock(target.absolute()):
            with contextlib.suppress(FileNotFoundError):
                return _used(target)
            with lock(folder.absolute()):
                _make_room(folder, self.cache_bytes - file.size)
            with whole_file(target) as temporary:
                filesystem, inside = _filesystem(file.path)
                filesystem.get_file(inside, str(temporary))
                if (size := temporary.stat().st_size) != file.size:
                    raise InputError(f"{file.path}: {size:,} bytes came, it had {file.size:,} when it was opened")
                return temporary.open("rb")  # before another process that needs room can remove it


def _used(path: Path) -> BinaryIO:
    stream = path.open("rb")
    if time.time() - os.fstat(stream.fileno()).st_mtime > TOUCHED:
        with contextlib.suppress(FileNotFoundError):
            os.utime(path)
    return stream


def _make_room(folder: Path, left: int) -> None:
    """Remove the files used longest ago until at most `left` bytes are there."""
    if not folder.is_dir():
        return
    found = []
    for path in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):
            if re.fullmatch(r"[0-9a-f]{32}", path.stem):  # no file of ours otherwise
                found.append((path.stat().st_mtime_ns, path.stat().st_size, path))
    total = sum(size for _, size, _ in found)
    for _, size, path in sorted(found):
        if total <= left:
            break
        path.unlink(missing_ok=True)
        total -= size


def expand(pattern: str) -> list[str]:
    """The texts that `{000..127}` and `{a,b}` stand for, in order; a number keeps its leading zeros.

    Raises:
        InputError: more than `MAX_FILES`.
    """
    found = BRACES.search(pattern)
    if not found:
        return [pattern]
    if numbers := RANGE.fullmatch(found[1]):
        first, last = int(numbers[1]), int(numbers[2])
        if not 0 <= last - first < MAX_FILES:
            raise InputError(f"{pattern}: {{{found[1]}}} is no rising range of at most {MAX_FILES:,} numbers")
        words = [str(number).zfill(len(numbers[1])) for number in range(first, last + 1)]
    else:
        words = found[1].split(",")
    rest = expand(pattern[found.end() :])
    if len(words) * len(rest) > MAX_FILES:
        raise InputError(f"{pattern}: stands for more than {MAX_FILES:,} files")
    return [f"{pattern[: found.start()]}{word}{end}" for word in words for end in rest]


def _local(path: str, endings: tuple[str, ...]) -> list[Stored]:
    paths: list[str] = []
    with _reported(path):
        for one in [path] if Path(path).exists() else expand(path):
            if Path(one).is_dir():
                paths += _inside(one, (map(str, Path(one).glob(pattern)) for pattern in BELOW), endings)
            elif Path(one).exists():
                paths.append(one)
            elif MAGIC_LETTERS.search(one) and (found := sorted(glob.glob(one, recursive=True))):  # noqa: PTH207
                paths += found
            else:
                raise InputError(f"{one}: no such file")
        states = [Path(one).stat() for one in paths]
    return [Stored(one, state.st_size, str(state.st_mtime_ns)) for one, state in zip(paths, states)]


def _remote(path: str, endings: tuple[str, ...]) -> list[Stored]:
    with _reported(path):
        urls: list[str] = []
        for one in expand(path):
            filesystem, inside = _filesystem(one)
            found: list[str] = []
            if MAGIC_LETTERS.search(inside):
                found = sorted(filesystem.glob(inside))
            elif not one.endswith(endings) and filesystem.isdir(inside):
                found = _inside(one, (filesystem.glob(f"{inside.rstrip('/')}/{pattern}") for pattern in BELOW), endings)
            elif one.endswith(endings):
                urls.append(one)
            else:
                raise InputError(f"{one}: no such file or folder")
            urls += [filesystem.unstrip_protocol(name) for name in found]
        return list(ahead(_information, urls))


def _inside(folder: str, levels: Iterable[Iterable[str]], endings: tuple[str, ...]) -> list[str]:
    """The files that end so of the first level that has any; hidden ones are left out."""
    for level in levels:
        shown = (name for name in level if not os.path.basename(name).startswith("."))  # noqa: PTH119 - also of URLs
        found = sorted(name for name in shown if name.endswith(endings))
        if len(below := sorted({os.path.dirname(name) for name in found})) > 1:  # noqa: PTH120
            raise InputError(
                f"{folder}: files lie in {len(below)} folders of it: {below[0]}, {below[1]}; give one of them"
            )
        if found:
            return found
    return []


def _information(url: str) -> Stored:
    with _reported(url):
        filesystem, inside = _filesystem(url)
        found = filesystem.info(inside)
    if not found.get("size"):
        raise InputError(f"{url}: {'the file is empty' if found.get('size') == 0 else 'the server gives no size'}")
    known = ("ETag", "etag", "LastModified", "last_modified", "mtime", "updated", "created")
    return Stored(url, int(found["size"]), "/".join(str(found[key]) for key in known if key in found))


def _filesystem(url: str) -> tuple[Any, str]:
    """fsspec's filesystem of a URL, in every process its own, and the path in it."""
    try:
        import fsspec
    except ImportError:
        raise InputError(f'{url}: needs fsspec; pip install "facezoo[data]"') from None
    try:
        return fsspec.core.url_to_fs(url)
    except ImportError as error:
        raise InputError(f"{url}: {error}") from None


@contextlib.contextmanager
def _reported(path: str) -> Iterator[None]:
    """What filesystems raise, as one sentence."""
    try:
        yield
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    # Timeouts are no OSError before Python 3.11, nor what aiohttp raises for an answer of the server.
    except (OSError, ValueError, asyncio.TimeoutError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None
