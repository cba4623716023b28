"""List files of `path label` lines, as FaceX-Zoo and TFace train from."""

from __future__ import annotations

import io
import os
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np

from facezoo.data.classes import numbered
from facezoo.data.dataset import FileDataset, Names
from facezoo.data.problems import Finding, Labels
from facezoo.registry import DATASETS
from facezoo.types import InputError

MAX_DIGITS = 18
"""Of a label: what fits 64 bits."""


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
        missing: Literal["fail", "drop"] = "fail",
        check: bool = False,
        unreadable: Literal["fail", "drop"] = "fail",
        min_images: int = 1,
    ) -> None:
        path = Path(path)
        root = path.parent if root is None else Path(root)
        names, values, blank = _parse(path, root)
        entries, problems = len(names), {"blank_lines": blank}
        absent = _absent(root, names)
        if len(absent):
            problems["missing"] = Finding.of(names[i] for i in absent)
            if missing == "fail":
                raise InputError(
                    f"{path}: {len(absent):,} of {len(names):,} listed files are not below {root}, the first: "
                    f"{', '.join(problems['missing'].first)}; give the right root, or missing=drop to go without them"
                )
            kept = np.delete(np.arange(len(names)), absent)
            names, values = names.take(kept), values[kept]
        classes, problems["gaps"] = numbered(path, values)
        super().__init__(root, names, values, classes, entries, problems, check, unreadable, min_images)


def _parse(path: Path, root: Path) -> tuple[Names, Labels, Finding]:
    """Relative paths, label values and blank lines of a list."""
    try:
        data = path.read_bytes().removeprefix(b"\xef\xbb\xbf")  # a byte order mark of Windows editors
        data.decode()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path}:{line}: not UTF-8; save the list as UTF-8") from None
    if (zero := data.find(b"\0")) >= 0:
        line = data.count(b"\n", 0, zero) + 1
        raise InputError(f"{path}:{line}: holds a zero byte; it is not a text file")
    labels = array("q")
    blank: list[int] = []

    def entries() -> Iterator[bytes]:
        for number, line in enumerate(io.BytesIO(data), 1):
            parts = line.rsplit(None, 1)
            if len(parts) == 2 and parts[1].isdigit() and len(parts[1]) <= MAX_DIGITS:
                name = parts[0].strip()
                if b".." in name or name[:1] in b"/\\" or name[1:2] == b":":
                    name = _inside(name, root, f"{path}:{number}")
                labels.append(int(parts[1]))
                yield name
            elif parts:
                shown = line.strip().decode()[:80]
                raise InputError(f"{path}:{number}: {shown!r} is not `path label` with a whole number from 0 as label")
            else:
                blank.append(number)

    names = Names(entries())
    if not len(names):
        raise InputError(f"{path}: the list holds no `path label` line")
    return names, np.frombuffer(labels, np.int64), Finding.of(f"{path.name}:{number}" for number in blank)


def _inside(name: bytes, root: Path, place: str) -> bytes:
    """The path relative to the root; a path that leads out of it is refused."""
    top = os.path.abspath(root)  # noqa: PTH100 - without following links, unlike Path.resolve
    full = os.path.abspath(os.path.join(top, name.decode()))  # noqa: PTH100, PTH118
    inside = os.path.relpath(full, top)
    if inside.startswith(os.pardir) or os.path.isabs(inside):  # noqa: PTH117
        raise InputError(f"{place}: {name.decode()!r} lies outside {root}; set root to a folder above all images")
    return Path(inside).as_posix().encode()


def _absent(root: Path, names: Names) -> np.ndarray:
    """Indices of the files that do not exist."""
    top = os.fsencode(root) + b"/"
    # Half the time of os.path.isfile; a folder under an image's name is noticed when it is read.
    exists = (os.access(top + names.raw(i), os.F_OK) for i in range(len(names)))
    return np.flatnonzero(~np.fromiter(exists, bool, len(names)))
