"""Datasets written as image files: identity folders, and a list beside them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from facezoo.data.classes import CLASSES, classes_files, write_classes
from facezoo.data.list_lines import list_line
from facezoo.data.manifest import MANIFEST, SKIPPED
from facezoo.data.writer import Encoded, Part, Writer
from facezoo.files import whole_file
from facezoo.registry import WRITERS
from facezoo.types import InputError

LINES = ".lines"
"""Within a part: its lines of the list; hidden, so that it is no identity."""

PAIRS = "pairs.txt"


@WRITERS.register(name="folder")
@dataclass(frozen=True)
class FolderWriter(Writer):
    """`path/identity/image`, with the order of the classes in classes.txt.

    Args:
        path: the folder.
    """

    path: Path
    copies: ClassVar[bool] = False
    ordered: ClassVar[bool] = False  # images of an identity are read in the order of their names

    @property
    def suffix(self) -> str:
        return ""

    @property
    def pairs_file(self) -> Path:
        return self.path / PAIRS

    @property
    def own(self) -> frozenset[str]:
        return frozenset({CLASSES, PAIRS, MANIFEST, SKIPPED})

    def write(self, samples: Iterable[Encoded], file: Path) -> dict[str, Any]:
        """Write a part as a folder of identity folders."""
        file.mkdir()
        made = {file}
        for sample in samples:
            target = file / sample.path
            if target.parent not in made:
                target.parent.mkdir(parents=True, exist_ok=True)
                made.add(target.parent)
            try:
                with target.open("xb") as out:
                    out.write(sample.data)
            except FileExistsError:
                raise InputError(_twice(sample.path)) from None
        return {}

    def finish(self, parts: Sequence[Part], classes: Sequence[str]) -> list[Path]:
        """Move the parts' files together; gives the files that are not images."""
        for part in parts:
            _merge(part.file, self.path)
        return [write_classes(self.path, classes)]


@WRITERS.register(name="list")
@dataclass(frozen=True)
class ListWriter(Writer):
    """A list of `path<TAB>label` lines in a folder of its own, in which the images lie beside it as `identity/image`.

    Args:
        path: the list, such as OUT/train.txt; OUT is new.
    """

    path: Path
    copies: ClassVar[bool] = False

    @property
    def suffix(self) -> str:
        return ""

    @property
    def target(self) -> Path:
        return self.path.parent

    @property
    def pairs_file(self) -> Path:
        return self.path.with_name(PAIRS)

    @property
    def own(self) -> frozenset[str]:
        beside = {f"{self.path.name}.{name}" for name in (MANIFEST, SKIPPED)}
        return frozenset({self.path.name, classes_files(self.path)[0].name, PAIRS, *beside})

    def write(self, samples: Iterable[Encoded], file: Path) -> dict[str, Any]:
        """Write a part as `FolderWriter` does, and its lines."""
        lines = []

        def listed() -> Iterable[Encoded]:
            for sample in samples:
                lines.append(list_line(sample.path, sample.label))
                yield sample

        facts = FolderWriter(self.path).write(listed(), file)
        (file / LINES).write_text("".join(lines), encoding="utf-8", newline="\n")
        return facts

    def finish(self, parts: Sequence[Part], classes: Sequence[str]) -> list[Path]:
        """Move the parts' files together, then write the list; gives the files that are not images."""
        for part in parts:
            _merge(part.file, self.path.parent)
        with whole_file(self.path) as temporary, temporary.open("wb") as out:
            for part in parts:
                with (part.file / LINES).open("rb") as lines:
                    shutil.copyfileobj(lines, out)
        return [self.path, write_classes(self.path, classes)]


def _merge(source: Path, target: Path) -> None:
    """Move what is not hidden in one folder into another, folders whole where they are not there yet."""
    target.mkdir(parents=True, exist_ok=True)
    with os.scandir(source) as found:
        entries = [entry for entry in found if not entry.name.startswith(".")]
    for entry in entries:
        there = target / entry.name
        if not there.exists():
            Path(entry.path).rename(there)
        elif entry.is_dir() and there.is_dir():
            _merge(Path(entry.path), there)
        else:
            raise InputError(_twice(entry.name))


def _twice(path: str) -> str:
    return f"two images of the source would be the file {path}; give one of them another name"
