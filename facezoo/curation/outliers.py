"""How well each image fits its identity: the cosine to a robust centre that the image itself had no part in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facezoo import progress
from facezoo.curation.calibrate import Threshold, rare_below
from facezoo.curation.embeddings import Embeddings
from facezoo.data.problems import Labels
from facezoo.types import FloatArray, unit

STARTS = 512
"""Images of an identity, evenly spaced, with which all are compared to find where it is densest."""

ROUNDS = 5
"""Of moving the centre to the nearer half of the images; it rests after two or three."""


@dataclass(frozen=True, eq=False)
class Fits:
    """How images fit their identities.

    Attributes:
        scores: (N,) leave-one-out cosine to the own centre; nan of images that are alone or unreadable.
        foreign: (M,) cosines of images to the centre of some other identity: what an outlier would score.
        centres: (C, D) unit; zero rows for identities without a readable image.
    """

    scores: FloatArray
    foreign: FloatArray
    centres: FloatArray

    def outliers(self, precision: float, limit: float | None = None) -> tuple[NDArray[np.int64], Threshold]:
        """Samples whose score is at or below a threshold, the worst first; `limit` sets it instead of the precision."""
        judged = np.flatnonzero(np.isfinite(self.scores))
        threshold = Threshold(limit) if limit is not None else rare_below(self.scores[judged], self.foreign, precision)
        found = judged[self.scores[judged] <= threshold.value]
        return found[np.argsort(self.scores[found], kind="stable")], threshold


def groups(labels: Labels, chosen: NDArray[np.bool_]) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Each label with its chosen samples, rising."""
    samples = np.flatnonzero(chosen)
    samples = samples[np.argsort(labels[samples], kind="stable")]
    starts = np.flatnonzero(np.diff(labels[samples], prepend=-1))
    for part in np.split(samples, starts[1:]) if len(samples) else []:
        yield int(labels[part[0]]), part


def fits(embeddings: Embeddings, labels: Labels, seed: int = 0) -> Fits:
    """Score every image against its identity, and once against another one.

    Args:
        embeddings: of the images.
        labels: (N,) from 0.
        seed: of the other identities that are drawn.
    """
    scores = np.full(len(labels), np.nan)
    centres = np.zeros((int(labels.max()) + 1, embeddings.dim), np.float32)
    for label, samples in progress.track(groups(labels, ~embeddings.failed), "compare", "id", len(centres)):
        centres[label], own = centre(embeddings[samples])
        if len(samples) > 1:
            scores[samples] = own
    return Fits(scores, _foreign(embeddings, labels, centres, seed), centres)


def centre(vectors: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The robust centre (D,) of an identity's unit vectors (n, D), and the cosine (n,) of each to it, left out itself.

    It is the mean direction of the nearer half, found from where the images are densest: outliers, up to just below
    half of an identity, do not move it.
    """
    some = vectors[:: -(-len(vectors) // STARTS)]
    middle = vectors[np.median(vectors @ some.T, axis=1).argmax()]
    near = len(vectors) // 2 + 1
    core = np.empty(0, np.intp)
    for _ in range(ROUNDS):
        before, core = core, np.sort(np.argsort(-(vectors @ middle), kind="stable")[:near])
        if np.array_equal(before, core):
            break
        middle = unit(vectors[core].sum(axis=0))
    total = vectors[core].sum(axis=0)
    others = np.broadcast_to(total, vectors.shape).copy()
    others[core] -= vectors[core]
    return unit(total), np.einsum("nd,nd->n", vectors, unit(others))


def _foreign(embeddings: Embeddings, labels: Labels, centres: FloatArray, seed: int) -> FloatArray:
    """The cosine of each image to the centre of an identity drawn from the other images'."""
    generator = np.random.default_rng(seed)
    found = []
    usable = np.flatnonzero(~embeddings.failed)
    for part in np.array_split(usable, -(-len(usable) // 4096)):
        other = labels[generator.choice(usable, len(part))]
        apart = other != labels[part]
        found.append(np.einsum("nd,nd->n", embeddings[part[apart]], centres[other[apart]]))
    return np.concatenate(found)
