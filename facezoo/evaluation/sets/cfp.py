"""CFP: frontal faces against frontal ones and profiles."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np

from facezoo.data.pairs import PairList, inside, not_empty, pair_lines
from facezoo.evaluation.sets.listed import Listed, pair_set
from facezoo.registry import BENCHMARKS
from facezoo.types import InputError


@BENCHMARKS.register
@pair_set
def cfp(root: Path, protocol: Literal["fp", "ff"] = "fp") -> Listed:
    """CFP-FP or CFP-FF (http://www.cfpw.io): the 10 splits of 350 genuine and 350 impostor pairs below `Protocol`.

    Photos are `Images/001/frontal/01.jpg`, in root or in its folder `Data`.

    Args:
        root: folder of the set, with Protocol.
        protocol: fp, frontal against profile, or ff, frontal against frontal.
    """
    lists = root / "Protocol"
    frontal = _numbered(lists / "Pair_list_F.txt")
    other = _numbered(lists / "Pair_list_P.txt") if protocol == "fp" else frontal
    left: list[str] = []
    right: list[str] = []
    same: list[bool] = []
    fold: list[int] = []
    splits = sorted(path for path in (lists / "Split" / protocol.upper()).glob("*") if path.is_dir())
    if len(splits) < 2:
        raise InputError(f"{lists / 'Split' / protocol.upper()}: two folders of splits or more were expected")
    for number, split in enumerate(splits):
        for genuine in (True, False):
            path = split / ("same.txt" if genuine else "diff.txt")
            for line, fields in pair_lines(path):
                places = "".join(fields).split(",")
                if len(places) != 2 or places[0] not in frontal or places[1] not in other:
                    raise InputError(f"{path}: line {line}: 'i,j' with numbers of the two lists was expected")
                left.append(frontal[places[0]])
                right.append(other[places[1]])
                same.append(genuine)
                fold.append(number)
    listed = not_empty(lists, PairList(left, right, np.array(same, bool)))
    photos = root / "Data" if (root / "Data").is_dir() else root
    return Listed(f"cfp_{protocol}", photos, listed, np.array(fold, np.intp), person=_person)


def _person(photo: str) -> str:
    return PurePosixPath(photo).parts[1]


def _numbered(path: Path) -> dict[str, str]:
    """Photo by number, from lines `1 ../Data/Images/001/frontal/01.jpg`; names begin with Images."""
    found = {}
    for number, fields in pair_lines(path):
        parts = fields[-1].partition("Images/")
        if len(fields) != 2 or not parts[1]:
            raise InputError(f"{path}: line {number}: 'number ../Data/Images/..' was expected")
        name = inside(path, number, "Images/" + parts[2])
        if name.count("/") < 2:
            raise InputError(f"{path}: line {number}: {name!r} lies in no person's folder")
        found[fields[0]] = name
    return found
