"""RFW: four groups of people, each with a list of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from facezoo.evaluation.pairs import read_lfw_pairs
from facezoo.evaluation.sets.lfw import folder_of
from facezoo.evaluation.sets.listed import Listed, pair_set
from facezoo.registry import BENCHMARKS
from facezoo.types import InputError

GROUPS = ("African", "Asian", "Caucasian", "Indian")


@BENCHMARKS.register
@pair_set
def rfw(root: Path, group: Literal["all", "African", "Asian", "Caucasian", "Indian"] = "all") -> list[Listed]:
    """RFW (http://www.whdeng.cn/RFW/): the accuracy of each group, their average and sample deviation.

    Lists are `African/African_pairs.txt` in root or its folder `txts`, photos `African/m.0abc/m.0abc_0001.jpg` in root
    or its folder `data`; points `African_lmk.txt` lie beside the list.

    Args:
        root: folder of the set.
        group: one of them, or all.
    """
    found = []
    for name in GROUPS if group == "all" else (group,):
        lists = next((base / name for base in (root / "txts", root) if (base / name).is_dir()), None)
        photos = next((base / name for base in (root / "data", root) if (base / name).is_dir()), None)
        if lists is None or photos is None:
            raise InputError(f"{root}: has no folder {name}, neither there nor in txts and data")
        pairs = read_lfw_pairs(lists / f"{name}_pairs.txt")
        found.append(Listed(name, photos, pairs, person=folder_of, landmarks=[lists / f"{name}_lmk.txt"]))
    return found
