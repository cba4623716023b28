"""Landmarks that come with the photos of a set, in any of the sets' own files, as five points."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from facezoo.data.pairs import pair_lines
from facezoo.evaluation.photos import read_landmarks
from facezoo.types import FloatArray, InputError

FIVE_OF_106 = (104, 105, 54, 84, 90)
"""Eye centres, tip of the nose, corners of the mouth; image-left first."""


def five_of_68(points: FloatArray) -> FloatArray:
    """Five points (5, 2) of the 68 of iBUG: an eye is the middle of its two corners."""
    return np.stack([points[[36, 39]].mean(axis=0), points[[42, 45]].mean(axis=0), points[30], points[48], points[54]])


def five_of_106(points: FloatArray) -> FloatArray:
    """Five points (5, 2) of FaceX-Zoo's 106."""
    return points[list(FIVE_OF_106)]


def find_points(places: Sequence[Path], names: Sequence[str]) -> dict[str, FloatArray]:
    """Points by photo from the first of the places that is there and knows any of the photos; empty without one."""
    for place in places:
        if place.exists() and (found := read_points(place, names)):
            return found
    return {}


def read_points(place: Path, names: Sequence[str]) -> dict[str, FloatArray]:
    """Five points (5, 2), pixels, of those of the photos that a file or folder knows.

    Args:
        place: a CSV as `read_landmarks` takes it; RFW's list (path, a column, five points); FaceX-Zoo's face info
            (path, box, 106 points); or a folder with a file for each photo, `_5loc_attri.txt` of CPLFW and CALFW or
            `.pts` with the 68 points of AgeDB.
        names: of the photos, paths with /.

    Raises:
        InputError: unreadable, or a line of another form.
    """
    if place.is_dir():
        return _from_folder(place, names)
    found = read_landmarks(place) if place.suffix.lower() == ".csv" else _from_list(place)
    return {name: points for name in names if (points := found.get(name, found.get(_last_two(name)))) is not None}


def _last_two(name: str) -> str:
    return "/".join(PurePosixPath(name).parts[-2:])


def _from_list(path: Path) -> dict[str, FloatArray]:
    """Points by the last two parts of the photo's path, from RFW's list or FaceX-Zoo's face info."""
    found = {}
    for number, fields in pair_lines(path):
        if len(fields) == 3 and "," in fields[2]:
            found[_last_two(fields[0])] = five_of_106(_points(path, number, fields[2].split(","), 106))
        elif len(fields) >= 12:
            found[_last_two(fields[0])] = _points(path, number, fields[2:12], 5)
        else:
            raise InputError(
                f"{path}: line {number}: neither 'path number x1 y1 .. x5 y5' nor 'path box points' of 106 points"
            )
    return found


def _from_folder(folder: Path, names: Sequence[str]) -> dict[str, FloatArray]:
    readers: dict[str, Callable[[Path], FloatArray]] = {"_5loc_attri.txt": _read_five, ".pts": _read_68}
    found = {}
    for name in names:
        stem = PurePosixPath(name).with_suffix("")
        for ending, read in readers.items():
            path = folder / f"{stem}{ending}"
            if path.is_file():
                found[name] = read(path)
    return found


def _read_five(path: Path) -> FloatArray:
    rows = [fields for _, fields in pair_lines(path)]
    return _points(path, 1, [field for row in rows for field in row], 5)


def _read_68(path: Path) -> FloatArray:
    rows = [fields for _, fields in pair_lines(path) if not fields[0][0].isalpha() and fields[0] not in ("{", "}")]
    return five_of_68(_points(path, 1, [field for row in rows for field in row], 68))


def _points(path: Path, number: int, texts: list[str], count: int) -> FloatArray:
    """Numbers as they are written: rounded to whole pixels, points lie up to three quarters of a pixel off."""
    try:
        values = np.array([float(text) for text in texts])
    except ValueError:
        values = np.empty(0)
    if len(values) != 2 * count or not np.isfinite(values).all():
        raise InputError(f"{path}: line {number}: the x and y of {count} points were expected")
    return values.reshape(count, 2)
