"""The masked photos of a benchmark: drawn once, by several processes, and kept with a note of what each face wears."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from facezoo import progress
from facezoo.data.workers import check_workers, processors, spread
from facezoo.evaluation.digests import photos_digest
from facezoo.evaluation.photos import Photo
from facezoo.files import write_text
from facezoo.image import write_image
from facezoo.mask.finder import SMALLEST, VERTICES, Finder
from facezoo.mask.outfit import Outfit
from facezoo.mask.pose import can_be_drawn_on
from facezoo.mask.version import drawing_version
from facezoo.types import FloatArray, Image, InputError
from facezoo.zoo.cache import cache_dir, lock

SETTINGS = "masked.json"
"""What was drawn, and how; the first file of a folder."""

WORN = "worn.json"
"""What each face of a piece wears, nothing where none was found; written when all its photos are there."""

PIECE = 64
"""Photos that one process draws at a time: what a kill loses."""


class Piece(NamedTuple):
    """Photos by their numbers in the benchmark, of one folder."""

    folder: Path
    photos: list[tuple[int, Photo]]

    def target(self, number: int) -> Path:
        return self.folder / f"{number:07d}.png"

    def worn(self) -> dict[str, list[str]]:
        """What the photos wear that are there, by number."""
        try:
            listed = json.loads((self.folder / WORN).read_text(encoding="utf-8"))
            if not isinstance(listed, dict):
                raise ValueError("not an object of numbers and what is worn")
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise InputError(f"{self.folder / WORN}: cannot be read ({error}); remove {self.folder}") from None
        there = {path.name for path in self.folder.iterdir()}
        return {
            number: names
            for number, names in listed.items()
            if number.isdecimal() and self.target(int(number)).name in there
        }


@dataclass(frozen=True)
class Drawing:
    """How photos get their masks; the same bytes in whichever process.

    Attributes:
        outfit: what is worn.
        finder: finds faces where a photo has no landmarks.
        seed: other seeds draw otherwise.
        worn: the digest of what is worn, as it was before the first photo was drawn.
    """

    outfit: Outfit
    finder: Finder
    seed: int
    worn: str = field(init=False)

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise InputError(f"masks: the seed is {self.seed}, it must be 0 or more")
        object.__setattr__(self, "worn", self.outfit.digest())

    def settings(self, photos: Sequence[Photo]) -> dict[str, Any]:
        """What makes the drawn photos what they are, by word."""
        return {
            "photos": photos_digest(photo for photo in photos if not photo.mirrored),
            "templates": [*self.outfit.templates, self.worn],
            "pieces": self.outfit.pieces,
            "seed": self.seed,
            "finder": asdict(self.finder),
            "drawing": drawing_version(),
        }

    def __call__(self, piece: Piece) -> int:
        """Draw what is missing of a piece; gives its number of photos.

        Raises:
            InputError: a template's file was changed; what it was drawn of is not kept.
        """
        worn = piece.worn()
        for number, photo in piece.photos:
            if str(number) not in worn:
                worn[str(number)] = self._draw(photo, number, piece.target(number))
        if self.outfit.digest() != self.worn:
            raise InputError("masks: the file of a template was changed while masks were drawn of it; start again")
        ordered = {number: worn[number] for number in sorted(worn, key=int)}
        write_text(piece.folder / WORN, json.dumps(ordered, indent=1) + "\n")
        return len(piece.photos)

    def _draw(self, photo: Photo, number: int, target: Path) -> list[str]:
        image = photo.read()
        meshes = self._meshes(image, photo)
        masked, names = self.outfit.put_on(image, meshes, np.random.default_rng([self.seed, number]))
        write_image(target, masked)
        return names

    def _meshes(self, image: Image, photo: Photo) -> FloatArray:
        """Of the face that the landmarks show, or of all; of half a million landmarks some are nobody's face."""
        if photo.landmarks is None or self.finder.aligned is not None:
            return self.finder(image)
        points = np.asarray(photo.landmarks, np.float64)
        if not np.ptp(points, axis=0).max() >= SMALLEST:  # nor one that is not finite
            return np.empty((0, VERTICES, 3), np.float32)
        meshes = self.finder.around(image, points[None], known=True)
        return meshes[[can_be_drawn_on(mesh) for mesh in meshes]]


