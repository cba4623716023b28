"""What is to become of images and identities: written down, changed by a person, applied to a list."""

from __future__ import annotations

import csv
import io
import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facezoo.data.dataset import Dataset
from facezoo.data.subset import write_subset
from facezoo.files import unreadable, write_text
from facezoo.types import InputError

MAX_BYTES = 1_000_000_000
"""Larger decision files are refused before they are read."""

COLUMNS = ("action", "sample", "path", "identity", "into")


@dataclass(frozen=True)
class Decisions:
    """Images that go, and identities that become another one.

    Attributes:
        drop: path by sample number.
        merge: (identity, the one it becomes), by name.
    """

    drop: dict[int, str]
    merge: tuple[tuple[str, str], ...]

    def write(self, path: Path) -> None:
        """As JSON, as `read_decisions` reads it."""
        drop = [{"sample": sample, "path": where} for sample, where in sorted(self.drop.items())]
        merge = [{"identity": identity, "into": into} for identity, into in self.merge]
        write_text(path, json.dumps({"drop": drop, "merge": merge}, indent=1, ensure_ascii=False))


@dataclass(frozen=True)
class Applied:
    """What became of a dataset."""

    spec: str
    kept: int
    dropped: int
    merged: int

    def sentence(self) -> str:
        return (
            f"{self.kept:,} images stay, {self.dropped:,} are left out, {self.merged:,} identities went into others; "
            f"train on {shlex.quote(self.spec)}"
        )


def read_decisions(path: Path) -> Decisions:
    """Decisions from the JSON or the CSV that the review page saves, or that `write` wrote.

    JSON: `{"drop": [{"sample": 3, "path": "..."}], "merge": [{"identity": "b", "into": "a"}]}`. CSV: the columns
    action (drop or merge), sample, path, identity, into.

    Raises:
        InputError: not readable, or an entry of another form; which one.
    """
    path = Path(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path}: more than the {MAX_BYTES:,} bytes that are read")
        text = path.read_text(encoding="utf-8-sig")
        entries = _csv(path, text) if path.suffix.lower() == ".csv" else _json(path, text)
    except OSError as error:
        raise unreadable(path, error) from None
    except (UnicodeDecodeError, json.JSONDecodeError, csv.Error, RecursionError) as error:
        raise InputError(f"{path}: neither decisions as JSON nor, ending with .csv, as CSV: {error}") from None
    drop: dict[int, str] = {}
    merge: list[tuple[str, str]] = []
    for place, action, entry in entries:
        sample, texts = entry.get("sample"), [entry.get(key) for key in ("path", "identity", "into")]
        if action == "drop" and str(sample).isdecimal() and isinstance(texts[0], str):
            drop[int(str(sample))] = texts[0]
        elif action == "merge" and isinstance(texts[1], str) and isinstance(texts[2], str):
            merge.append((texts[1], texts[2]))
        else:
            raise InputError(f"{place}: neither a sample and its path to drop nor an identity to merge into another")
    return Decisions(drop, tuple(merge))


def apply(data: Dataset, of: str, decisions: Decisions, out: Path) -> Applied:
    """Write the list of what stays, and give the spec that trains on it (`facezoo.data.subset.write_subset`).

    Raises:
        InputError: the decisions are about other data, identities merge in a circle, or nothing stays.
    """
    stays = np.ones(len(data), bool)
    for sample, path in decisions.drop.items():
        if sample >= len(data) or data.path(sample) != path:
            have = data.path(sample) if sample < len(data) else f"no such sample of {len(data):,}"
            raise InputError(
                f"sample {sample} is {path} in the decisions and {have} in the data: they are about others"
            )
        stays[sample] = False
    into = _into(data.classes, decisions.merge)
    spec = write_subset(data, of, np.flatnonzero(stays), out, into)
    return Applied(spec, int(stays.sum()), int((~stays).sum()), int((into != np.arange(len(into))).sum()))


def _into(classes: Sequence[str], merge: Sequence[tuple[str, str]]) -> np.ndarray:
    """The label that each label becomes, followed to its end."""
    place = {name: label for label, name in enumerate(classes)}
    into = np.arange(len(classes))
    for identity, target in merge:
        names = identity, target
        if unknown := [name for name in names if name not in place]:
            raise InputError(f"the data have no identity {unknown[0]!r} to merge: the decisions are about others")
        into[place[identity]] = place[target]
    step = into
    for _ in range(len(classes).bit_length() + 1):
        into = into[into]
    if (circle := step[into] != into).any():
        shown = ", ".join(classes[label] for label in np.flatnonzero(circle)[:3])
        raise InputError(f"identities merge in a circle: {shown}; let one of them stay")
    return into


def _json(path: Path, text: str) -> list[tuple[str, str, dict[str, Any]]]:
    found = json.loads(text)
    if not isinstance(found, dict) or not all(isinstance(found.get(k), list) for k in ("drop", "merge")):
        raise InputError(f"{path}: decisions are an object with the lists drop and merge")
    entries = []
    for action in ("drop", "merge"):
        for number, entry in enumerate(found[action], 1):
            entries.append((f"{path}: {action} {number}", action, entry if isinstance(entry, dict) else {}))
    return entries


def _csv(path: Path, text: str) -> list[tuple[str, str, dict[str, Any]]]:
    rows = csv.DictReader(io.StringIO(text))
    if tuple(rows.fieldnames or ()) != COLUMNS:
        raise InputError(f"{path}: the first line must be {','.join(COLUMNS)}")
    return [(f"{path}:{rows.line_num}", str(row["action"]), row) for row in rows]
