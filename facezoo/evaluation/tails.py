"""Scores of all pairs of photos without storing them: how many lie in each bin, and the decisive ends one by one."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from facezoo.files import whole_file
from facezoo.types import FloatArray, InputError, unit

STEPS = 32767
"""Bins on either side of 0; a score is multiplied with it and cut to a whole number of 16 bits."""

BINS = 1 << 16

BLOCK = 1 << 9
"""Pairs compared at once in float64."""

PIECE = 1 << 19
"""Scores counted at once: they and their bins stay in the cache."""

STATE = ("key", "done", "counts", "weights", "first", "scaled", "left", "right")
"""Arrays of a state file."""

Pairs: TypeAlias = Callable[[NDArray[np.intp]], tuple[NDArray[np.integer], NDArray[np.integer]]]
Held: TypeAlias = tuple[FloatArray, NDArray[np.int32], NDArray[np.int32]]
"""Scaled scores and the photos of either side."""

_WHOLE = np.arange(BINS) - BINS // 2
UPPER_EDGES = np.where(_WHOLE >= 0, _WHOLE + 1, _WHOLE) / STEPS
"""Above every score of a bin, (BINS,)."""


@dataclass(frozen=True, eq=False)
class End:
    """The scores of one kind of pair: those of its decisive end singly, all others by bin.

    The decisive end of impostor pairs is the highest scores; genuine pairs are held with their scores negated.

    Attributes:
        scores: of the pairs held, (T,), descending.
        left, right: their photos, (T,).
        weights: what each counts, (T,).
        bulk: weight of all others by bin, (BINS,), ascending; none is above a score that is held.
    """

    scores: FloatArray
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    weights: FloatArray
    bulk: FloatArray

    @property
    def complete(self) -> bool:
        """Whether every score is held."""
        return not self.bulk.any()

    def settled(self, embeddings: FloatArray, chosen: NDArray[np.bool_], sign: int = 1) -> End:
        """With the scores of the chosen pairs (T,) computed again in float64; sign is -1 where they are negated."""
        scores = self.scores.copy()
        scores[chosen] = sign * cosines(embeddings, self.left[chosen], self.right[chosen])
        order = np.argsort(-scores, kind="stable")  # they are all but in order, which this one makes use of
        return End(scores[order], self.left[order], self.right[order], self.weights[order], self.bulk)


class Look(NamedTuple):
    """What is to be known of a block of scores.

    Attributes:
        counts: scores in each bin, (BINS,).
        weights: what they weigh, (BINS,).
        places: in the flat block, of scores that may be held, (F,).
        scaled: these scores, (F,).
    """

    counts: NDArray[np.int64]
    weights: NDArray
    places: NDArray[np.intp]
    scaled: FloatArray


class Tail:
    """Counts scores by bin and holds the largest, in bounded memory.

    Of a bin all scores are held or none, and never more than `keep` in the end: so what is held depends neither on
    the order in which scores come nor on how they are cut into blocks.
    """

    def __init__(self, keep: int) -> None:
        if keep < 1:
            raise InputError(f"tail: {keep} scores to keep, there must be 1 or more")
        self.keep = keep
        self.counts = np.zeros(BINS, np.int64)
        self.weights = np.zeros(BINS)
        self._first = 0  # of the bins held
        self._held: list[Held] = []

    def add(self, scaled: FloatArray, pairs: Pairs, weights: FloatArray | None = None) -> None:
        """Count a block of scores.

        Args:
            scaled: scores times `STEPS`, fewer than 2^24; -BINS / 2 marks what is not counted.
            pairs: from places in the flat block to the photos of either side.
            weights: of each score, shaped as `scaled`; 1 unless given.
        """
        self.take(self.look(scaled, weights), pairs)

    def look(self, scaled: FloatArray, weights: FloatArray | None = None) -> Look:
        """What `take` needs of a block of scores; may be called in threads, before others are taken."""
        flat, found = scaled.ravel(), [np.empty(0, np.intp)]
        bins, histogram = np.empty(min(PIECE, flat.size), np.int16), np.zeros((BINS, 1), np.float32)
        weighed, first = np.zeros(BINS), self._first
        for start in range(0, flat.size, PIECE):
            piece = flat[start : start + PIECE]
            words = bins[: len(piece)]
            np.copyto(words, piece, casting="unsafe")  # cut towards 0
            cv2.calcHist([words.view(np.uint16)[None]], [0], None, [BINS], [0, BINS], histogram, accumulate=True)
            if first:
                found.append(np.flatnonzero(_inside(piece, first)) + start)
            if weights is not None:
                counted = weights.ravel()[start : start + PIECE]
                weighed += np.bincount(words.astype(np.intp) + BINS // 2, counted, BINS)
        counts = np.roll(histogram.ravel().astype(np.int64), BINS // 2)
        counts[0] = weighed[0] = 0  # what is not counted
        if not first:  # the block's own border spares most of the first ones
            found = [np.flatnonzero(_inside(flat, self._border(counts)))]
        places = np.concatenate(found)
        return Look(counts, counts if weights is None else weighed, places, flat[places])

    def take(self, look: Look, pairs: Pairs) -> None:
        """Count a block that was looked at."""
        self.counts += look.counts
        self.weights += look.weights
        self._first = self._border(self.counts)
        inside = _inside(look.scaled, self._first)
        if inside.any():
            left, right = pairs(look.places[inside])
            self._held.append((look.scaled[inside], left.astype(np.int32), right.astype(np.int32)))
            if sum(len(part[0]) for part in self._held) > 2 * self.keep:
                self._collect()

    def _border(self, counts: NDArray[np.int64]) -> int:
        """The first of the bins that are held where `counts` (BINS,) lie in them."""
        return int(np.count_nonzero(np.cumsum(counts[::-1])[::-1] > self.keep))

    def _collect(self) -> Held:
        """What is held as one part, without what has fallen out of the tail since."""
        none = np.empty(0, np.int32)
        kept: list[Held] = [(np.empty(0, np.float32), none, none)]
        for scaled, left, right in self._held:
            inside = _inside(scaled, self._first)
            kept.append((scaled[inside], left[inside], right[inside]))
        scaled, left, right = (np.concatenate(part) for part in zip(*kept, strict=True))
        self._held = [(scaled, left, right)]
        return scaled, left, right

    def end(self, weigh: Callable[[NDArray[np.int32], NDArray[np.int32]], FloatArray] | None = None) -> End:
        """The result; `weigh` gives the weight of each pair from its photos, 1 unless given."""
        scaled, left, right = self._collect()
        order = np.argsort(-scaled)
        left, right = left[order], right[order]
        weights = np.ones(len(order)) if weigh is None else weigh(left, right)
        bulk = np.where(np.arange(BINS) < self._first, self.weights, 0)
        return End(scaled[order].astype(np.float64) / STEPS, left, right, weights, bulk)

    def state(self) -> dict[str, NDArray]:
        """Arrays that `restore` goes on from."""
        held = dict(zip(("scaled", "left", "right"), self._collect(), strict=True))
        return {"counts": self.counts, "weights": self.weights, "first": np.array(self._first), **held}

    def restore(self, state: dict[str, NDArray]) -> None:
        self.counts, self.weights, self._first = state["counts"], state["weights"], int(state["first"])
        self._held = [(state["scaled"], state["left"], state["right"])]


def _inside(scaled: FloatArray, first: int) -> NDArray[np.bool_]:
    """Which scores lie in bin `first` or above."""
    border = first - BINS // 2
    # A bin above 0 begins at its number; those below reach from there to the next smaller number.
    return scaled >= border if border > 0 else scaled > max(border, 1 - BINS // 2) - 1


def cosines(embeddings: FloatArray, left: NDArray[np.integer], right: NDArray[np.integer]) -> FloatArray:
    """Cosine of pairs of rows, (P,), in float64; only the rows of a block are converted at once."""
    scores = np.empty(len(left))
    for start in range(0, len(left), BLOCK):
        block = slice(start, start + BLOCK)
        sides = [unit(np.asarray(embeddings[side[block]], np.float64)) for side in (left, right)]
        scores[block] = np.einsum("pd,pd->p", *sides)
    return scores


def save_state(path: Path, key: str, done: int, tail: Tail) -> None:
    """Write down, whole or not at all, how far a count has come."""
    with whole_file(path) as temporary, temporary.open("wb") as file:
        state: dict[str, Any] = {"key": np.array(key), "done": np.array(done), **tail.state()}
        np.savez(file, **state)


def check_state(path: Path) -> None:
    """Refuse a file in which no state could be kept, before any work is done."""
    if path.is_dir():
        raise InputError(f"{path}: is a folder; name a file for the state")
    if not path.parent.is_dir():
        raise InputError(f"{path}: there is no folder {path.parent} for the state")
    if path.exists():
        _read_state(path)


def load_state(path: Path, key: str, tail: Tail) -> int:
    """Go on with the count of a state file; how many of its panels are done, 0 without a file."""
    if not path.exists():
        return 0
    state = _read_state(path)
    if str(state["key"]) != key:
        raise InputError(f"{path}: is the state of other embeddings, people or options; remove it or name another")
    tail.restore(state)
    return int(state["done"])


def _read_state(path: Path) -> dict[str, NDArray]:
    """All arrays of a state file."""
    try:
        if not zipfile.is_zipfile(path):
            raise ValueError("not an archive of arrays")
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in STATE}
    except (ValueError, KeyError, OSError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: not a readable state of all pairs ({error}); remove it or name another") from None
