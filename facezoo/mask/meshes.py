"""The meshes of all faces of a dataset, found once and kept: mapped arrays beside a list of what was not found."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facezoo import progress
from facezoo.data.dataset import Dataset
from facezoo.data.workers import spread
from facezoo.files import whole_file, write_text
from facezoo.mask.finder import VERTICES, Finder, five_points
from facezoo.types import FloatArray, InputError
from facezoo.zoo.cache import lock

POINTS, IMAGES, SETTINGS, FAILURES, LANDMARKS = (
    "meshes.npy",
    "images.npy",
    "settings.json",
    "failures.csv",
    "landmarks.csv",
)
PARTS = "parts"

UNREADABLE, NO_FACE = "unreadable", "no face"
"""Problems in failures.csv."""

LANDMARK_COLUMNS = ["path", *(f"{axis}{point}" for point in range(5) for axis in "xy")]
"""As `facezoo.evaluation.photos.read_landmarks` takes them."""

PIECE = 64
"""Images of a part, which one process looks at: what a kill loses."""


@dataclass(frozen=True)
class Meshes:
    """A folder of meshes; the arrays are mapped when they are first asked for, in every process anew.

    Attributes:
        folder: written by `find_meshes`.
    """

    folder: Path

    @cached_property
    def points(self) -> NDArray[np.float32]:
        """(M, 468, 3) pixels of the images."""
        found: NDArray[np.float32] = _mapped(self.folder / POINTS)
        return found

    @cached_property
    def images(self) -> NDArray[np.int64]:
        """(M,) number of the image of each mesh, never falling."""
        return np.array(_mapped(self.folder / IMAGES))

    def of(self, image: int) -> FloatArray:
        """The meshes (K, 468, 3) of an image, the largest face first."""
        first, last = np.searchsorted(self.images, [image, image + 1])
        return np.array(self.points[first:last])

    def settings(self) -> dict[str, Any]:
        """What was looked at, and how."""
        try:
            found: dict[str, Any] = json.loads((self.folder / SETTINGS).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            raise InputError(f"{self.folder}: holds no meshes; `facezoo mask meshes DATA OUT` finds them") from None
        return found if isinstance(found, dict) else {}

    def check(self, data: Dataset) -> None:
        """Raises InputError unless the meshes are those of this dataset, all of them."""
        if self.settings().get("data") != data.digest():
            raise InputError(f"{self.folder}: holds meshes of other data; find them anew with `facezoo mask meshes`")
        if not (self.folder / FAILURES).is_file():  # written last: the arrays may be those of other data still
            raise InputError(f"{self.folder}: the search for meshes was interrupted; run `facezoo mask meshes` again")
        if self.points.shape != (len(self.images), VERTICES, 3):
            raise InputError(f"{self.folder}: {POINTS} and {IMAGES} do not fit together; find the meshes anew")

    def __getstate__(self) -> dict[str, Any]:
        return {"folder": self.folder}


@dataclass(frozen=True)
class Found:
    """What became of a search.

    Attributes:
        meshes: the folder.
        faces: how many were found.
        without_face: images in which none was found.
        unreadable: images that could not be read.
        resumed: images that an earlier run had looked at.
    """

    meshes: Meshes
    faces: int
    without_face: int
    unreadable: int
    resumed: int


@dataclass(frozen=True)
class Search:
    """Looks at one part of a dataset, in whichever process."""

    data: Dataset
    finder: Finder
    folder: Path

    @property
    def parts(self) -> int:
        return -(-len(self.data) // PIECE)

    def numbers(self, part: int) -> range:
        return range(part * PIECE, min((part + 1) * PIECE, len(self.data)))

    def file(self, part: int) -> Path:
        return self.folder / PARTS / f"{part:06d}.npz"

    def __call__(self, part: int) -> int:
        points, images, failures = [np.empty((0, VERTICES, 3), np.float32)], [], []
        for number in self.numbers(part):
            try:
                found = self.finder(self.data.read(number))
            except InputError as error:
                failures.append([number, UNREADABLE, str(error)])
                continue
            if not len(found):
                failures.append([number, NO_FACE, "no face was found"])
            points.append(found)
            images += [number] * len(found)
        with whole_file(self.file(part)) as temporary, temporary.open("wb") as file:
            np.savez(
                file,
                points=np.concatenate(points),
                images=np.array(images, np.int64),
                failures=np.array(json.dumps(failures)),
            )
        return len(self.numbers(part))


def find_meshes(data: Dataset, folder: Path, finder: Finder, *, workers: int = 1, force: bool = False) -> Found:
    """Find the faces of all images of a dataset.

    Killed at any moment and called again it goes on; two calls for one folder wait for each other. Written are
    meshes.npy (M, 468, 3) float32, images.npy (M,), the five landmarks of the largest face of each image as
    landmarks.csv, and failures.csv.

    Args:
        workers: processes.
        force: begin anew where the folder holds meshes of other data, or found otherwise.

    Raises:
        InputError: the folder holds others, or other files.
    """
    settings = {"data": data.digest(), "files": data.stamp(), "images": len(data), "piece": PIECE, **asdict(finder)}
    with lock(folder.resolve()):  # a second process waits, and finds what the first has found
        _claim(folder, settings, force)
        resumed = _search(Search(data, finder, folder), workers)
    with (folder / FAILURES).open(newline="", encoding="utf-8") as file:
        kinds = [row[1] for row in csv.reader(file)]
    meshes = Meshes(folder)
    return Found(meshes, len(meshes.images), kinds.count(NO_FACE), kinds.count(UNREADABLE), resumed)


def _search(search: Search, workers: int) -> int:
    """Look at what has not been looked at; the number of images that had been."""
    left = [part for part in range(search.parts) if not search.file(part).is_file()]
    done = (search.folder / FAILURES).is_file()  # written last
    if done:
        left = []
    images = len(search.data)
    resumed = images - sum(len(search.numbers(part)) for part in left)
    with progress.bar(images, "faces", "img", resumed) as bar:
        for _, looked_at in spread(search, left, workers):
            bar.update(looked_at)
    if not done:
        _gather(search)
    shutil.rmtree(search.folder / PARTS, ignore_errors=True)
    return resumed


def _claim(folder: Path, settings: dict[str, Any], force: bool) -> None:
    path = folder / SETTINGS
    if path.is_file():
        if Meshes(folder).settings() == settings:
            return
        if not force:
            raise InputError(f"{folder}: holds meshes of other data or found otherwise; name another, or add --force")
        (folder / FAILURES).unlink(missing_ok=True)
        shutil.rmtree(folder / PARTS, ignore_errors=True)
    elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder}: holds other files; name another folder for the meshes")
    write_text(path, json.dumps(settings, indent=1) + "\n")


def _gather(search: Search) -> None:
    """Make one array of the parts, and the lists."""
    images: list[NDArray[np.int64]] = []
    failures: list[tuple[int, str, str]] = []
    for part in _parts(search):
        images.append(part["images"])
        failures += [tuple(each) for each in json.loads(str(part["failures"]))]
    every = np.concatenate(images)
    landmarks = io.StringIO()
    rows = csv.writer(landmarks, lineterminator="\n")
    rows.writerow(LANDMARK_COLUMNS)
    with whole_file(search.folder / POINTS) as temporary:
        target = np.lib.format.open_memmap(temporary, "w+", np.float32, (len(every), VERTICES, 3))
        place = 0
        for part in _parts(search):
            points = part["points"]
            target[place : place + len(points)] = points
            place += len(points)
            for first in np.unique(part["images"], return_index=True)[1]:
                name = search.data.path(int(part["images"][first]))
                rows.writerow([name, *np.round(five_points(points[first]).ravel(), 2).tolist()])
        target.flush()
        del target
    with whole_file(search.folder / IMAGES) as temporary, temporary.open("wb") as file:
        np.save(file, every)
    write_text(search.folder / LANDMARKS, landmarks.getvalue())
    listed = io.StringIO()
    csv.writer(listed, lineterminator="\n").writerows(
        [("image", "problem", "why"), *((search.data.path(number), kind, why) for number, kind, why in failures)]
    )
    write_text(search.folder / FAILURES, listed.getvalue())


def _parts(search: Search) -> Iterator[dict[str, Any]]:
    for part in range(search.parts):
        with np.load(search.file(part), allow_pickle=False) as file:
            yield {name: file[name] for name in file.files}


def _mapped(path: Path) -> Any:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error}); find the meshes again") from None
