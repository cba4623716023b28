"""Lists of photo pairs: LFW's grammar and `left right same`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from facezoo.types import InputError

MAX_LIST_BYTES = 2_000_000_000
"""Larger pair lists are refused before they are read."""


@dataclass(frozen=True, eq=False)
class PairList:
    """Names of the photos of each pair, in the order of the file.

    Attributes:
        left, right: photo names, paths with / below the folder of the photos.
        same: (P,).
        folds: how many the header announces; None without a header.
        announced: pairs the header announces; None without a header.
    """

    left: list[str]
    right: list[str]
    same: NDArray[np.bool_]
    folds: int | None = None
    announced: int | None = None

    def photos(self) -> tuple[list[str], NDArray[np.intp], NDArray[np.intp]]:
        """Distinct names in order of appearance, and for each pair the indices of its two photos, (P,)."""
        index: dict[str, int] = {}
        left, right = [], []
        for a, b in zip(self.left, self.right):
            left.append(index.setdefault(a, len(index)))
            right.append(index.setdefault(b, len(index)))
        return list(index), np.array(left, np.intp), np.array(right, np.intp)


def read_lfw_pairs(path: Path) -> PairList:
    """A list in LFW's grammar: `name i j` for a genuine pair, `name i other j` for an impostor pair.

    The photo of (name, i) is name/name_000i.jpg. A first line of numbers alone is a header: folds and pairs of
    either kind in each (`10 300`). Blank lines are skipped; fields are parted by tabs or blanks.

    Raises:
        InputError: unreadable, or a line of another form; the line is named.
    """
    left: list[str] = []
    right: list[str] = []
    same: list[bool] = []
    folds = announced = None
    for number, fields in _lines(path):
        if not left and announced is None and len(fields) <= 2 and all(field.isdecimal() for field in fields):
            folds, per_kind = (int(fields[0]), int(fields[1])) if len(fields) == 2 else (1, int(fields[0]))
            announced = 2 * folds * per_kind
        elif len(fields) == 3:
            left.append(_lfw_photo(path, number, fields[0], fields[1]))
            right.append(_lfw_photo(path, number, fields[0], fields[2]))
            same.append(True)
        elif len(fields) == 4:
            left.append(_lfw_photo(path, number, fields[0], fields[1]))
            right.append(_lfw_photo(path, number, fields[2], fields[3]))
            same.append(False)
        else:
            raise InputError(f"{path}: line {number}: 3 or 4 fields were expected (name i j, name i other j)")
    return _checked(path, PairList(left, right, np.array(same, bool), folds, announced))


def _lfw_photo(path: Path, number: int, name: str, index: str) -> str:
    if not index.isdecimal():
        raise InputError(f"{path}: line {number}: {index!r} is not the number of a photo")
    return _inside(path, number, f"{name}/{name}_{int(index):04d}.jpg")


def read_pairs(path: Path) -> PairList:
    """A list with a pair on each line, `left right label`, or on two lines, `left label` and `right label`.

    A label above 0 is a genuine pair; in the second form that of the first line counts, as in CPLFW and CALFW.
    Blank lines are skipped; fields are parted by tabs where a line has some, else by blanks.
    """
    rows = list(_lines(path))
    width = len(rows[0][1]) if rows else 3
    if width not in (2, 3):
        raise InputError(f"{path}: line {rows[0][0]}: 'left right label' or 'photo label' was expected")
    for number, fields in rows:
        if len(fields) != width:
            raise InputError(f"{path}: line {number}: {len(fields)} fields, the first line has {width}")
    if width == 2 and len(rows) % 2:
        raise InputError(f"{path}: a pair takes two lines, but there are {len(rows)}")
    firsts, seconds = (rows, rows) if width == 3 else (rows[::2], rows[1::2])
    return _checked(
        path,
        PairList(
            [_inside(path, number, fields[0]) for number, fields in firsts],
            [_inside(path, number, fields[1 if width == 3 else 0]) for number, fields in seconds],
            np.array([_genuine(path, number, fields[-1]) for number, fields in firsts], bool),
        ),
    )


def _genuine(path: Path, number: int, text: str) -> bool:
    try:
        return int(text) > 0
    except ValueError:
        raise InputError(f"{path}: line {number}: label {text!r} is not a whole number") from None


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Number and fields of each line that is not blank."""
    try:
        if path.stat().st_size > MAX_LIST_BYTES:
            raise InputError(f"{path}: more than the {MAX_LIST_BYTES:,} bytes that are read")
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    fields = line.split("\t") if "\t" in line else line.split()
                    yield number, [field.strip() for field in fields if field.strip()]
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a text file in UTF-8: {error.reason}") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None


def _inside(path: Path, number: int, name: str) -> str:
    """The name, if it stays below the folder of the photos."""
    parts = PurePosixPath(name.replace("\\", "/"))
    if parts.is_absolute() or ".." in parts.parts or not parts.parts or ":" in parts.parts[0]:
        raise InputError(f"{path}: line {number}: {name!r} leaves the folder of the photos")
    return str(parts)


def _checked(path: Path, pairs: PairList) -> PairList:
    if not pairs.left:
        raise InputError(f"{path}: there are no pairs in it")
    return pairs
