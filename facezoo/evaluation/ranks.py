"""Exact ranks and largest scores against galleries of any size: blocked products, bounded memory."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from facezoo.data.ahead import THREADS, ahead
from facezoo.evaluation.vectors import Integers, Vectors, pair_scores
from facezoo.types import FloatArray

PROBES = 4096
"""Probes at a time."""

STRIP = 512
"""Probes in one matrix product; with a block of the gallery 4 MB of scores, which a processor still holds near."""

WAITING = THREADS + 1
"""Blocks that are worked on or wait to be taken: one a thread, and one that is done."""

SPARE = 4
"""So many more than asked for are held by their float32 products, so that the exact order is found among them."""

SLACK = 1e-5
"""Far above the rounding of a float32 product of unit vectors: what is closer than this is scored again in float64."""

CROWD = 256
"""Of more that are so close in one block none is scored again to find the largest."""


def _products(probes: FloatArray, block: FloatArray, begins: Integers) -> FloatArray:
    scores = probes @ block.T
    return scores if len(begins) == len(block) else np.maximum.reduceat(scores, begins, axis=1)


class Top(NamedTuple):
    """The k largest scores of each probe (P, k), float64, falling, and whose; -inf and -1 where there are fewer."""

    scores: FloatArray
    places: Integers


class Better(NamedTuple):
    """The best of a block for the probes that it has anything better for: their numbers (n,), scores and places (n, w),
    filled up with -inf."""

    rows: Integers
    scores: FloatArray
    places: Integers


def running_top(probes: Vectors, gallery: Vectors, k: int, sizes: Sequence[int]) -> list[Top]:
    """The k largest scores of each probe among the first `size` identities of the gallery, for each size.

    Memory is that of a few blocks, whatever the gallery; one pass serves all sizes.
    """
    parts: list[list[Top]] = [[] for _ in sizes]
    stops = [size for size in sizes if size < len(gallery)]
    for first in range(0, len(probes.rows), PROBES):
        left = probes.read(slice(first, first + PROBES))
        values = np.full((len(left), k + SPARE), -np.inf, np.float32)
        places = np.full((len(left), k + SPARE), -1, np.intp)
        # A block may be looked at before those ahead of it are merged: what it then finds too much is left out there.
        spans = ((start, stop, values[:, -1].copy()) for start, stop in gallery.spans(stops))
        # Each thread multiplies and looks for itself: threads of the product's own would wait for the looking.
        with threadpool_limits(1, "blas"):
            for stop, found in ahead(partial(_look, left, gallery, k + SPARE), spans, WAITING):
                for better in found:
                    _merge(values, places, better)
                for part, size in zip(parts, sizes):
                    if size == stop:
                        part.append(_exact(probes, first, gallery, values, places, k, size))
    return [Top(*(np.concatenate(arrays) for arrays in zip(*part))) for part in parts]


def _look(left: FloatArray, gallery: Vectors, k: int, span: tuple[int, int, FloatArray]) -> tuple[int, list[Better]]:
    """The end of a block, and for each strip of the probes the up to k scores above their lowest."""
    start, stop, lowest = span
    block, begins = gallery.block(start, stop)
    found = []
    for first in range(0, len(left), STRIP):
        strip = slice(first, first + STRIP)
        better = _better(_products(left[strip], block, begins), lowest[strip], k)
        found.append(Better(better.rows + first, better.scores, better.places + start))
    return stop, found


def _better(scores: FloatArray, lowest: FloatArray, k: int) -> Better:
    """The up to k largest of each probe's scores (P, N) that exceed its lowest (P,)."""
    rows = np.flatnonzero(scores.max(axis=1) > lowest)  # after the first blocks few
    found = scores[rows]
    row, column = np.nonzero(found > lowest[rows, None])
    counts = np.bincount(row, minlength=len(rows))
    offset = np.arange(len(row)) - (np.cumsum(counts) - counts)[row]
    values = np.full((len(rows), int(counts.max(initial=0))), -np.inf, scores.dtype)
    places = np.zeros(values.shape, np.intp)
    values[row, offset], places[row, offset] = found[row, column], column
    if values.shape[1] > k:
        kept = np.sort(np.argpartition(values, -k, axis=1)[:, -k:], axis=1)  # of equals the first comes first
        values, places = np.take_along_axis(values, kept, 1), np.take_along_axis(places, kept, 1)
    return Better(rows, values, places)


def _merge(values: FloatArray, places: Integers, better: Better) -> None:
    """Put what exceeds a probe's smallest value (P, k) in its place; what only fills up never does."""
    rows = better.rows
    both = np.concatenate([values[rows], better.scores], axis=1)
    whose = np.concatenate([places[rows], better.places], axis=1)
    order = np.argsort(-both, axis=1, kind="stable")[:, : values.shape[1]]
    values[rows], places[rows] = np.take_along_axis(both, order, 1), np.take_along_axis(whose, order, 1)


