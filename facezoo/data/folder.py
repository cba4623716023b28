"""Identity folders: one folder per person."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import numpy as np

from facezoo.data.dataset import FileDataset, Finding, Names
from facezoo.image import SUFFIXES, image_names
from facezoo.registry import DATASETS
from facezoo.types import InputError


@DATASETS.register(name="folder")
class Folder(FileDataset):
    """`root/identity/.../image`: the class is the first folder below the root, in sorted order.

    Hidden files and folders are left out. Links are followed, so that a set can be made of links, except one to
    a folder that the link itself lies in. Images directly in the root belong to nobody and are left out with a
    warning.

    Args:
        root: the folder of identity folders.
        check: decode every image once now; without it a damaged file is noticed when it is read.
        unreadable: with check, fail on damaged files or drop them.
        min_images: identities with fewer images than this are left out; 2 keeps those with two and more.

    Raises:
        InputError: no such folder, or no image in any identity folder.
    """

    def __init__(
        self,
        root: Path,
        check: bool = False,
        unreadable: Literal["fail", "drop"] = "fail",
        min_images: int = 1,
    ) -> None:
        root = Path(root)
        if not root.is_dir():
            raise InputError(f"{root}: no such folder")
        entries = sorted(entry.name for entry in os.scandir(root) if not entry.name.startswith("."))
        found: list[bytes] = []
        labels: list[int] = []
        classes: dict[int, str] = {}
        stray, empty = [], []
        for name in entries:
            if not (root / name).is_dir():
                if Path(name).suffix.lower() in SUFFIXES:
                    stray.append(name)
                continue
            images = [f"{name}/{image}" for image in image_names(root / name)]
            if not images:
                empty.append(name)
                continue
            label = len(classes)
            classes[label] = name
            found += [_utf8(image, root) for image in images]
            labels += [label] * len(images)
        if not found:
            raise InputError(f"{root}: no image in any folder below it; expected {root}/IDENTITY/IMAGE")
        problems = {"stray": Finding.of(stray), "empty": Finding.of(empty)}
        values = np.array(labels, np.int64)
        super().__init__(root, Names(found), values, classes, len(found), problems, check, unreadable, min_images)


def _utf8(name: str, root: Path) -> bytes:
    try:
        return name.encode()
    except UnicodeEncodeError:
        raise InputError(f"{root}: the file name {os.fsencode(name)!r} is not UTF-8; rename it") from None
