"""Reading in threads while others compute: in order, and only so far ahead."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from facezoo.data.workers import processors

S = TypeVar("S")
T = TypeVar("T")

THREADS = min(16, processors())


def ahead(work: Callable[[S], T], items: Iterable[S], waiting: int = 128) -> Iterator[T]:
    """`work` of each item, in order, done in threads; at most `waiting` results are held, however many items there are.

    What `work` raises is raised where its result would have come.
    """
    results: deque[Future[T]] = deque()
    with ThreadPoolExecutor(THREADS, thread_name_prefix="facezoo-ahead") as pool:
        try:
            for item in items:
                results.append(pool.submit(work, item))
                if len(results) >= waiting:
                    yield results.popleft().result()
            while results:
                yield results.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
