"""Lists of photo pairs in LFW's grammar."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from facezoo.data.pairs import PairList, inside, not_empty, pair_lines
from facezoo.types import InputError


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
    for number, fields in pair_lines(path):
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
    return not_empty(path, PairList(left, right, np.array(same, bool), folds, announced))


def _lfw_photo(path: Path, number: int, name: str, index: str) -> str:
    if not index.isdecimal():
        raise InputError(f"{path}: line {number}: {index!r} is not the number of a photo")
    return inside(path, number, f"{name}/{name}_{int(index):04d}.jpg")