def _exact(
    probes: Vectors, first: int, gallery: Vectors, values: FloatArray, places: Integers, k: int, size: int
) -> Top:
    """The k largest, by their exact scores, of those that the float32 products (P, k + SPARE) have found.

    Where the smallest of these products is so near that one left out may be larger, all near ones are looked for again;
    but not those of a probe with more than `CROWD` in a block, such as copies, of which any are as good to 1e-5.
    """
    top = _rescored(probes, first, gallery, places)
    scores, whose = top.scores[:, :k], top.places[:, :k]
    doubtful = np.flatnonzero(values[:, -1] + SLACK >= scores[:, -1])
    if not len(doubtful) or size <= places.shape[1]:
        return Top(scores, whose)
    left, lowest = probes.read(first + doubtful), (scores[doubtful, -1] - SLACK).astype(np.float32)
    crowded = np.zeros(len(doubtful), bool)
    exact, found = np.full((len(doubtful), k), -np.inf), np.full((len(doubtful), k), -1, np.intp)
    for start, stop in gallery.spans([size]):
        if start >= size:
            break
        products = _products(left, *gallery.block(start, stop))
        crowded |= np.count_nonzero(products >= lowest[:, None], axis=1) > CROWD
        row, column = np.nonzero((products >= lowest[:, None]) & ~crowded[:, None])
        near = np.full(products.shape, -np.inf)
        near[row, column] = pair_scores(probes, first + doubtful[row], gallery, start + column)
        better = _better(near, exact[:, -1], k)
        _merge(exact, found, better._replace(places=better.places + start))
    scores[doubtful[~crowded]], whose[doubtful[~crowded]] = exact[~crowded], found[~crowded]
    return Top(scores, whose)


def _rescored(probes: Vectors, first: int, gallery: Vectors, places: Integers) -> Top:
    """With exact scores; the probes begin at row `first`."""
    scores = np.full(places.shape, -np.inf)
    row, column = np.nonzero(places >= 0)
    scores[row, column] = pair_scores(probes, first + row, gallery, places[row, column])
    order = np.argsort(-scores, axis=1, kind="stable")
    return Top(np.take_along_axis(scores, order, 1), np.take_along_axis(places, order, 1))


class Found(NamedTuple):
    """What a search of the whole gallery found for each probe, all (P,).

    Attributes:
        mate: score of the probe's own identity; -inf where the gallery has none.
        above: how many other identities score higher than the mate; all where there is no mate.
        tied: how many others score the same.
        best: the highest score of another identity, as far as float32 tells them apart; -inf if there is none.
        place: whose it is; -1 if there is none.
    """

    mate: FloatArray
    above: Integers
    tied: Integers
    best: FloatArray
    place: Integers


def search(probes: Vectors, gallery: Vectors, mates: Integers) -> Found:
    """Rank every probe's own identity, `mates` (P,), its place in the gallery or -1, exactly and in bounded memory."""
    parts = []
    for first in range(0, len(probes.rows), PROBES):
        parts.append(_search(probes, first, gallery, mates[first : first + PROBES]))
    return Found(*(np.concatenate(arrays) for arrays in zip(*parts)))


def _search(probes: Vectors, first: int, gallery: Vectors, mates: Integers) -> Found:
    left, size = probes.read(slice(first, first + PROBES)), len(mates)
    mated = np.flatnonzero(mates >= 0)
    mate = np.full(size, -np.inf)
    mate[mated] = pair_scores(probes, first + mated, gallery, mates[mated])
    above, tied = np.zeros(size, np.intp), np.zeros(size, np.intp)
    best, place = np.full(size, -np.inf, np.float32), np.full(size, -1, np.intp)
    with threadpool_limits(1, "blas"):
        for block in ahead(partial(_seen, probes, first, left, gallery, mates, mate), gallery.spans(), WAITING):
            for rows, seen in block:
                above[rows] += seen.above
                tied[rows] += seen.tied
                better = seen.best > best[rows]
                best[rows] = np.where(better, seen.best, best[rows])
                place[rows] = np.where(better, seen.place, place[rows])
    others = np.flatnonzero(place >= 0)
    highest = np.full(size, -np.inf)
    highest[others] = pair_scores(probes, first + others, gallery, place[others])
    return Found(mate, above, tied, highest, place)


def _seen(
    probes: Vectors,
    first: int,
    left: FloatArray,
    gallery: Vectors,
    mates: Integers,
    mate: FloatArray,
    span: tuple[int, int],
) -> list[tuple[slice, Found]]:
    """What a block of the gallery has for each strip of the probes, which begin at row `first`."""
    start, stop = span
    block, begins = gallery.block(start, stop)
    found = []
    for begin in range(0, len(left), STRIP):
        strip = slice(begin, begin + STRIP)
        whose, exact = mates[strip], mate[strip]
        low, high = (exact - SLACK).astype(np.float32), (exact + SLACK).astype(np.float32)
        scores = _products(left[strip], block, begins)
        here = np.flatnonzero((whose >= start) & (whose < stop))
        scores[here, whose[here] - start] = -np.inf
        column = scores.argmax(axis=1)
        above = np.count_nonzero(scores > high[:, None], axis=1)
        near = np.flatnonzero((np.count_nonzero(scores >= low[:, None], axis=1) > above) & (whose >= 0))
        row, other = np.nonzero((scores[near] >= low[near, None]) & (scores[near] <= high[near, None]))
        again = pair_scores(probes, first + begin + near[row], gallery, start + other)
        above += np.bincount(near[row], again > exact[near[row]], len(whose)).astype(np.intp)
        tied = np.bincount(near[row], again == exact[near[row]], len(whose)).astype(np.intp)
        found.append((strip, Found(exact, above, tied, scores[np.arange(len(scores)), column], start + column)))
    return found
