"""Pairs of photos: lists of `left right label` lines, and pairs drawn from labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from facezoo.files import unreadable, whole_text
from facezoo.types import InputError

MAX_LIST_BYTES = 2_000_000_000
"""Larger pair lists are refused before they are read."""


class Pairs(NamedTuple):
    """Pairs of samples of a dataset: their indices (P,), and whether both show one person (P,)."""

    left: NDArray[np.intp]
    right: NDArray[np.intp]
    same: NDArray[np.bool_]

    def among(self, kept: NDArray[np.signedinteger[Any]], count: int) -> Pairs:
        """The pairs of which both samples are among `kept`, rising, of `count`; indices count those."""
        place = np.full(count, -1, np.intp)
        place[kept] = np.arange(len(kept))
        whole = (place[self.left] >= 0) & (place[self.right] >= 0)
        return Pairs(place[self.left[whole]], place[self.right[whole]], self.same[whole])


def joined(left: NDArray[np.integer[Any]], right: NDArray[np.integer[Any]], count: int) -> NDArray[np.intp]:
    """A number (N,) for each of `count` items, the same for those that a chain of pairs (P,) connects."""
    from scipy.sparse import coo_array  # here: who reads other data need not wait for it
    from scipy.sparse.csgraph import connected_components

    links = coo_array((np.ones(len(left), bool), (left, right)), shape=(count, count))
    return connected_components(links, directed=False)[1].astype(np.intp)


@dataclass(frozen=True, eq=False)
class PairList:
    """Names of the photos of each pair, in the order of the file.

    Attributes:
        left, right: photo names, paths with / below the folder of the photos.
        same: (P,).
        folds: how many the header announces; None without a header.
        announced: pairs the header announces; None without a header.
    """

    left: list[str]
    right: list[str]
    same: NDArray[np.bool_]
    folds: int | None = None
    announced: int | None = None

    def photos(self) -> tuple[list[str], NDArray[np.intp], NDArray[np.intp]]:
        """Distinct names in order of appearance, and for each pair the indices of its two photos, (P,)."""
        index: dict[str, int] = {}
        left, right = [], []
        for a, b in zip(self.left, self.right):
            left.append(index.setdefault(a, len(index)))
            right.append(index.setdefault(b, len(index)))
        return list(index), np.array(left, np.intp), np.array(right, np.intp)


def read_pairs(path: Path) -> PairList:
    """A list with a pair on each line, `left right label`, or on two lines, `left label` and `right label`.

    A label above 0 is a genuine pair; in the second form that of the first line counts, as in CPLFW and CALFW.
    Blank lines are skipped; fields are parted by tabs where a line has some, else by blanks.
    """
    rows = list(pair_lines(path))
    width = len(rows[0][1]) if rows else 3
    if width not in (2, 3):
        raise InputError(f"{path}: line {rows[0][0]}: 'left right label' or 'photo label' was expected")
    for number, fields in rows:
        if len(fields) != width:
            raise InputError(f"{path}: line {number}: {len(fields)} fields, the first line has {width}")
    if width == 2 and len(rows) % 2:
        raise InputError(f"{path}: a pair takes two lines, but there are {len(rows)}")
    firsts, seconds = (rows, rows) if width == 3 else (rows[::2], rows[1::2])
    return not_empty(
        path,
        PairList(
            [inside(path, number, fields[0]) for number, fields in firsts],
            [inside(path, number, fields[1 if width == 3 else 0]) for number, fields in seconds],
            np.array([_genuine(path, number, fields[-1]) for number, fields in firsts], bool),
        ),
    )


def _genuine(path: Path, number: int, text: str) -> bool:
    try:
        return int(text) > 0
    except ValueError:
        raise InputError(f"{path}: line {number}: label {text!r} is not a whole number") from None


def pair_lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Number and fields of each line that is not blank."""
    try:
        if path.stat().st_size > MAX_LIST_BYTES:
            raise InputError(f"{path}: more than the {MAX_LIST_BYTES:,} bytes that are read")
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    fields = line.split("\t") if "\t" in line else line.split()
                    yield number, [field.strip() for field in fields if field.strip()]
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a text file in UTF-8: {error.reason}") from None
    except OSError as error:
        raise unreadable(path, error) from None


def inside(path: Path, number: int, name: str) -> str:
    """The name, if it stays below the folder of the photos."""
    parts = PurePosixPath(name.replace("\\", "/"))
    if parts.is_absolute() or ".." in parts.parts or not parts.parts or ":" in parts.parts[0]:
        raise InputError(f"{path}: line {number}: {name!r} leaves the folder of the photos")
    return str(parts)


def not_empty(path: Path, pairs: PairList) -> PairList:
    if not pairs.left:
        raise InputError(f"{path}: there are no pairs in it")
    return pairs


def write_pairs(path: Path, pairs: Pairs, name: Callable[[int], str]) -> None:
    """Write pairs of samples for `read_pairs`: a line `left right label` each, parted by tabs, label 1 or 0.

    Args:
        name: the path of a sample below the folder of the photos.

    Raises:
        InputError: a path that such a list cannot hold.
    """
    with whole_text(path) as file:
        for left, right, same in zip(*(column.tolist() for column in pairs), strict=True):
            names = name(left), name(right)
            if bad := next((text for text in names if set(text) & set("\t\r\n") or text != text.strip()), None):
                raise InputError(f"{path}: {bad!r} cannot stand in a list of pairs; rename the image")
            file.write(f"{names[0]}\t{names[1]}\t{int(same)}\n")


def draw_pairs(identity: NDArray[np.intp], pairs: int, seed: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Indices (P,) of distinct pairs of photos with the identities (N,): genuine ones first, half if there are enough.

    Either kind is in random order, so that every fold holds pairs of all people: folds of one or two people would
    weigh next to nothing in some resamples of identities, and the interval would miss the accuracy it belongs to.

    Raises:
        InputError: no genuine or no impostor pair exists.
    """
    if pairs < 2:
        raise InputError(f"pairs: {pairs} pairs were asked for, there must be 2 or more")
    if seed < 0:
        raise InputError(f"pairs: seed is {seed}, it must be 0 or more")
    generator = np.random.default_rng(seed)
    order = np.argsort(identity, kind="stable")
    starts = np.flatnonzero(np.diff(identity[order], prepend=-1))
    sizes = np.diff(np.append(starts, len(order)))
    # Every pair has a rank: genuine ones person by person, impostor ones photo by photo with those of later people.
    genuine_ends = np.cumsum(sizes * (sizes - 1) // 2)
    impostor_ends = np.cumsum(len(order) - np.repeat(starts + sizes, sizes))
    if not len(order) or not genuine_ends[-1] or not impostor_ends[-1]:
        raise InputError("pairs: two people and a second photo of one of them are needed")
    genuine = min(pairs // 2, int(genuine_ends[-1]))
    impostor = min(pairs - genuine, int(impostor_ends[-1]))
    rank = generator.choice(int(genuine_ends[-1]), genuine, replace=False)
    person = np.searchsorted(genuine_ends, rank, side="right")
    rank = rank - np.append(0, genuine_ends)[person]
    second = ((1 + np.sqrt(1 + 8 * rank)) // 2).astype(np.intp)
    first = rank - second * (second - 1) // 2
    rank = generator.choice(int(impostor_ends[-1]), impostor, replace=False)
    position = np.searchsorted(impostor_ends, rank, side="right")
    other = len(order) - 1 - (rank - np.append(0, impostor_ends)[position])
    left = np.concatenate([starts[person] + first, position])
    right = np.concatenate([starts[person] + second, other])
    return order[left], order[right]
