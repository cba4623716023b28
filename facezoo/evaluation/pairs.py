"""Lists of photo pairs in LFW's grammar, and in those of the sets that followed it."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np

from facezoo.data.pairs import PairList, inside, not_empty, pair_lines, read_pairs
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


def read_person_pairs(path: Path) -> PairList:
    """A list of photos in the folders of people: in LFW's grammar, as `read_pairs` takes it, or a photo on each line.

    In the last form two lines are a pair, genuine if both lie in one folder, as SLLFW has them.
    """
    width, photos = 0, []
    for _, fields in islice(pair_lines(path), 2):
        photos.append(any("/" in field for field in fields))
        width = len(fields)
    if not any(photos):
        return read_lfw_pairs(path)
    if width > 1:
        return read_pairs(path)
    names = [inside(path, number, fields[0]) for number, fields in pair_lines(path)]
    if len(names) % 2:
        raise InputError(f"{path}: a pair takes two lines, but there are {len(names)}")
    left, right = names[::2], names[1::2]
    same = [a.rpartition("/")[0] == b.rpartition("/")[0] for a, b in zip(left, right)]
    return PairList(left, right, np.array(same, bool))


def _lfw_photo(path: Path, number: int, name: str, index: str) -> str:
    if not index.isdecimal():
        raise InputError(f"{path}: line {number}: {index!r} is not the number of a photo")
    return inside(path, number, f"{name}/{name}_{int(index):04d}.jpg")
