"""Work cut into pieces, done in this process or in several."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

import cv2

from facezoo.types import InputError

S = TypeVar("S")
T = TypeVar("T")

_work: Callable[[Any], Any] | None = None


def check_workers(workers: int) -> None:
    if workers < 1:
        raise InputError(f"workers is {workers}, it must be 1 or more")


def processors() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def spread(work: Callable[[S], T], pieces: Sequence[S], workers: int) -> Iterator[tuple[S, T]]:
    """`work(piece)` for every piece, given as they end; `work` is pickled once for each process, a piece when its turn
    comes.

    The first error ends it: pieces that have not begun are not done. Workers end with this process, however it ends.

    Raises:
        InputError: fewer than one worker, or one that was killed.
    """
    check_workers(workers)
    workers = min(workers, len(pieces))
    if workers <= 1:
        for piece in pieces:
            yield piece, work(piece)
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, initializer=_start, initargs=(work,))
    try:
        futures = {pool.submit(_piece, piece): piece for piece in pieces}
        for future in as_completed(futures):
            yield futures.pop(future), future.result()
    except BrokenProcessPool:
        raise InputError(
            "a worker process was killed, perhaps for want of memory: the same command goes on; fewer workers take less"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _start(work: Callable[[Any], Any]) -> None:
    global _work
    _work = work
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent stops the work
    cv2.setNumThreads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A killed parent tells nobody, and its workers would wait for work for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _piece(piece: Any) -> Any:
    assert _work is not None
    return _work(piece)