@dataclass(frozen=True, eq=False)
class MaskedPhotos:
    """Masked copies of photos.

    Attributes:
        photos: in the order they were asked for; named `masked/` and the name of the plain one.
        bare: how many could not be masked, because no face was found.
    """

    photos: list[Photo] = field(default_factory=list)
    bare: int = 0


def masked_photos(
    what: str,
    photos: Sequence[Photo],
    chosen: NDArray[np.intp],
    drawing: Drawing,
    folder: Path | None = None,
    workers: int | None = None,
) -> MaskedPhotos:
    """The chosen photos with masks; those that are not there yet are drawn now.

    Killed at any moment and called again it goes on, and ends with the same bytes, with any number of workers.

    Args:
        what: for the progress bar.
        photos: of the benchmark (N,).
        chosen: numbers of those that are masked, rising (K,).
        folder: where they are kept; by what makes them what they are, and when their photos were written, a folder of
            the cache, unless given.
        workers: processes; as many as there are processors unless given.

    Raises:
        InputError: the folder holds other files, or masked photos that were drawn from others or otherwise.
    """
    workers = processors() if workers is None else workers
    check_workers(workers)
    settings = drawing.settings(photos)
    if folder is None:
        known = json.dumps([settings, _written(photos)], sort_keys=True)
        folder = cache_dir() / "masked" / sha256(known.encode()).hexdigest()[:16]
    folder = folder.absolute()
    with lock(folder):
        _claim(folder, settings)
        pieces = [
            Piece(folder / f"{number:06d}", [(place, photos[place]) for place in places.tolist()])
            for number, places in _cut(chosen)
        ]
        worn = {piece.folder: piece.worn() for piece in pieces}
        left = [p for p in pieces if not {str(number) for number, _ in p.photos} <= worn[p.folder].keys()]
        missing = sum(len(piece.photos) for piece in left)
        with progress.bar(len(chosen), f"{what}: mask", "photo", len(chosen) - missing) as bar:
            for piece, drawn in spread(drawing, left, workers):
                worn[piece.folder] = piece.worn()
                bar.update(drawn)
        found, bare = [], 0
        for piece in pieces:
            for number, photo in piece.photos:
                found.append(replace(photo, name=f"masked/{photo.name}", source=piece.target(number)))
                bare += not worn[piece.folder][str(number)]
    return MaskedPhotos(found, bare)


def _written(photos: Sequence[Photo]) -> str:
    """A digest of when the files of the photos were written: one that was replaced may have the size of the other."""
    digest = sha256()
    for photo in photos:
        file = photo.source if isinstance(photo.source, Path) and photo.source.is_file() else None
        digest.update(f"{file and file.stat().st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _cut(chosen: NDArray[np.intp]) -> list[tuple[int, NDArray[np.intp]]]:
    """The chosen numbers by piece: a photo lies in the same one whatever else is chosen."""
    numbers, first = np.unique(chosen // PIECE, return_index=True)
    return list(zip(numbers.tolist(), np.split(chosen, first[1:])))


def _claim(folder: Path, settings: dict[str, Any]) -> None:
    path = folder / SETTINGS
    if not path.is_file():
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise InputError(f"{folder}: holds other files; name another folder for the masked photos")
        write_text(path, json.dumps(settings, indent=1) + "\n")
        return
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error}); remove {folder}, and the masks are made anew") from None
    if kept == settings:
        return
    kept = kept if isinstance(kept, dict) else {}
    other = [key for key in settings if kept.get(key) != settings[key]]
    if other == ["drawing"]:
        raise InputError(
            f"{folder}: its masks were drawn by another version of facezoo; name another folder or remove this one"
        )
    raise InputError(f"{folder}: holds masked photos with another {', '.join(other)}; name another folder")
