"""Datasets written: one class per format, in parts that worker processes write side by side."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple


class Encoded(NamedTuple):
    """One sample on its way from one format to another; its bytes are copied, not decoded.

    Attributes:
        number: its place in the source.
        label: from 0 to C - 1.
        path: `identity/image.jpg`, forward slashes, unique, the ending by the content.
        data: the bytes of the image file.
    """

    number: int
    label: int
    path: str
    data: bytes


class Part(NamedTuple):
    """Consecutive samples that lie in a file of their own.

    Attributes:
        number: of the part, from 0.
        first, samples: which of the source.
        file: where they are.
        facts: what `Writer.write` gave back.
    """

    number: int
    first: int
    samples: int
    file: Path
    facts: dict[str, Any]


class Writer(ABC):
    """Writes one dataset, in two steps that both can be killed and begun anew.

    The engine (`facezoo.data.convert`) cuts the source into parts. `write` puts one part into a file; several processes
    do so at once, and a part whose file is whole is not written again. `finish` makes the dataset of all the parts.
    Subclasses are frozen dataclasses of their options; the first is `path`.

    Attributes:
        path: what is written: a file or a folder.
        copies: whether `finish` copies the parts, which takes as much room again, instead of moving them.
        ordered: whether a reader gives the samples in the order in which they were written.
        alone: pattern of files of which a folder holds one only, because they share the name of a file beside them.
        complete: whether every sample and class is written; a verification pack holds those of its pairs.
    """

    path: Path
    copies: ClassVar[bool] = True
    ordered: ClassVar[bool] = True
    complete: ClassVar[bool] = True
    alone: ClassVar[str | None] = None

    @property
    def target(self) -> Path:
        """What appears at once when all is done: `path`, or the folder of its own in which it has to lie."""
        return self.path

    @property
    def pairs_file(self) -> Path | None:
        """Where the pairs of a verification pack are listed; None where the format has no place for them."""
        return None

    @property
    def own(self) -> frozenset[str]:
        """Names beside the folders of identities that files of the format have: no identity can be called so."""
        return frozenset()

    @property
    @abstractmethod
    def suffix(self) -> str:
        """Ending of the parts' files."""

    @abstractmethod
    def write(self, samples: Iterable[Encoded], file: Path) -> dict[str, Any]:
        """Write samples, in order, to a new file; give what `finish` needs to know, ready for JSON.

        The same samples give the same bytes. The engine renames the file once it is whole.
        """

    @abstractmethod
    def finish(self, parts: Sequence[Part], classes: Sequence[str]) -> list[Path]:
        """Make the dataset of the parts, which lie beside it on the same disk, and give its files.

        Every file appears whole or not at all. Parts that became files of the dataset are moved, the others left to
        the engine to remove. Called again after a kill it ends alike.
        """
