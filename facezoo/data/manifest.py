"""The manifest beside a converted dataset: what it holds, and the digests by which it is verified."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from facezoo import progress
from facezoo.data.classes import read_classes
from facezoo.data.dataset import Dataset
from facezoo.data.folder import folder_name
from facezoo.data.mapped import KEPT
from facezoo.data.opening import open_dataset
from facezoo.data.workers import processors, spread
from facezoo.files import unreadable
from facezoo.image import SUFFIXES
from facezoo.types import InputError

MANIFEST, SKIPPED = "facezoo.json", "skipped.txt"
MAX_BYTES = 100_000_000
CHUNK = 4 << 20
PIECE = 5_000
"""Images that one worker reads at a time."""

WIDTH = 32
"""Bytes of a sample's digest."""


@dataclass(frozen=True)
class Contents:
    """A file of the dataset."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What a converted dataset holds.

    Attributes:
        format: name of the format.
        images, classes: how many.
        digest: of the class names and image bytes in any order: equal in every format that holds the same data.
        order: of the same in the order of reading; None where the format does not keep the order it was given.
        source: digest of what was converted.
        encoding: how images were encoded anew; None where their bytes were copied.
        skipped: unreadable images that were left out.
        part_size: samples of a part, which is a file of its own in formats of several files.
        files: by their names beside the manifest; image files of a folder are not among them, `digest` has them.
    """

    format: str
    images: int
    classes: int
    digest: str
    order: str | None
    source: str
    encoding: dict[str, Any] | None
    skipped: int
    part_size: int
    files: dict[str, Contents]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def manifest_file(path: Path) -> Path:
    """Where a dataset's manifest lies: in a folder, or beside a file under its name."""
    return path / MANIFEST if path.is_dir() else path.with_name(f"{path.name}.{MANIFEST}")


def read_manifest(path: Path) -> Manifest:
    """The manifest of a dataset, which is a folder or file.

    Raises:
        InputError: there is none, or it is none.
    """
    file = manifest_file(path)
    try:
        if file.stat().st_size > MAX_BYTES:
            raise InputError(f"{file}: more than the {MAX_BYTES:,} bytes that are read")
        return TypeAdapter(Manifest).validate_json(file.read_bytes())
    except FileNotFoundError:
        raise InputError(f"{path}: has no {file.name}, which facezoo convert writes") from None
    except OSError as error:
        raise unreadable(file, error) from None
    except ValidationError as error:
        raise InputError(f"{file}: not a manifest of a dataset: {error.errors()[0]['msg']}") from None


def foreign(path: Path, folder: Path) -> Path | None:
    """Something in a folder that does not belong to the converted dataset `path` in it, or None: all may go then.

    Raises:
        InputError: no manifest.
    """
    manifest, file = read_manifest(path), manifest_file(path)
    known = {file, *(file.parent / name for name in manifest.files)}
    names = read_classes(path, 0) if manifest.format in ("folder", "list") else None
    people = {folder_name(name) for name in names or ()}
    images = 0
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink() and entry.name in people:
            for inner in entry.rglob("*"):
                if inner.is_dir() and not inner.is_symlink():
                    continue
                images += 1
                if inner.suffix.lower() not in SUFFIXES or images > manifest.images:
                    return inner
        elif entry not in known and entry.suffix != KEPT:
            return entry
    return None


def sample_digest(class_name: str, data: bytes) -> bytes:
    """The digest (32 bytes) of one sample: its class's name and the bytes of its image."""
    return sha256(sha256(data).digest() + class_name.encode("utf-8", "surrogateescape")).digest()


class Digest:
    """Sums up samples' digests: in any order, and in this one.

    The first is their sum modulo 2^256, which tells damage and mixed-up labels, not forgery.
    """

    def __init__(self) -> None:
        self.count, self._sum, self._order = 0, 0, sha256()

    def update(self, digests: bytes) -> None:
        """Add samples' digests, one after the other."""
        self._order.update(digests)
        for start in range(0, len(digests), WIDTH):
            self._sum += int.from_bytes(digests[start : start + WIDTH], "big")
        self.count += len(digests) // WIDTH

    @property
    def any_order(self) -> str:
        return f"{self._sum % (1 << 8 * WIDTH):064x}"

    @property
    def in_order(self) -> str:
        return self._order.hexdigest()


@dataclass(frozen=True)
class Reading:
    """Reads the samples of a dataset piece by piece, for their digests."""

    data: Dataset

    def __call__(self, number: int) -> bytes:
        samples = range(number * PIECE, min((number + 1) * PIECE, len(self.data)))
        names, labels = self.data.classes, self.data.labels
        return b"".join(sample_digest(names[labels[i]], self.data.encoded(i)) for i in samples)


def digest_of(data: Dataset, workers: int = 1) -> Digest:
    """Read every image of a dataset and sum them up."""
    digest, waiting, following = Digest(), dict[int, bytes](), 0
    pieces = -(-len(data) // PIECE)
    with progress.bar(len(data), "verify", "img") as bar:
        for number, digests in spread(Reading(data), range(pieces), workers):
            bar.update(len(digests) // WIDTH)
            waiting[number] = digests
            while following in waiting:
                digest.update(waiting.pop(following))
                following += 1
    return digest


def file_contents(files: Sequence[Path]) -> list[Contents]:
    """Size and digest of files; hashing releases the interpreter lock.

    Raises:
        InputError: one cannot be read.
    """
    with ThreadPoolExecutor(min(8, processors())) as pool:
        return list(pool.map(_contents, files))


def _contents(file: Path) -> Contents:
    digest = sha256()
    try:
        with file.open("rb") as stream:
            while chunk := stream.read(CHUNK):
                digest.update(chunk)
            return Contents(stream.tell(), digest.hexdigest())
    except OSError as error:
        raise unreadable(file, error) from None


def verify(path: Path, workers: int = 1) -> Manifest:
    """Read a converted dataset again, every file and every image, and compare it with its manifest.

    Raises:
        InputError: no manifest, or what differs first.
    """
    path = Path(path)
    manifest = read_manifest(path)
    files = [_beside(path, name) for name in manifest.files]
    for file, wanted, found in zip(files, manifest.files.values(), file_contents(files)):
        if found != wanted:
            size = "" if found.bytes == wanted.bytes else f": {found.bytes:,} bytes instead of {wanted.bytes:,}"
            raise InputError(f"{file}: is not the file that was written{size}; convert it again")
    data = open_dataset(str(path))
    digest = digest_of(data, workers)
    if (digest.count, len(data.classes)) != (manifest.images, manifest.classes):
        raise InputError(
            f"{path}: {digest.count:,} images of {len(data.classes):,} classes, "
            f"{manifest.images:,} of {manifest.classes:,} were written; convert it again"
        )
    if digest.any_order != manifest.digest:
        raise InputError(f"{path}: an image or its class is not what was written; convert it again")
    if manifest.order is not None and digest.in_order != manifest.order:
        raise InputError(f"{path}: the images have another order than was written; convert it again")
    return manifest


def _beside(path: Path, name: str) -> Path:
    folder = manifest_file(path).parent
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise InputError(f"{manifest_file(path)}: the file {name!r} does not lie beside it; it is no manifest of ours")
    return folder / name
