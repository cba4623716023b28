"""All pairs of photos compared: the upper triangle in blocks of matrix products, counted as they come."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from hashlib import sha256
from pathlib import Path
from threading import Event
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from facezoo import progress
from facezoo.data.ahead import THREADS, ahead
from facezoo.evaluation.pair_counts import Equal, PairCounts, crossed_pairs, same_pairs
from facezoo.evaluation.tails import BINS, STEPS, End, Look, Tail, check_state, cosines, load_state, save_state
from facezoo.types import FloatArray, InputError

PANEL, STRIP = 8192, 1024
"""Photos on either side that are read at once, and rows of one matrix product: 32 MB of scores."""

WAITING = THREADS + 1
"""Strips that are worked on or wait to be taken: one a thread, and one that is done."""

SAVE_EVERY = 20.0
"""Seconds between two writings of the state; it is written between panels of up to 8,192 x 8,192 pairs."""

KEEP = 1 << 21
KEEP_GENUINE = 1 << 22


def check_count(what: str, identity: NDArray[np.intp], equal: Equal, keep: int, state: Path | None) -> None:
    """Refuse what `count_pairs` could not do with photos of these people (N,), before they are embedded."""
    if equal not in ("pairs", "identities"):
        raise InputError(f"{what}: equal is {equal!r}, it must be pairs or identities")
    if keep < 1:
        raise InputError(f"{what}: keep is {keep}, it must be 1 or more")
    sizes = np.unique(identity, return_counts=True)[1]
    if len(sizes) < 2 or sizes.max() < 2:
        raise InputError(f"{what}: two people and a second photo of one of them are needed")
    if state is not None:
        check_state(state)


def check_held(root: Path, identity: NDArray[np.intp], equal: Equal, keep: int) -> None:
    """Refuse curves over a quality score, which take every pair and all alike, where not every pair is held."""
    sizes = np.bincount(identity)
    genuine = int((sizes * (sizes - 1)).sum() // 2)
    impostor = len(identity) * (len(identity) - 1) // 2 - genuine
    if impostor > keep or genuine > KEEP_GENUINE:
        raise InputError(
            f"{root}: quality= takes the scores of all {impostor:,} impostor and {genuine:,} genuine pairs, of which "
            f"{keep:,} and {KEEP_GENUINE:,} are held; give keep={impostor}, or take folder:root={root},quality=..."
        )
    if equal != "pairs":
        raise InputError(f"{root}: quality= takes every pair alike; leave equal={equal} out")


def count_pairs(
    embeddings: FloatArray,
    identity: NDArray[np.intp],
    failed: NDArray[np.bool_] | None = None,
    *,
    equal: Equal = "pairs",
    keep: int = KEEP,
    state: Path | None = None,
    what: str = "all pairs",
    copies: bool = False,
) -> PairCounts:
    """Compare every photo with every other, or with the copy of every other.

    Memory beside the embeddings: a few panels of `PANEL` rows, three times what is kept, and the scores of `WAITING`
    strips, or three times so much where identities count alike.

    Args:
        embeddings: (N, D), normalised or not, any float type, a memory map if need be.
        identity: of each photo, (N,).
        failed: photos without a face, (N,).
        keep: impostor scores held singly. FMR is exact up to keep / impostor pairs, above to a bin of 3e-5.
        state: file from which an interrupted count goes on; removed at the end.
        what: for the progress bar.
        copies: the second half of the photos are copies of the first, in their order: each photo of the first is
            compared with the copies of all others.

    Raises:
        InputError: shapes differ, embeddings are not finite, no genuine or no impostor pair, or another count's state.
    """
    if embeddings.ndim != 2 or identity.shape != (len(embeddings),):
        raise InputError(f"{what}: embeddings of shape {embeddings.shape} for {len(identity)} photos of known people")
    check_count(what, identity, equal, keep, state)
    codes = np.unique(identity, return_inverse=True)[1].astype(np.intp)
    lost = np.zeros(len(codes), bool) if failed is None else np.asarray(failed, bool)
    first = len(codes) // 2 if copies else len(codes)
    sizes = np.bincount(codes[:first])
    orders = [np.argsort(part, kind="stable") for part in ((codes[:first], codes[first:]) if copies else (codes,))]
    rows, columns = (order[~lost[order]] for order in (orders[0], orders[-1] + len(codes) - first))
    if min(len(rows), len(columns)) < 2:
        raise InputError(
            f"{what}: {'only one photo has' if len(rows) and len(columns) else 'no photo has'} a face; nothing is left "
            "to compare"
        )
    share = 1 / sizes[codes] if equal == "identities" else None
    if share is not None and copies:
        share /= np.sqrt(2)  # two photos are compared twice
    tail = Tail(keep)
    kind = f"{equal} of copies" if copies else equal
    key = f"{count_digest(embeddings, codes, lost)} {kind} {keep} {PANEL} {STRIP}" if state else ""
    done = load_state(state, key, tail) if state else 0
    panels, saved = _panels(len(rows), len(columns) if copies else None), time.monotonic()
    ended = Event()
    # Threads of the product's own would wait for what counts, and it for them: here each does both, a strip at a time.
    with (
        progress.bar(len(panels), what, "block", initial=done) as bar,
        threadpool_limits(1, "blas"),
        ThreadPoolExecutor(1) as beside,
    ):
        pairs = crossed_pairs(orders[0], codes[:first], lost) if copies else same_pairs(rows, codes)
        counted = beside.submit(_genuine, embeddings, pairs, codes, sizes if share is not None else None, copies, ended)
        strips = _strips(embeddings, rows, columns, panels[done:], copies)
        try:
            for strip, look in ahead(partial(_look, tail, codes, share, copies), strips, WAITING):
                tail.take(look, partial(_photos, strip.left, strip.right))
                if not strip.last:
                    continue
                done += 1
                bar.update()
                if state and time.monotonic() - saved >= SAVE_EVERY:
                    save_state(state, key, done, tail)
                    saved = time.monotonic()
            genuine = counted.result()
        finally:
            ended.set()
    if state:
        state.unlink(missing_ok=True)
    # Of D products and sums in float32, of two norms and divisions, and of the scaling.
    error = (embeddings.shape[1] + 8) * float(np.finfo(np.float32).eps) / 2
    impostor = tail.end(None if share is None else lambda left, right: share[left] * share[right])
    return PairCounts(codes, lost, impostor, genuine, equal, error, copies)


def _panels(rows: int, columns: int | None = None) -> list[tuple[slice, slice]]:
    """All panels, or those of the upper triangle where photos are compared with themselves."""
    down, across = (
        [slice(start, min(start + PANEL, photos)) for start in range(0, photos, PANEL)]
        for photos in (rows, rows if columns is None else columns)
    )
    return [(part, other) for part in down for other in across if columns is not None or other.start >= part.start]


class _Strip(NamedTuple):
    """Some rows of a panel: photos of either side, (L,) and (R,), and their unit vectors; the left ones by `STEPS`."""

    left: NDArray[np.intp]
    right: NDArray[np.intp]
    left_rows: FloatArray
    right_rows: FloatArray
    last: bool


def _strips(
    embeddings: FloatArray,
    photos: NDArray[np.intp],
    others: NDArray[np.intp],
    panels: list[tuple[slice, slice]],
    whole: bool,
) -> Iterator[_Strip]:
    """The strips of all panels; unless they are whole, what lies before a strip in one on the diagonal was compared
    already."""
    of, left_rows = slice(0), np.empty(0)
    for rows, columns in panels:
        if rows != of:
            of, left_rows = rows, _unit_rows(embeddings, photos[rows]) * np.float32(STEPS)
        left, right, right_rows = photos[rows], others[columns], _unit_rows(embeddings, others[columns])
        for start in range(0, len(left), STRIP):
            part, first = slice(start, start + STRIP), start if rows == columns and not whole else 0
            last = start + STRIP >= len(left)
            yield _Strip(left[part], right[first:], left_rows[part], right_rows[first:], last)


def _look(
    tail: Tail, codes: NDArray[np.intp], share: FloatArray | None, whole: bool, strip: _Strip
) -> tuple[_Strip, Look]:
    """The impostor pairs of a strip; photos are in the order of their people."""
    left, right = strip.left, strip.right
    scaled = strip.left_rows @ strip.right_rows.T
    # Photos of one person, and the lower triangle unless it counts: their people come earlier or are the same.
    near = int(np.searchsorted(codes[right], codes[left[-1]], side="right"))
    own = np.equal if whole else np.greater_equal
    scaled[:, :near][own(codes[left][:, None], codes[right[:near]][None, :])] = -BINS // 2
    return strip, tail.look(scaled, None if share is None else np.outer(share[left], share[right]))


def _unit_rows(embeddings: FloatArray, index: NDArray[np.intp]) -> FloatArray:
    rows = np.asarray(embeddings[index], np.float32)
    norms = np.sqrt(np.einsum("nd,nd->n", rows, rows, dtype=np.float64))
    if not np.isfinite(norms).all():
        raise InputError("all pairs: some embeddings are not finite")
    return rows / np.where(norms == 0, 1, norms).astype(np.float32)[:, None]


def _photos(
    left: NDArray[np.intp], right: NDArray[np.intp], places: NDArray[np.intp]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The photos of places in a flat block of left x right."""
    row = places // len(right)  # half the time of divmod
    return left[row], right[places - row * len(right)]


