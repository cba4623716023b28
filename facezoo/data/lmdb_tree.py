"""The pages of an LMDB file, followed from the root: what LMDB's library takes on trust is checked before."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from facezoo.types import InputError

HEAD, NODE = 16, 8
"""Bytes of a page's head and of a node's."""

BRANCH, LEAF, OVERFLOW = 1, 2, 4
KIND = 0x6F
"""Flags of a page that tell what it is; the others are those of a running transaction."""

LARGE = 1
"""Of a node: its value lies on pages of its own."""

EMPTY = 2**64 - 1
"""Root of a database without an entry."""


class Tree(NamedTuple):
    """Where the tree of a database is, by its newest meta page."""

    page_size: int
    last_page: int
    root: int


def check_tree(file: Path, tree: Tree) -> None:
    """Follow every page of a database; its values are not read.

    The library reads wherever a page points to, and beyond the end of the file that ends the process.

    Args:
        file: as long as its pages, which is known already.
        tree: of it.

    Raises:
        InputError: a page that is none, or points out of itself or out of the file.
    """
    if tree.root == EMPTY:
        return
    size, count = tree.page_size, tree.last_page + 1
    data = np.memmap(file, np.uint8, "r", shape=(count, size))
    layout = {
        "names": ["number", "flags", "lower", "upper", "pages"],
        "formats": ["<u8", "<u2", "<u2", "<u2", "<u4"],
        "offsets": [0, 10, 12, 14, 12],
        "itemsize": size,
    }
    heads = np.ndarray(count, np.dtype(layout), buffer=data)  # type: ignore[call-overload]
    seen = np.zeros(count, bool)
    left = [tree.root]
    while left:
        number = left.pop()
        if not 2 <= number < count or seen[number]:
            raise _damaged(file, number)
        seen[number] = True
        below = _check_page(data[number], heads, number)
        if below is None:
            raise _damaged(file, number)
        left += below


def _check_page(page: NDArray[np.uint8], heads: NDArray[np.void], number: int) -> list[int] | None:
    """The pages below this one; None if it is damaged."""
    head, size = heads[number], len(page)
    lower, upper, kind = int(head["lower"]), int(head["upper"]), int(head["flags"]) & KIND
    if head["number"] != number or kind not in (BRANCH, LEAF) or not HEAD < lower <= upper <= size or lower % 2:
        return None
    places = page[HEAD:lower].view("<u2").astype(np.int64)
    if places.min() < upper or places.max() > size - NODE:
        return None
    low, high, flags, key = page[places[:, None] + np.arange(NODE)].view("<u2").astype(np.int64).T
    ends = places + NODE + key
    if kind == BRANCH:
        if len(places) < 2 or ends.max() > size:
            return None
        return (low | high << 16 | flags << 32).tolist()
    length, large = low | high << 16, flags == LARGE
    if not (large | (flags == 0)).all() or (ends + np.where(large, 8, length)).max() > size:
        return None
    # A number beyond 2^63 turns negative, and is refused as well.
    first = page[ends[large][:, None] + np.arange(8)].view("<i8").ravel()
    if len(first) and (first.min() < 2 or first.max() >= len(heads)):
        return None
    pages = heads["pages"][first].astype(np.int64)
    whole = (heads["flags"][first] & KIND == OVERFLOW) & (first + pages <= len(heads))
    return [] if (whole & (HEAD + length[large] <= pages * size)).all() else None


def _damaged(file: Path, number: int) -> InputError:
    return InputError(f"{file}: page {number:,} of its tree is damaged; copy the file anew")
