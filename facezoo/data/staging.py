"""Where a conversion works until all is done: a hidden folder beside the result, with a journal of what is there."""

from __future__ import annotations

import contextlib
import filecmp
import json
import logging
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facezoo.data.writer import Part
from facezoo.files import sync, write_text
from facezoo.types import InputError

log = logging.getLogger(__name__)

JOURNAL, SCANNED, READY = "journal.json", "scanned.json", "ready.json"
RESULT, PARTS, REPLACED = "result", "parts", "replaced"


@dataclass(frozen=True)
class Staging:
    """The folder of one conversion.

    Everything in it is whole or absent, so a conversion that was killed at any moment goes on: a part is there once
    its record is; `ready.json` is there once the whole result is, of which then only moving is left.

    Args:
        target: the file or folder that the result becomes.
    """

    target: Path

    @property
    def folder(self) -> Path:
        return self.target.parent / f".{self.target.name}.converting"

    @property
    def result(self) -> Path:
        """What is in it is moved beside the target at the end."""
        return self.folder / RESULT

    def begin(self, journal: dict[str, Any], anew: bool, may_change: Sequence[str] = ()) -> None:
        """Claim the folder for a conversion, or find that it was begun with the same journal.

        Args:
            journal: what the conversion is of.
            anew: begin anew where another was begun.
            may_change: entries whose change alone also begins it anew, with a warning.

        Raises:
            InputError: what is there is of other data or options, and it is not to begin anew.
        """
        found = self.read(JOURNAL)
        if found is not None and not self.holds(journal) and not anew:
            changed = [key for key in journal if found.get(key) != journal[key]]
            if not set(changed) <= set(may_change):
                raise InputError(
                    f"{self.target}: a conversion that was interrupted had another {', '.join(changed)}; "
                    "give it the same again to go on, or begin anew with --force"
                )
            log.warning("%s: images of the source have changed since an interruption: begun anew", self.target)
        if not self.holds(journal):
            self.remove()
        (self.folder / PARTS).mkdir(parents=True, exist_ok=True)
        if self.read(JOURNAL) is None:
            self.record(JOURNAL, journal)

    def holds(self, journal: dict[str, Any]) -> bool:
        """Whether the folder is of a conversion with this journal."""
        return self.read(JOURNAL) == journal

    def read(self, name: str) -> dict[str, Any] | None:
        """What was recorded; None if nothing was."""
        try:
            return json.loads((self.folder / name).read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise InputError(f"{self.folder / name}: cannot be read ({error}); remove {self.folder}") from None

    def record(self, name: str, value: dict[str, Any]) -> None:
        write_text(self.folder / name, json.dumps(value))

    def part(self, number: int, suffix: str) -> Path:
        return self.folder / PARTS / f"{number:06d}{suffix}"

    def record_of(self, number: int) -> str:
        return f"{PARTS}/{number:06d}.record"

    def digests(self, number: int) -> Path:
        return self.part(number, ".digests")

    def write_part(self, number: int, suffix: str, write: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
        """Let a part be written under another name, make it durable and put it in its place."""
        final = self.part(number, suffix)
        temporary = final.with_name(f"{final.stem}.{os.getpid()}{suffix}")
        try:
            facts = write(temporary)
            _sync_all(temporary)
            remove(final)  # that a killed process left without its record
            temporary.rename(final)
        finally:
            remove(temporary)
        return facts

    def parts(self, count: int, suffix: str) -> list[Part]:
        """The parts that are there; they are `count` once all are."""
        found = []
        for number in range(count):
            if (record := self.read(self.record_of(number))) is not None:
                file = self.part(number, suffix)
                found.append(Part(number, record["first"], record["samples"], file, record["facts"]))
        return found

    def publish(self, replace: bool) -> None:
        """Move the result beside the target, what others look for last, and remove this folder.

        Raises:
            InputError: a file of that name is there and is not to be replaced.
        """
        ready = self.read(READY)
        assert ready is not None
        names = sorted(ready["names"], key=lambda name: name == self.target.name)
        if not replace:
            for name in names:
                there = self.target.with_name(name)
                if occupied(there) and (self.result / name).exists() and not _alike(there, self.result / name):
                    raise InputError(f"{there}: is there already; name another place, or replace it with --force")
        for name in names:
            source, there = self.result / name, self.target.with_name(name)
            if not source.exists():  # moved before a kill
                continue
            if there.is_dir() and not there.is_symlink():
                remove(self.folder / REPLACED)
                there.rename(self.folder / REPLACED)
            source.replace(there)
        sync(self.target.parent)
        self.remove()

    def remove(self) -> None:
        """Remove the folder; after a kill in the midst of it nothing takes what is left for a conversion."""
        removed = self.folder.with_name(f"{self.folder.name}-removed")
        remove(removed)
        if self.folder.exists():
            self.folder.rename(removed)
            remove(removed)


def occupied(path: Path) -> bool:
    """Whether something is there, other than an empty folder."""
    return path.exists() and not (path.is_dir() and not any(path.iterdir()))


def remove(path: Path) -> None:
    """Remove a file or a folder with all that is in it, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _alike(one: Path, other: Path) -> bool:
    """Whether both are files of the same bytes, such as the names of the same classes."""
    return one.is_file() and other.is_file() and filecmp.cmp(one, other, shallow=False)


def _sync_all(path: Path) -> None:
    """Make a file, or all files of a folder, durable."""
    if not path.is_dir():
        sync(path)
    elif hasattr(os, "sync"):  # one call for thousands of files
        os.sync()
    else:
        for file in path.rglob("*"):
            with contextlib.suppress(PermissionError):
                sync(file)
