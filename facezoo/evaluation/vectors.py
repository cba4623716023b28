"""Galleries and probes as unit vectors that are read block by block, and exact scores of single pairs of them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from facezoo.types import FloatArray, InputError, unit

BLOCK = 2048
"""Embeddings of the gallery in one matrix product."""

EXACT = 1 << 9
"""Scores computed again at a time: more would not be held near the processor."""

Integers = NDArray[np.intp]


class Vectors:
    """Rows of embeddings as unit vectors, read block by block, so that a memory map stays one.

    Args:
        embeddings: (N, D) float16, float32 or float64, not normalised; never copied as a whole.
        rows: which of them, in order, (R,); all unless given.
        group: rising numbers 0 .. G-1, one for each row, where several rows stand for one identity, whose score is
            that of its best row; each row for itself unless given.
        factor: (R,), by which a row's scores are multiplied; 0 gives a zero vector.
        mean: an identity has the score of the normalised mean of its rows instead.
    """

    def __init__(
        self,
        embeddings: FloatArray,
        rows: Integers | None = None,
        group: Integers | None = None,
        factor: FloatArray | None = None,
        mean: bool = False,
    ) -> None:
        self.embeddings, self.factor = embeddings, factor
        self.rows = np.arange(len(embeddings)) if rows is None else np.asarray(rows)
        self.single = group is None or bool((np.diff(group) > 0).all())
        self.mean = mean and not self.single
        starts = np.arange(len(self.rows)) if group is None else np.flatnonzero(np.diff(group, prepend=-1))
        self._ends = np.append(starts, len(self.rows))

    def __len__(self) -> int:
        """How many identities, G."""
        return len(self._ends) - 1

    def read(self, rows: slice | Integers, dtype: type[np.floating] = np.float32) -> FloatArray:
        """Unit vectors (n, D) of some of the R rows."""
        which = self.rows[rows]
        if len(which) and (np.diff(which) == 1).all():
            taken = self.embeddings[which[0] : which[-1] + 1]  # copies nothing
        else:
            taken = self.embeddings[which]
        with np.errstate(invalid="ignore"):  # of infinite ones, which are refused
            # Rows that lie in another order are added in another order: equal ones would not tie.
            vectors = unit(np.ascontiguousarray(taken, dtype))
        if not np.isfinite(vectors).all():
            raise InputError("embeddings: some are not finite; the model or the feature file is damaged")
        return vectors if self.factor is None else vectors * self.factor[rows, None].astype(dtype)

    def spans(self, stops: Sequence[int] = ()) -> Iterator[tuple[int, int]]:
        """First and last + 1 identity of each block, in order; a block ends at each of the stops."""
        borders = {0, len(self), *stops}
        # An identity with many rows makes its block larger: it is never cut.
        borders.update(np.unique(np.searchsorted(self._ends, np.arange(0, len(self.rows), BLOCK))).tolist())
        return itertools.pairwise(sorted(borders))

    def block(self, start: int, stop: int) -> tuple[FloatArray, Integers]:
        """Unit vectors (n, D) float32 of the identities, and where each one's rows begin among them."""
        first = int(self._ends[start])
        vectors, begins = self.read(slice(first, int(self._ends[stop]))), self._ends[start:stop] - first
        if self.mean:
            return unit(np.add.reduceat(vectors, begins)), np.arange(stop - start)
        return vectors, begins

    def score(self, probes: FloatArray, places: Integers) -> FloatArray:
        """float64 scores (n,) of probes (n, D) with identities (n,): equal embeddings get equal scores."""
        counts = self._ends[places + 1] - self._ends[places]
        scores = np.empty(len(places))
        limit = EXACT // max(1, int(counts.max(initial=1)))
        for start in range(0, len(places), max(1, limit)):
            part = slice(start, start + max(1, limit))
            rows, begins = _ranges(self._ends[places[part]], counts[part])
            vectors = self.read(rows, np.float64)
            if self.mean:
                scores[part] = (unit(np.add.reduceat(vectors, begins)) * probes[part]).sum(axis=1)
                continue
            products = (vectors * np.repeat(probes[part], counts[part], axis=0)).sum(axis=1)
            scores[part] = np.maximum.reduceat(products, begins) if len(products) else products
        return scores


def _ranges(starts: Integers, counts: Integers) -> tuple[Integers, Integers]:
    """start, start + 1, .. of each, one after another, and where each begins."""
    begins = np.cumsum(counts) - counts
    return np.repeat(starts - begins, counts) + np.arange(int(counts.sum())), begins


def pair_scores(probes: Vectors, rows: Integers, gallery: Vectors, places: Integers) -> FloatArray:
    """float64 scores (n,) of single pairs: probes given by their rows (n,), identities by their places (n,)."""
    scores = np.empty(len(rows))
    for start in range(0, len(rows), EXACT):
        part = slice(start, start + EXACT)
        scores[part] = gallery.score(probes.read(rows[part], np.float64), places[part])
    return scores
