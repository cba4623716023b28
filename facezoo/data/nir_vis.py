"""Lists of people before two cameras, near-infrared and visible light, as FaceX-Zoo's HSST trains from."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import numpy as np

from facezoo.data.classes import numbered
from facezoo.data.dataset import Dataset, FileDataset, Names
from facezoo.data.list_file import absent
from facezoo.data.list_lines import read_lines
from facezoo.data.multi import Multi
from facezoo.data.problems import NOTHING, Labels
from facezoo.registry import DATASETS
from facezoo.types import InputError


@DATASETS.register(name="nir_vis")
class NirVis(Multi):
    """`nir_path vis_path label` lines: the visible photos as set 0 of a `multi`, the infrared ones as set 1.

    A photo that stands in several lines is there once. Paths hold no blanks, unless tabs separate the fields. Labels
    and names of classes are as for `list`.

    Args:
        path: the list, UTF-8.
        root: folder the paths are relative to; by default the list's own.

    Raises:
        InputError: a line that does not parse, a path that leads out of the root, a photo of two people, missing files.
    """

    def __init__(self, path: Path, root: Path | None = None) -> None:
        path = Path(path)
        root = path.parent if root is None else Path(root)
        lines, values, blank = read_lines(path, root)
        infrared, visible = _photos(path, lines, values)
        sets: list[Dataset] = []
        for photos in (visible, infrared):
            names, labels = Names(map(str.encode, photos)), np.array(list(photos.values()))
            if len(missing := absent(root, names)):
                raise InputError(
                    f"{path}: {len(missing):,} of {len(names):,} listed files are not below {root}, the first: "
                    f"{names[int(missing[0])]}; give the right root"
                )
            classes, gaps = numbered(path, labels)
            sets.append(FileDataset(root, names, labels, classes, len(lines), {"gaps": gaps, "blank_lines": blank}))
            blank = NOTHING  # counted once
        self._join(sets, [f"list:path={path}"] * 2)


def _photos(path: Path, lines: Names, values: Labels) -> tuple[dict[str, int], dict[str, int]]:
    """The infrared and the visible photos, in the order of the list, and the labels of each."""
    kinds: tuple[dict[str, int], dict[str, int]] = {}, {}
    for number, label in enumerate(values.tolist()):
        line = lines[number]
        fields = [field.strip() for field in line.split("\t")] if "\t" in line else line.split()
        if len(fields) != 2:
            raise InputError(f"{path}: {line[:80]!r} before a label is not two paths, `nir_path vis_path`")
        for name, photos in zip(fields, kinds, strict=True):
            if ".." in (parts := PurePosixPath(name)).parts or parts.is_absolute():
                raise InputError(f"{path}: {name!r} leads out of the root; set root to a folder above all images")
            if photos.setdefault(name, label) != label:
                raise InputError(f"{path}: {name!r} has the labels {photos[name]} and {label}; keep one of them")
    return kinds
