"""LFW, and the sets whose lists have its grammar: XQLFW, SLLFW, TALFW."""

from __future__ import annotations

from pathlib import Path

from facezoo.evaluation.pairs import read_person_pairs
from facezoo.evaluation.sets.listed import Listed, pair_set
from facezoo.registry import BENCHMARKS


@BENCHMARKS.register
@pair_set
def lfw(root: Path, pairs: Path = Path("pairs.txt")) -> Listed:
    """LFW (http://vis-www.cs.umass.edu/lfw/): photos `root/name/name_0001.jpg`.

    Folds are of consecutive pairs; those of the list's header, or 10, unless given. A list of one fold, such as
    `pairsDevTest.txt`, names all genuine pairs first: its folds are blocks of either kind, 10 unless given.

    Args:
        root: folder of the people.
        pairs: the list, in LFW's grammar or with two photos on two lines; looked for in root first.
    """
    return Listed("lfw", root, read_person_pairs(within(root, pairs)), person=folder_of)


def within(root: Path, path: Path) -> Path:
    """A file that may be named from the set's folder or from where one is."""
    return root / path if (root / path).is_file() or path.parent == Path() else path


def folder_of(photo: str) -> str:
    return photo.rpartition("/")[0]


BENCHMARKS.preset("xqlfw", "lfw:pairs=xqlfw_pairs.txt,name=xqlfw")
BENCHMARKS.preset("sllfw", "lfw:pairs=pair_SLLFW.txt,name=sllfw")
BENCHMARKS.preset("talfw", "lfw:name=talfw")
