"""Memory that torch frees while it trains on a CPU stays with the process.

A training step takes and frees the same large arrays again and again. glibc gives each back to the system, which hands
it out as new pages full of zeros: up to half of a step's time. Kept, the memory of the process stays at its peak.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

TRIM_THRESHOLD, MMAP_THRESHOLD, MMAP_MAX = -1, -3, -4
"""Parameters of mallopt, by their numbers in malloc.h."""

AFTER = {TRIM_THRESHOLD: 64 << 20, MMAP_THRESHOLD: 32 << 20, MMAP_MAX: 1 << 16}
"""Where glibc's own adjustment ends, which stops once it was told anything."""


@contextmanager
def kept_memory() -> Iterator[None]:
    """Keep what is freed until the end, where the C library is glibc; elsewhere nothing changes."""
    if sys.platform != "linux" or not hasattr(libc := ctypes.CDLL(None), "mallopt"):
        yield
        return
    libc.mallopt(MMAP_MAX, 0)
    libc.mallopt(TRIM_THRESHOLD, -1)  # never
    try:
        yield
    finally:
        for parameter, value in AFTER.items():
            libc.mallopt(parameter, value)
        libc.malloc_trim(0)
