"""List files of `path label` lines, as FaceX-Zoo and TFace train from."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import numpy as np

from facezoo.data.classes import numbered
from facezoo.data.dataset import FileDataset, Names
from facezoo.data.list_lines import read_lines
from facezoo.data.problems import Finding, Labels
from facezoo.registry import DATASETS
from facezoo.types import InputError


@DATASETS.register(name="list")
class ListFile(FileDataset):
    """One `path label` line per image.

    The label is the last field, after blanks or a tab, so paths may hold spaces. Blank lines are skipped and
    counted; any other line that does not parse is refused. Labels are integers of any values from 0; they are
    numbered anew from 0 in rising order, and `classes` keeps what they were, or has their names where a file of names
    lies beside the list (`facezoo.data.classes`).

    Args:
        path: the list, UTF-8.
        root: folder the paths are relative to; by default the list's own.
        missing: fail on listed files that do not exist, or drop them. It fails unless told otherwise:
            a wrong root and half a copy look alike, and training on what happens to be there gives other results.
            `unchecked` does not look for them, which takes longer than all the rest: a missing file is then noticed
            when it is read, as a damaged one is.
        check: decode every image once now; without it a damaged file is noticed when it is read.
        unreadable: with check, fail on damaged files or drop them.
        min_images: identities with fewer images than this are left out; 2 keeps those with two and more.

    Raises:
        InputError: a line that does not parse (with file:line), a path that leads out of the root, missing files.
    """

    def __init__(
        self,
        path: Path,
        root: Path | None = None,
        missing: Literal["fail", "drop", "unchecked"] = "fail",
        check: bool = False,
        unreadable: Literal["fail", "drop"] = "fail",
        min_images: int = 1,
    ) -> None:
        path = Path(path)
        root = path.parent if root is None else Path(root)
        names, values, blank = read_lines(path, root)
        entries, problems = len(names), {"blank_lines": blank}
        gone = absent(root, names) if missing != "unchecked" else np.empty(0, np.intp)
        if len(gone):
            problems["missing"] = Finding.of(names[i] for i in gone.tolist())
            if missing == "fail":
                raise InputError(
                    f"{path}: {len(gone):,} of {len(names):,} listed files are not below {root}, the first: "
                    f"{', '.join(problems['missing'].first)}; give the right root, or missing=drop to go without them"
                )
            kept = np.delete(np.arange(len(names)), gone)
            names, values = names.take(kept), values[kept]
        if missing != "unchecked":
            problems["repeated"] = _repeated(path, names, values)
        classes, problems["gaps"] = numbered(path, values)
        super().__init__(root, names, values, classes, entries, problems, check, unreadable, min_images)


def _repeated(path: Path, names: Names, values: Labels) -> Finding:
    """Images that are listed again.

    Raises:
        InputError: one has two labels.
    """
    hashes = np.fromiter((hash(names.raw(i)) for i in range(len(names))), np.int64, len(names))
    order = np.argsort(hashes, kind="stable")
    alike = np.flatnonzero(np.diff(hashes[order]) == 0)
    pairs = [
        (first, again)
        for first, again in zip(order[alike].tolist(), order[alike + 1].tolist())
        if names.raw(first) == names.raw(again)
    ]
    for first, again in pairs:
        if values[first] != values[again]:
            raise InputError(
                f"{path}: {names[first]!r} is listed with the labels {values[first]} and {values[again]}; keep one line"
            )
    return Finding.of(names[again] for _, again in pairs)


def absent(root: Path, names: Names) -> np.ndarray:
    """Indices of the files that do not exist."""
    top = os.fsencode(root) + b"/"
    # Half the time of os.path.isfile; a folder under an image's name is noticed when it is read.
    exists = (os.access(top + names.raw(i), os.F_OK) for i in range(len(names)))
    return np.flatnonzero(~np.fromiter(exists, bool, len(names)))
