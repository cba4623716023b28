"""Any list of pairs."""

from __future__ import annotations

from pathlib import Path

from facezoo.data.pairs import read_pairs
from facezoo.evaluation.sets.listed import Listed, pair_set
from facezoo.registry import BENCHMARKS


@BENCHMARKS.register(name="pairs")
@pair_set
def pair_list(path: Path, root: Path) -> Listed:
    """Pairs of a list `left right label`, or two lines `photo label` each as CPLFW and CALFW have them.

    Folds are blocks of either kind in the order of the list, so that genuine and impostor pairs are spread evenly
    also where the list names all genuine pairs first. Identities are not known: intervals resample pairs.

    Args:
        path: the list; photo paths are relative to root.
        root: folder of the photos.
    """
    return Listed(path.stem, root, read_pairs(path), by_kind=True, landmarks=[root])
