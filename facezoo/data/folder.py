"""Identity folders: one folder per person."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Literal

import numpy as np

from facezoo.data.classes import CLASSES, read_classes
from facezoo.data.dataset import FileDataset, Names
from facezoo.data.problems import Finding, gaps
from facezoo.image import SUFFIXES, image_names
from facezoo.registry import DATASETS
from facezoo.types import InputError

SHEET = "sheet.jpg"
"""A contact sheet of the whole set, in its root."""


@DATASETS.register(name="folder")
class Folder(FileDataset):
    """`root/identity/.../image`: the class is the first folder below the root, in sorted order.

    A file classes.txt in the root gives the order of the classes instead, one name on each line. Hidden files and
    folders are left out. Links are followed, so that a set can be made of links, except one to a folder that the link
    itself lies in. Images directly in the root belong to nobody and are left out with a warning, but for
    the contact sheet (`sheet.jpg`) that `facezoo synth` writes.

    Args:
        root: the folder of identity folders.
        check: decode every image once now; without it a damaged file is noticed when it is read.
        unreadable: with check, fail on damaged files or drop them.
        min_images: identities with fewer images than this are left out; 2 keeps those with two and more.

    Raises:
        InputError: no such folder, no image in any identity folder, or one that classes.txt does not name.
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
        names = read_classes(root, 0)
        places = {folder_name(name): label for label, name in enumerate(names or ())}
        entries.sort(key=lambda entry: places.get(entry, -1))
        found: list[bytes] = []
        labels: list[int] = []
        classes: dict[int, str] = {}
        stray, empty = [], []
        for name in entries:
            if not (root / name).is_dir():
                if Path(name).suffix.lower() in SUFFIXES and name != SHEET:
                    stray.append(name)
                continue
            images = [f"{name}/{image}" for image in image_names(root / name)]
            if not images:
                empty.append(name)
                continue
            if names and name not in places:
                raise InputError(f"{root}: the folder {name!r} is not in {CLASSES}; add its name or remove the file")
            label = places[name] if names else len(classes)
            classes[label] = names[label] if names else name
            found += [_utf8(image, root) for image in images]
            labels += [label] * len(images)
        if not found:
            raise InputError(f"{root}: no image in any folder below it; expected {root}/IDENTITY/IMAGE")
        problems = {
            "stray": Finding.of(stray),
            "empty": Finding.of(empty),
            "gaps": gaps(np.array(list(classes), np.int64)),
        }
        values = np.array(labels, np.int64)
        super().__init__(root, Names(found), values, classes, len(found), problems, check, unreadable, min_images)


def _utf8(name: str, root: Path) -> bytes:
    try:
        return name.encode()
    except UnicodeEncodeError:
        raise InputError(f"{root}: the file name {os.fsencode(name)!r} is not UTF-8; rename it") from None


_SPECIAL = re.compile(r"[/\\\0]|^\.|%(?=2F|5C|00|2E|25)")


def folder_name(name: str) -> str:
    """The folder of a class: its name, less what a folder's name cannot hold or what would hide it, as %XX."""
    return _SPECIAL.sub(lambda found: f"%{ord(found[0]):02X}", name)
