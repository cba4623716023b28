"""The lines of list files, `path label`: millions in a second or two, and to the line what is wrong with them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facezoo.data.dataset import Names
from facezoo.data.problems import Finding, Labels
from facezoo.files import unreadable
from facezoo.types import InputError

MAX_DIGITS = 18
"""Of a label: what fits 64 bits."""

BLOCK_BYTES = 1 << 22
"""Read at once: what a block needs besides stays small, whatever the list's length."""

MAX_LINE = (1 << 16) - 1
"""Longer lines are refused: the file is no list."""

_STRANGE = (b"\r", b"\x0b", b"\x0c", b"..")
"""Blocks that hold these are read line by line: other line ends and blanks, and paths that may lead upwards."""
_NEWLINE, _BLANK, _TAB, _SLASH, _BACKSLASH, _COLON, _ZERO = b"\n \t/\\:0"


def read_lines(path: Path, root: Path) -> tuple[Names, Labels, Finding]:
    """Relative paths, label values and blank lines of a list.

    Args:
        path: the list, UTF-8.
        root: what the paths are relative to.

    Raises:
        InputError: unreadable, not UTF-8, a line that is not `path label`, or a path that leads out of the root; with
            file:line.
    """
    labels: list[Labels] = []
    blank: list[int] = []

    def texts() -> Iterator[tuple[bytes, Lengths]]:
        first = 1
        for block in _blocks(path):
            if (read := _read_block(block)) is None:
                read = _read_line_by_line(block, first, path, root, blank)
            text, lengths, values = read
            labels.append(values.astype(np.min_scalar_type(values.max(initial=0))))  # kept twice while it is read
            first += block.count(b"\n")
            yield text, lengths.astype(np.uint16)

    try:
        names = Names.joined(texts())
    except OSError as error:
        raise unreadable(path, error) from None
    if not len(names):
        raise InputError(f"{path}: the list holds no `path label` line")
    places = (f"{path.name}:{number}" for number in blank)
    return names, np.concatenate(labels, dtype=np.int64), Finding.of(places)


def list_line(path: str, label: int) -> str:
    """The line of an image, as `read_lines` reads it.

    Raises:
        InputError: a path that a line cannot hold.
    """
    if not holds(path):
        raise InputError(f"the path {path!r} cannot stand in a list; rename it or choose another format")
    return f"{path}\t{label}\n"


def holds(text: str) -> bool:
    """Whether a field of a line keeps the text as it is: one line, no blanks around it."""
    return text == text.strip() and len(text.splitlines()) == 1


Lengths = NDArray[np.unsignedinteger[Any]]
Lines = tuple[bytes, NDArray[np.int64], Labels]
"""The paths, one behind the other, their lengths in bytes, and the labels."""


def _blocks(path: Path) -> Iterator[bytes]:
    """Whole lines, each ending with a line feed, without the byte order mark of Windows editors."""
    rest, line = b"", 1
    with path.open("rb", buffering=0) as file:
        while piece := file.read(BLOCK_BYTES):
            if line == 1 and not rest:
                piece = piece.removeprefix(b"\xef\xbb\xbf")
            whole, feed, end = piece.rpartition(b"\n")
            if feed:
                block = rest + whole + feed
                yield _text(block, path, line)
                rest, line = end, line + block.count(b"\n")
            else:
                rest += end
            if len(rest) > MAX_LINE:
                raise InputError(f"{path}:{line}: longer than {MAX_LINE:,} bytes; it is not a list")
    if rest:
        yield _text(rest + b"\n", path, line)


def _text(block: bytes, path: Path, line: int) -> bytes:
    try:
        if not block.isascii():
            block.decode()
    except UnicodeDecodeError as error:
        line += block.count(b"\n", 0, error.start)
        raise InputError(f"{path}:{line}: not UTF-8; save the list as UTF-8") from None
    if (zero := block.find(b"\0")) >= 0:
        line += block.count(b"\n", 0, zero)
        raise InputError(f"{path}:{line}: holds a zero byte; it is not a text file")
    return block


def _read_block(block: bytes) -> Lines | None:
    """A block in which every line is a path, one blank or tab, and a label; None if a line is anything else."""
    block = block.replace(b"\r\n", b"\n")
    if any(strange in block for strange in _STRANGE):
        return None
    text = np.frombuffer(block, np.uint8)
    ends = np.flatnonzero(text == _NEWLINE)
    starts = np.concatenate([[0], ends[:-1] + 1])
    blanks = np.flatnonzero((text == _BLANK) | (text == _TAB))
    last = np.searchsorted(blanks, ends) - 1
    if last[0] < 0:
        return None
    cuts = blanks[last]
    digits = ends - cuts - 1
    if (cuts <= starts).any() or digits.min() < 1 or digits.max() > MAX_DIGITS:
        return None
    first, second, before = text[starts], text[starts + 1], text[cuts - 1]
    if np.isin(first, (_BLANK, _TAB, _SLASH, _BACKSLASH)).any() or (second == _COLON).any():
        return None
    if np.isin(before, (_BLANK, _TAB)).any():
        return None
    labels = np.zeros(len(ends), np.int64)
    for place in range(1, int(digits.max()) + 1):
        within = place <= digits
        digit = text[np.minimum(cuts + place, ends)] - np.uint8(_ZERO)  # what is no digit wraps to above 9
        if (digit[within] > 9).any():
            return None
        labels = np.where(within, labels * 10 + digit, labels)
    turns = np.zeros(len(text), np.uint8)
    turns[starts] = turns[cuts] = 1
    return text[np.bitwise_xor.accumulate(turns).view(bool)].tobytes(), cuts - starts, labels


def _read_line_by_line(block: bytes, first: int, path: Path, root: Path, blank: list[int]) -> Lines:
    """Any block; the numbers of its blank lines are added to `blank`."""
    names: list[bytes] = []
    labels: list[int] = []
    for number, line in enumerate(block[:-1].split(b"\n"), first):
        parts = line.rsplit(None, 1)
        if len(parts) == 2 and parts[1].isdigit() and len(parts[1]) <= MAX_DIGITS:
            name = parts[0].strip()
            if b".." in name or name[:1] in b"/\\" or name[1:2] == b":":
                name = _inside(name, root, f"{path}:{number}")
            names.append(name)
            labels.append(int(parts[1]))
        elif parts:
            shown = line.strip().decode()[:80]
            raise InputError(f"{path}:{number}: {shown!r} is not `path label` with a whole number from 0 as label")
        else:
            blank.append(number)
    return b"".join(names), np.array([len(name) for name in names], np.int64), np.array(labels, np.int64)


def _inside(name: bytes, root: Path, place: str) -> bytes:
    """The path relative to the root; a path that leads out of it is refused."""
    top = os.path.abspath(root)  # noqa: PTH100 - without following links, unlike Path.resolve
    full = os.path.abspath(os.path.join(top, name.decode()))  # noqa: PTH100, PTH118
    inside = os.path.relpath(full, top)
    if inside.startswith(os.pardir) or os.path.isabs(inside):  # noqa: PTH117
        raise InputError(f"{place}: {name.decode()!r} lies outside {root}; set root to a folder above all images")
    return Path(inside).as_posix().encode()
