"""What a reader found wrong with its source, and what labels there are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.int64]

SHOWN = 3
"""How many examples a message names."""


@dataclass(frozen=True)
class Finding:
    """How often something was found, and where first."""

    count: int = 0
    first: tuple[str, ...] = ()

    @classmethod
    def of(cls, places: Iterable[str]) -> Finding:
        count, first = 0, []
        for place in places:
            if count < SHOWN:
                first.append(place)
            count += 1
        return cls(count, tuple(first))

    def __str__(self) -> str:
        return f"{self.count:,} ({', '.join(self.first)}{', ...' if self.count > len(self.first) else ''})"


NOTHING = Finding()


@dataclass(frozen=True)
class Problems:
    """What a reader found while it opened its data.

    Attributes:
        entries: images listed, before anything was left out.
        blank_lines: skipped; the places are file:line.
        missing: files that do not exist, left out.
        unreadable: files that do not decode, left out; they are looked for with check=true only.
        stray: images outside of any identity folder, left out.
        empty: identity folders without an image; they make no class.
        repeated: images listed more than once, all with the same label; they stay.
        gaps: integer labels between 0 and the largest that have no image; the others moved up.
        small: identities with fewer than min_images images, left out with their images.
    """

    entries: int
    blank_lines: Finding = NOTHING
    missing: Finding = NOTHING
    unreadable: Finding = NOTHING
    stray: Finding = NOTHING
    empty: Finding = NOTHING
    repeated: Finding = NOTHING
    gaps: Finding = NOTHING
    small: Finding = NOTHING

    def __bool__(self) -> bool:
        return any(self._findings().values())

    def _findings(self) -> dict[str, Finding]:
        found = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "entries"}
        return {name: finding for name, finding in found.items() if finding.count}

    def summary(self) -> str:
        """One sentence: the entries and, of each kind of problem, the count and the first places."""
        words = {
            "blank_lines": "blank lines skipped",
            "missing": "missing files left out",
            "repeated": "images listed again",
            "unreadable": "unreadable files left out",
            "stray": "images outside of identity folders left out",
            "empty": "empty identity folders",
            "gaps": "labels without an image",
            "small": "identities with too few images left out",
        }
        found = "; ".join(f"{words[name]}: {finding}" for name, finding in self._findings().items())
        return f"{self.entries:,} entries" + (f"; {found}" if found else "")


def present(values: Labels) -> NDArray[np.int64]:
    """The distinct labels in rising order; as np.unique, without sorting where labels are small."""
    if len(values) and values.min() >= 0 and values.max() <= table_size(values):
        return np.flatnonzero(np.bincount(values)).astype(np.int64)
    return np.unique(values)


def table_size(values: Labels) -> int:
    """Up to which label a table by label costs no more than the labels themselves."""
    return 4 * len(values) + 1000


def gaps(used: NDArray[np.int64]) -> Finding:
    """Whole numbers from 0 to the largest label that label nothing; `used` are those that do, rising."""
    if not len(used):
        return NOTHING
    steps = np.concatenate([[-1], used])
    before = steps[:-1][np.diff(steps) > 1]
    return Finding(int(used[-1]) + 1 - len(used), tuple(str(low + 1) for low in before[:SHOWN].tolist()))


def compact(values: Labels) -> tuple[NDArray[np.int64], Labels]:
    """The distinct values in rising order, and the place of each value among them."""
    used = present(values)
    if len(used) and used[0] >= 0 and used[-1] <= table_size(values):
        table = np.zeros(int(used[-1]) + 1, np.int64)
        table[used] = np.arange(len(used))
        return used, table[values]
    return used, np.searchsorted(used, values).astype(np.int64)
