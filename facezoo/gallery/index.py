"""Exact search in memory: blocked matrix products, the best photo or the mean of each identity."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from facezoo.types import FloatArray

BLOCK = 4096
"""Embeddings in one matrix product."""

SCORES = 8_000_000
"""Scores held at a time, 4 bytes each: bounds the queries that are searched together."""

QUERIES = 256
"""Queries searched together at most."""

GROUP = 128
"""Scores of which only the largest is looked at first; see `_candidates`."""

SLACK = 1e-5
"""Far above the rounding of a float32 product of unit vectors: whoever is closer than this is scored again."""

Integers = NDArray[np.int64]

Photos = Literal["best", "mean"]


class Match(NamedTuple):
    """An identity's score and its best photo."""

    identity: int
    score: float
    embedding: int


class Index:
    """Unit vectors (N, dim) with their embedding ids, rising, and the identities they belong to."""

    def __init__(self, dim: int) -> None:
        self.dim = dim
        self._vectors = np.empty((0, dim), np.float32)
        self.ids = np.empty(0, np.int64)
        self.owners = np.empty(0, np.int64)
        self._arrange()

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def last(self) -> int:
        """The largest embedding id; 0 if there is none."""
        return int(self.ids[-1]) if len(self) else 0

    def keep(self, ids: Integers) -> None:
        """Drop all embeddings but these."""
        kept = np.flatnonzero(np.isin(self.ids, ids, assume_unique=True))
        kept_ids, kept_owners = self.ids[kept], self.owners[kept]
        self.ids = self.ids[:0]  # an interrupt from here on leaves an empty index, which is filled again
        for start in range(0, len(kept), BLOCK):  # in place: rows only move down
            part = kept[start : start + BLOCK]
            self._vectors[start : start + len(part)] = self._vectors[part]
        self.ids, self.owners = kept_ids, kept_owners
        self._arrange()

    def extend(self, count: int, rows: Iterator[tuple[Integers, Integers, FloatArray]]) -> None:
        """Append (ids, owners, vectors); `count` is how many there will be."""
        used = len(self)
        if used + count > len(self._vectors):
            # Room to grow: pages that are never written cost no memory.
            vectors = np.empty((used + count + max(count, used) // 4, self.dim), np.float32)
            vectors[:used] = self._vectors[:used]
            self._vectors = vectors
        ids: list[Integers] = [self.ids]
        owners: list[Integers] = [self.owners[:used]]
        for some_ids, some_owners, some_vectors in rows:
            self._vectors[used : used + len(some_ids)] = some_vectors
            used += len(some_ids)
            ids.append(some_ids)
            owners.append(some_owners)
        self.ids, self.owners = np.concatenate(ids), np.concatenate(owners)
        self._arrange()

    def _arrange(self) -> None:
        """Where each identity's embeddings lie, over all and within each block."""
        self._identities, codes, self._counts = np.unique(self.owners, return_inverse=True, return_counts=True)
        self._order = np.argsort(codes, kind="stable")
        self._starts = np.concatenate([[0], np.cumsum(self._counts)])
        self._blocks = [_Block.of(codes[start : start + BLOCK]) for start in range(0, len(self), BLOCK)]

    def search(self, queries: FloatArray, k: int, photos: Photos = "best") -> Iterator[list[Match]]:
        """The k best identities for each unit vector (Q, dim), best first.

        Those with one score are all given; whoever orders them cuts the list to k.
        """
        people = len(self._identities)
        if people == 0:
            yield from ([] for _ in queries)
            return
        k = min(k, people)
        together = max(1, min(QUERIES, SCORES // people))
        for start in range(0, len(queries), together):
            part = queries[start : start + together]
            for query, places in zip(part, _candidates(self._scores(part, photos), k)):
                yield self._matches(query, places, k, photos)

    def _scores(self, queries: FloatArray, photos: Photos) -> FloatArray:
        """Each identity's score for each query, (identities, Q) float32."""
        merge = np.maximum if photos == "best" else np.add
        total = np.full((len(self._identities), len(queries)), -np.inf if photos == "best" else 0, np.float32)
        transposed = np.ascontiguousarray(queries.T)
        for number, block in enumerate(self._blocks):
            start = number * BLOCK
            products = self._vectors[start : min(start + BLOCK, len(self))] @ transposed
            for into, rows in block.merges:
                products[into] = merge(products[into], products[rows])
            total[block.people] = merge(total[block.people], products[block.first])
        if photos == "mean":
            total /= self._counts[:, None].astype(np.float32)
        return total

    def _matches(self, query: FloatArray, places: Integers, k: int, photos: Photos) -> list[Match]:
        """Candidates scored again, in double precision and one by one: equal embeddings get equal scores."""
        matches = []
        for person in places:
            rows = self._order[self._starts[person] : self._starts[person + 1]]
            exact = (self._vectors[rows].astype(np.float64) * query).sum(axis=1)
            best = int(exact.argmax())
            score = exact[best] if photos == "best" else exact.mean()
            matches.append(Match(int(self._identities[person]), float(score), int(self.ids[rows[best]])))
        matches.sort(key=lambda match: -match.score)
        return [match for match in matches if match.score >= matches[k - 1].score]


class _Block(NamedTuple):
    """How a block's rows are merged into one for each identity."""

    people: slice | Integers
    """Places of the identities in the whole."""
    first: slice | Integers
    """Each identity's first row, in which the others end up."""
    merges: list[tuple[Integers, Integers]]
    """Rows into which others are merged, and those: half of what is left in each step (ufunc.reduceat is slower)."""

    @classmethod
    def of(cls, codes: Integers) -> _Block:
        order = np.argsort(codes, kind="stable")
        people, starts, which, counts = np.unique(
            codes[order], return_index=True, return_inverse=True, return_counts=True
        )
        rank, left = np.arange(len(codes)) - starts[which], counts[which]
        merges = []
        while left.max() > 1:
            half = (left + 1) // 2
            rows = np.flatnonzero((rank >= half) & (rank < left))
            merges.append((order[rows - half[rows]], order[rows]))
            left = half
        return cls(_slice(people), _slice(order[starts]), merges)


def _slice(places: Integers) -> slice | Integers:
    """A slice where the places follow one another: it copies nothing."""
    if (np.diff(places) == 1).all():
        return slice(int(places[0]), int(places[-1]) + 1)
    return places


def _candidates(scores: FloatArray, k: int) -> Iterator[Integers]:
    """For each column of (identities, Q), the places of all scores that may be among the k largest.

    Rounding is allowed for. The k-th largest of the group maxima is a lower bound of the k-th largest score,
    so only the groups that reach it are looked at.
    """
    people = len(scores)
    groups = max(1, people // GROUP)  # group g: every place that is g modulo the number of groups
    maxima = scores[:groups].copy()
    for start in range(groups, people, groups):
        part = scores[start : start + groups]
        np.maximum(maxima[: len(part)], part, out=maxima[: len(part)])
    for query, column in enumerate(np.ascontiguousarray(maxima.T)):
        floor = np.partition(column, -k)[-k] if groups >= k else -np.inf
        first = np.flatnonzero(column >= floor - SLACK)
        places = (first[:, None] + np.arange(0, people, groups)).ravel()
        places = places[places < people]
        found = scores[places, query]
        yield places[found >= np.partition(found, -k)[-k] - SLACK]