def _genuine(
    embeddings: FloatArray,
    pairs: Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]],
    codes: NDArray[np.intp],
    sizes: NDArray[np.int64] | None,
    copies: bool,
    ended: Event,
) -> End:
    """The genuine pairs, in float64, negated; with sizes (I,) each identity counts alike. Given up once `ended` is set:
    an error or Ctrl-C elsewhere must not wait for them."""
    tail = Tail(KEEP_GENUINE)

    def weigh(left: NDArray[np.integer], _: NDArray[np.integer]) -> FloatArray:
        assert sizes is not None
        n = sizes[codes[left]]
        return (1 if copies else 2) / (n * (n - 1.0))

    for left, right in pairs:
        if ended.is_set():
            break
        scaled = np.clip(-cosines(embeddings, left, right), -1, 1) * STEPS
        weights = None if sizes is None else weigh(left, right)
        tail.add(scaled, partial(_taken, left, right), weights)
    return tail.end(None if sizes is None else weigh)


def _taken(
    left: NDArray[np.intp], right: NDArray[np.intp], places: NDArray[np.intp]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    return left[places], right[places]


def count_digest(embeddings: FloatArray, identity: NDArray[np.integer], failed: NDArray[np.bool_]) -> str:
    """SHA-256 of embeddings (N, D), the people (N,) and the photos without a face (N,): what was counted."""
    digest = sha256(f"{embeddings.shape} {embeddings.dtype}".encode())
    for start in range(0, len(embeddings), PANEL):
        digest.update(np.ascontiguousarray(embeddings[start : start + PANEL]).data)
    digest.update(np.asarray(identity, np.int64).tobytes())
    digest.update(np.asarray(failed, bool).tobytes())
    return digest.hexdigest()
