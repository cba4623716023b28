"""Photos named on the command line: one that cannot be read does not stop the others."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from facezoo.cli.app import USAGE
from facezoo.types import Image, InputError


def find_photos(images: list[Path]) -> list[Path]:
    """Photos as given, and those below folders."""
    from facezoo.image import find_images

    paths: list[Path] = []
    for path in images:
        paths += find_images(path) if path.is_dir() else [path]
    if not paths:
        raise InputError(f"{images[0]}: holds no images")
    return paths


def readable(paths: list[Path], refused: dict[Path, str]) -> Iterator[tuple[Path, Image]]:
    """The photos that can be read; why not goes to `refused` and to standard error at once."""
    from facezoo.image import read_image

    for path in paths:
        try:
            yield path, read_image(path)
        except InputError as error:
            refused[path] = str(error)
            print(f"facezoo: {error}", file=sys.stderr)


def refused_values(refused: dict[Path, str]) -> list[dict[str, Any]]:
    """What `--json` says of the photos that could not be read."""
    return [{"image": str(path), "error": error} for path, error in refused.items()]


def end(refused: dict[Path, str]) -> None:
    """Exit code 2 if any photo could not be read; the others were worked on all the same."""
    if refused:
        raise SystemExit(USAGE)


def file_names(paths: list[Path]) -> dict[Path, str]:
    """File names of the drawn copies; photos of one name in several folders are numbered."""
    names: dict[Path, str] = {}
    taken: set[str] = set()
    for path in paths:
        name, number = f"{path.stem}.jpg", 2
        while name.lower() in taken:
            name, number = f"{path.stem}_{number}.jpg", number + 1
        taken.add(name.lower())
        names[path] = name
    return names
