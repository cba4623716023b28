"""CPLFW and CALFW: LFW's people in other poses and at other ages."""

from __future__ import annotations

import re
from pathlib import Path

from facezoo.data.pairs import read_pairs
from facezoo.evaluation.sets.lfw import within
from facezoo.evaluation.sets.listed import Listed, pair_set
from facezoo.registry import BENCHMARKS

NUMBER = re.compile(r"_\d+(\.\w+)?$")
"""What follows a person's name in a photo's."""


@BENCHMARKS.register
@pair_set
def cplfw(root: Path, pairs: Path = Path("pairs_CPLFW.txt"), images: str = "images") -> Listed:
    """CPLFW (http://www.whdeng.cn/CPLFW/): photos `root/images/name_1.jpg`, their points `_5loc_attri.txt`.

    The list names 3,000 genuine pairs and then 3,000 others; each of 10 folds has 300 of either kind.

    Args:
        root: folder of the set.
        pairs: the list, two lines a pair; looked for in root first.
        images: folder of the photos in root; they may also lie in root itself.
    """
    return _listed("cplfw", root, pairs, images, ("landmarks", "CP_landmarks"))


@BENCHMARKS.register
@pair_set
def calfw(root: Path, pairs: Path = Path("pairs_CALFW.txt"), images: str = "images") -> Listed:
    """CALFW (http://www.whdeng.cn/CALFW/): as CPLFW.

    Args:
        root: folder of the set.
        pairs: the list, two lines a pair; looked for in root first.
        images: folder of the photos in root; they may also lie in root itself.
    """
    return _listed("calfw", root, pairs, images, ("landmarks", "CA_landmarks"))


def _listed(name: str, root: Path, pairs: Path, images: str, points: tuple[str, ...]) -> Listed:
    listed = read_pairs(within(root, pairs))
    photos = root / images if (root / images).is_dir() else root
    places = [photos, *(folder / point for folder in (root, photos) for point in points)]
    return Listed(name, photos, listed, by_kind=True, person=lambda photo: NUMBER.sub("", photo), landmarks=places)
