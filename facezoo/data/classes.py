"""The names of a dataset's classes: a text file with one name on each line, line 0 for label 0."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from facezoo.data.problems import Finding, Labels, gaps, present
from facezoo.files import unreadable, write_text
from facezoo.types import InputError

CLASSES = "classes.txt"
MAX_BYTES = 1_000_000_000
"""Larger files of names are refused before they are read."""


def classes_files(path: Path) -> list[Path]:
    """Where the names of a dataset may lie: inside a folder; beside a file under its own name, else for all there."""
    if path.is_dir():
        return [path / CLASSES]
    return [path.with_name(f"{path.stem}.{CLASSES}"), path.with_name(CLASSES)]


def read_classes(path: Path, count: int) -> list[str] | None:
    """The names that lie beside or inside a dataset, one for each label; None if there are none.

    Args:
        path: the dataset: a folder with classes.txt in it, or a file NAME.ending with NAME.classes.txt or classes.txt
            beside it.
        count: labels of the dataset, its largest and one.

    Raises:
        InputError: unreadable, an empty line, a name that comes twice, or fewer lines than labels.
    """
    file = next((file for file in classes_files(Path(path)) if file.is_file()), None)
    if file is None:
        return None
    try:
        if file.stat().st_size > MAX_BYTES:
            raise InputError(f"{file}: more than the {MAX_BYTES:,} bytes that are read")
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: not UTF-8 at byte {error.start}; save it as UTF-8") from None
    except OSError as error:
        raise unreadable(file, error) from None
    names = text.removesuffix("\n").split("\n") if text else []
    check_names(file, names)
    if len(names) < count:
        raise InputError(
            f"{file}: {len(names):,} names, {path} has {count:,} labels; name every one or remove the file"
        )
    return names


def write_classes(path: Path, classes: Sequence[str]) -> Path:
    """Write the names inside a folder or beside a file, for `read_classes`; gives the written file.

    Raises:
        InputError: a name is empty, comes twice or holds a line break.
    """
    file = classes_files(Path(path))[0]
    check_names(file, classes)
    write_text(file, "".join(f"{name}\n" for name in classes))
    return file


def numbered(path: Path, values: Labels) -> tuple[dict[int, str], Finding]:
    """The names of a dataset's label values, from the file of names or else the values themselves, and the gaps.

    Args:
        path: the dataset, as for `read_classes`.
        values: (N,) labels as stored, whole numbers from 0.
    """
    used = present(values)
    names = read_classes(path, int(used[-1]) + 1 if len(used) else 0)
    return {value: names[value] if names else str(value) for value in used.tolist()}, gaps(used)


def check_names(file: Path, names: Sequence[str]) -> None:
    """Refuse names that `write_classes` cannot write."""
    seen: dict[str, int] = {}
    for line, name in enumerate(names, 1):
        if not name or "\n" in name or "\r" in name:
            raise InputError(f"{file}:{line}: {name!r} is no name of a class; write one name on each line")
        if seen.setdefault(name, line) != line:
            raise InputError(
                f"{file}:{line}: the class {name!r} is on line {seen[name]} already; give each its own name"
            )
