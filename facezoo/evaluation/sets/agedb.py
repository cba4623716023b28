"""AgeDB: pairs of photos with years between them."""

from __future__ import annotations

import re
import zlib
from pathlib import Path
from typing import Any, Literal

import numpy as np

from facezoo.data.pairs import PairList, inside
from facezoo.evaluation.sets.listed import Listed, pair_set
from facezoo.registry import BENCHMARKS
from facezoo.types import InputError

PROTOCOLS = {5: 1, 10: 2, 20: 3, 30: 4}
"""Number of the protocol by years."""

MAX_BYTES = 20_000_000
"""Larger protocol files are refused before they are read; AgeDB's own have less than a tenth of that."""

NAME = re.compile(r"^\d+_(.+)_\d+_[fm]$")
"""Number, person, age and sex in a photo's name."""


@BENCHMARKS.register
@pair_set
def agedb(
    root: Path, years: Literal[5, 10, 20, 30] = 30, protocol: Path | None = None, images: str = "images"
) -> Listed:
    """AgeDB-30 (https://doi.org/10.1109/CVPRW.2017.250), or with fewer years between the photos of a person.

    Photos are `images/1_Person_35_f.jpg` in root, or lie in root itself; 68 points may lie beside them (`.pts`).

    Args:
        root: folder of the set.
        years: between the two photos.
        protocol: the list, a MATLAB file; `04_FINAL_protocol_30_years.mat` in root, for 30 years, unless given.
        images: folder of the photos in root.
    """
    path = protocol or root / f"{PROTOCOLS[years]:02d}_FINAL_protocol_{years}_years.mat"
    listed, fold = read_splits(path)
    photos = root / images if (root / images).is_dir() else root
    named = all(NAME.match(Path(name).stem) for name in [*listed.left, *listed.right])
    name = f"agedb_{years}"
    return Listed(name, photos, listed, fold, person=_person if named else None, landmarks=[photos, root / "landmarks"])


def _person(photo: str) -> str:
    found = NAME.match(Path(photo).stem)
    return found[1] if found else photo


def read_splits(path: Path) -> tuple[PairList, np.ndarray]:
    """The pairs of AgeDB's MATLAB file and the split of each, (P,); names get the ending .jpg.

    Raises:
        InputError: not readable, or not such a file.
    """
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path}: more than the {MAX_BYTES:,} bytes that are read")
        splits = loadmat(str(path), appendmat=False, variable_names=["splits"])["splits"].ravel()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    # What scipy raises for a file that is no MATLAB file, damaged, of version 7.3, or without the variable.
    except (MatReadError, OSError, ValueError, TypeError, LookupError, NotImplementedError, zlib.error) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: not a MATLAB file with the splits of AgeDB ({error})") from None
    left: list[str] = []
    right: list[str] = []
    same: list[bool] = []
    fold: list[int] = []
    for number, split in enumerate(splits):
        firsts, seconds, labels = _split(path, number, split)
        left += firsts
        right += seconds
        same += labels
        fold += [number] * len(labels)
    if len(splits) < 2:
        raise InputError(f"{path}: {len(splits)} splits, two or more were expected")
    return PairList(left, right, np.array(same, bool)), np.array(fold, np.intp)


def _split(path: Path, number: int, split: Any) -> tuple[list[str], list[str], list[bool]]:
    """Names and labels of a split: a struct of `pairs`, two rows of structs with a name, and `labels`."""
    try:
        pairs, labels = split["pairs"][0, 0], split["labels"][0, 0].ravel()
        names = [[str(cell["name"][0, 0][0]) for cell in row] for row in pairs]
        genuine = [int(label) > 0 for label in labels]
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise InputError(f"{path}: split {number + 1} is not one of AgeDB's ({error})") from None
    if len(names) != 2 or not len(names[0]) == len(names[1]) == len(genuine):
        raise InputError(f"{path}: split {number + 1} has lists of different lengths")
    firsts, seconds = ([inside(path, number + 1, f"{name}.jpg") for name in row] for row in names)
    return firsts, seconds, genuine
