"""Identities that are one person: centres as close as the two halves of an identity are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from facezoo import progress
from facezoo.curation.calibrate import Threshold, rare_above
from facezoo.curation.embeddings import Embeddings
from facezoo.curation.outliers import groups
from facezoo.data.problems import Labels
from facezoo.gallery.index import Index
from facezoo.types import FloatArray, unit

NEAR = 5
"""Nearest identities of each that may be the same person: one split into more parts is joined in part."""


class Merge(NamedTuple):
    """Labels that are taken for one person, rising, and the lowest cosine between two of their centres."""

    labels: tuple[int, ...]
    score: float


class Centres(NamedTuple):
    """Of identities: mean directions (C, D), and cosines (M,) between those of random halves of an identity."""

    whole: FloatArray
    halves: FloatArray


def centres_of(embeddings: Embeddings, labels: Labels, kept: NDArray[np.bool_], seed: int = 0) -> Centres:
    """Mean directions of the kept images of each identity; zero rows for identities without.

    Args:
        embeddings: of the images.
        labels: (N,) from 0.
        kept: (N,) which images count; outliers should not.
        seed: of the halves.
    """
    generator = np.random.default_rng(seed)
    whole = np.zeros((int(labels.max()) + 1, embeddings.dim), np.float32)
    halves = []
    for label, samples in progress.track(groups(labels, kept & ~embeddings.failed), "centres", "id", len(whole)):
        vectors = embeddings[samples]
        whole[label] = unit(vectors.sum(axis=0))
        if len(samples) > 1:
            order = generator.permutation(len(samples))
            half = len(samples) // 2
            one, other = (unit(vectors[part].sum(axis=0)) for part in (order[:half], order[half:]))
            halves.append(float(one @ other))
    return Centres(whole, np.array(halves))


def nearest(centres: FloatArray, queries: FloatArray, count: int) -> Iterator[list[tuple[int, float]]]:
    """For each query (Q, D) the nearest centres (C, D) and their cosines, best first; zero rows are nobody's."""
    there = np.flatnonzero(centres.any(axis=1))
    index = Index(centres.shape[1])
    index.extend(len(there), iter([(there, there, centres[there])]))
    for matches in progress.track(index.search(queries, count), "nearest", "id", len(queries)):
        yield [(match.identity, match.score) for match in matches]


def merges(centres: Centres, precision: float, limit: float | None = None) -> tuple[list[Merge], Threshold]:
    """Identities to merge, the closest first, and the threshold; `limit` sets it instead of the precision.

    Two identities are joined if each is among the other's nearest and their centres are at least as close as the
    threshold; more than two if that holds for all pairs of their centres.
    """
    there = np.flatnonzero(centres.whole.any(axis=1))
    near = [
        [(other, score) for other, score in found if other != own]
        for own, found in zip(there, nearest(centres.whole, centres.whole[there], NEAR + 1))
    ]
    first = {int(own): found[0][0] for own, found in zip(there, near) if found}
    scores = {(int(own), other): score for own, found in zip(there, near) for other, score in found}
    mutual = {pair: score for pair, score in scores.items() if pair[0] < pair[1] and pair[::-1] in scores}
    best = [score for (one, other), score in mutual.items() if first[one] == other and first[other] == one]
    threshold = Threshold(limit) if limit is not None else rare_above(np.array(best), centres.halves, precision)
    close = sorted((-score, pair) for pair, score in mutual.items() if score >= threshold.value)
    group_of: dict[int, set[int]] = {}
    for _, (one, other) in close:
        ours, theirs = group_of.get(one, {one}), group_of.get(other, {other})
        if ours is not theirs and _lowest(centres.whole, ours, theirs) >= threshold.value:
            joined = ours | theirs
            group_of.update(dict.fromkeys(joined, joined))
    distinct = {min(group): group for group in group_of.values()}
    found = [Merge(tuple(sorted(group)), _lowest(centres.whole, group, group)) for group in distinct.values()]
    return sorted(found, key=lambda merge: -merge.score), threshold


def _lowest(centres: FloatArray, ours: set[int], theirs: set[int]) -> float:
    return float((centres[sorted(ours)] @ centres[sorted(theirs)].T).min())
