"""What a column beside the photos adds to a report: error rates by group, and curves over a quality score."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facezoo.evaluation.group_rates import GroupPart
from facezoo.evaluation.quality_curves import Discard, EdcRule, QualityPart
from facezoo.evaluation.scored_pairs import Part
from facezoo.files import unreadable
from facezoo.types import FloatArray, InputError

MAX_CSV_BYTES = 1_000_000_000


def columns(
    names: Sequence[str],
    groups: str | None = None,
    quality: Path | None = None,
    discard: Discard = "images",
    edc: EdcRule = "fixed",
) -> tuple[Part, ...]:
    """The parts that the options of a benchmark ask for.

    Args:
        names: of its photos.
        groups: CSV with the columns path,group; or a number: the folder at that level of a photo's name is its group.
        quality: CSV with the columns path,score; larger is better.
        discard, edc: see `quality_curves.error_versus_discard`.
    """
    parts: list[Part] = []
    if groups is not None:
        parts.append(GroupPart(*read_groups(names, groups)))
    if quality is not None:
        parts.append(QualityPart(quality.stem, _scores(names, quality), discard, edc))
    return tuple(parts)


def read_groups(names: Sequence[str], groups: str) -> tuple[list[str], NDArray[np.intp]]:
    """Names of the groups, and the group of each photo (N,), -1 where none is stated; `groups` as for `columns`."""
    if groups.isdecimal():
        level = int(groups)
        found = {name: name.split("/")[level - 1] for name in names if 1 <= level < len(name.split("/"))}
        if not found:
            raise InputError(f"groups={groups}: no photo lies {groups} folders deep, such as {names[0]!r}")
    else:
        found = _read_column(Path(groups), "group", names)
    known = sorted(set(found.values()))
    if len(known) < 2:
        raise InputError(f"groups={groups}: all photos are in one group, {known[0]!r}; two or more are compared")
    place = {group: k for k, group in enumerate(known)}
    return known, np.array([place[found[name]] if name in found else -1 for name in names], np.intp)


def _scores(names: Sequence[str], path: Path) -> FloatArray:
    found = _read_column(path, "score", names)
    if gone := [name for name in names if name not in found]:
        raise InputError(f"{path}: states no score of {len(gone)} of {len(names)} photos, the first: {gone[0]}")
    try:
        scores = np.array([float(found[name]) for name in names])
    except ValueError as error:
        raise InputError(f"{path}: {error}; a score is a number") from None
    if not np.isfinite(scores).all():
        raise InputError(f"{path}: some scores are not finite")
    return scores


def _read_column(path: Path, column: str, names: Sequence[str]) -> dict[str, str]:
    """Values of a column by photo, of those among `names`."""
    try:
        if path.stat().st_size > MAX_CSV_BYTES:
            raise InputError(f"{path}: more than the {MAX_CSV_BYTES:,} bytes that are read")
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.reader(file)
            header = next(rows, [])
            if "path" not in header or column not in header:
                raise InputError(f"{path}: the first line must name the columns path and {column}")
            at, wanted, of = header.index("path"), set(names), header.index(column)
            found: dict[str, str] = {}
            for row in rows:
                if len(row) != len(header) or row[at] not in wanted:
                    continue
                if found.setdefault(row[at], row[of]) != row[of]:
                    raise InputError(f"{path}: line {rows.line_num}: {row[at]} has another {column} in a line before")
    except OSError as error:
        raise unreadable(path, error) from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: not a CSV file in UTF-8: {error}") from None
    if not found:
        raise InputError(f"{path}: names none of the photos, such as {names[0]!r}")
    return found
