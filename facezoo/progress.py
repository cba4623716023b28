"""Progress of long work: silent in the library, shown on standard error once the command line turns it on."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")

_shown = False


def show(on: bool = True) -> None:
    """Turn progress bars on or off for this process."""
    global _shown
    _shown = on


class Lines(logging.Handler):
    """Writes records on lines of their own, also while a bar is drawn."""

    def emit(self, record: logging.LogRecord) -> None:
        tqdm.write(self.format(record), file=sys.stderr)


def bar(total: int | None, what: str, unit: str = "it", initial: int = 0) -> tqdm:
    """A bar with throughput and ETA; on a pipe it writes a line every 15 s instead of redrawing."""
    interval = 0.2 if sys.stderr.isatty() else 15.0
    return tqdm(
        total=total,
        desc=what,
        unit=unit,
        initial=initial,
        disable=not _shown,
        mininterval=interval,
        maxinterval=max(interval, 10.0),
        file=sys.stderr,
        dynamic_ncols=True,
    )


def track(items: Iterable[T], what: str, unit: str = "it", total: int | None = None) -> Iterable[T]:
    """The items again, with a bar beside them."""
    if total is None and hasattr(items, "__len__"):
        total = len(items)  # type: ignore[arg-type]
    with bar(total, what, unit) as progress:
        for item in items:
            yield item
            progress.update()
