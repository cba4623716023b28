"""Photos in a folder, whoever they show."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from facezoo.data.dataset import FileDataset, Names
from facezoo.data.problems import Finding
from facezoo.image import image_names
from facezoo.registry import DATASETS
from facezoo.types import InputError

ONE = "photos"


@DATASETS.register(name="photos")
class PhotoFiles(FileDataset):
    """All images below a folder, as one class: for what needs no identities.

    Args:
        path: the folder.

    Raises:
        InputError: no such folder, or no image in it.
    """

    def __init__(self, path: Path) -> None:
        root = Path(path)
        if not root.is_dir():
            raise InputError(f"{root}: no such folder")
        names = [name.encode("utf-8", "surrogateescape") for name in image_names(root)]
        if not names:
            raise InputError(f"{root}: holds no images")
        problems: dict[str, Finding] = {}
        super().__init__(root, Names(names), np.zeros(len(names), np.int64), {0: ONE}, len(names), problems)
