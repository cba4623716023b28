"""Places that commands write to: what is there is replaced on wish alone, and the data that are read never."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from facezoo.registry import parse_spec
from facezoo.types import InputError

if TYPE_CHECKING:
    from facezoo.data.dataset import Dataset


def check_reports(*files: Path | None) -> None:
    """Refuse folders in the place of files to write, before any work is done."""
    for file in files:
        if file is not None and file.is_dir():
            raise InputError(f"{file}: is a folder; name a file to write")


def check_output(out: Path, force: bool, source: Dataset, of: str) -> None:
    """Refuse a file to write that is a folder, one of the source's own files, or there already without `force`.

    Args:
        source: the dataset that is read.
        of: its path or spec.

    Raises:
        InputError: which of them.
    """
    check_reports(out)
    if not out.exists():
        return
    if _is_read(out.resolve(), source, of):
        raise InputError(f"{out}: belongs to the data that are read; name another place")
    if not force:
        raise InputError(f"{out}: is there already; name another place, or replace it with --force")


def check_list(out: Path, force: bool, source: Dataset, of: str) -> None:
    """As `check_output`, of a list and the names of its classes beside it."""
    from facezoo.data.classes import classes_files
    from facezoo.data.dataset import FileDataset
    from facezoo.data.subset import Subset

    check_output(out, force, source, of)
    if isinstance(source.base if isinstance(source, Subset) else source, FileDataset):
        check_output(classes_files(out)[0], force, source, of)


def check_folder(out: Path, force: bool, own: str) -> None:
    """Refuse a folder of other files; one that holds `own`, what an earlier run keeps there, is gone on with.

    Raises:
        InputError: a file, or a folder of other files without `force`.
    """
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: is a file; name a folder to write into")
    if not force and out.is_dir() and any(out.iterdir()) and not (out / own).is_dir():
        raise InputError(f"{out}: holds other files; name another folder, or write into it with --force")


def _is_read(out: Path, source: Dataset, of: str) -> bool:
    from facezoo.data.dataset import FileDataset
    from facezoo.data.multi import Multi
    from facezoo.data.subset import Subset

    if isinstance(source, Multi):
        return any(_is_read(out, part, spec) for part, spec in zip(source.sets, source.specs))
    if isinstance(source, Subset) and _is_read(out, source.base, source.of):
        return True
    for path in _named(of):
        inside = path.is_dir() and path in out.parents
        # The root of a list is often the folder in which one works: only its images are the data.
        if path == out or (inside and not isinstance(source, FileDataset)):
            return True
    return isinstance(source, FileDataset) and any(out == Path(source.name(k)).resolve() for k in range(len(source)))


def _named(of: str) -> Iterator[Path]:
    """The files and folders that a path or spec names."""
    if Path(of).exists():
        yield Path(of).resolve()
        return
    for value in parse_spec(of)[1].values():
        yield from _named(value)
