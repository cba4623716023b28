"""The pairs of photos that contracts are compared on, and how well they are separated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facezoo import progress
from facezoo.align import template_points
from facezoo.evaluation.intervals import identity_weights, pair_weights
from facezoo.evaluation.metrics import Sorted, eer
from facezoo.evaluation.photos import Crops, Locate, Photo
from facezoo.evaluation.run import needs_locate
from facezoo.evaluation.verification import Verification
from facezoo.types import Contract, Crop, FloatArray, InputError, unit

RESAMPLES = 400


@dataclass(frozen=True)
class Variant:
    """The contract with one entry changed.

    Attributes:
        entry: of the contract: color, normalisation, template, input_size or flip.
        value: in words.
        changes: of the contract.
        separation: distance of the mean genuine and impostor scores, in deviations of the impostor scores.
        eer: equal error rate.
        gain: in separation over the contract as it was, as a share.
        deviation: of that gain, over resampled identities or pairs.
        better: whether the gain is material and not chance.
    """

    entry: str
    value: str
    changes: Mapping[str, Any]
    separation: float = 0.0
    eer: float | None = None
    gain: float = 0.0
    deviation: float = 0.0
    better: bool = False


@dataclass(frozen=True, eq=False)
class Trial:
    """Pairs of photos whose landmarks are known; crops are kept for each template and size."""

    photos: list[Photo]
    left: NDArray[np.intp]
    right: NDArray[np.intp]
    same: NDArray[np.bool_]
    identity: NDArray[np.intp] | None
    seed: int
    made: dict[tuple[str, tuple[int, int]], list[Crop]] = field(default_factory=dict)

    @classmethod
    def of(cls, benchmark: Verification, locate: Locate | None, pairs: int, seed: int) -> Trial:
        if needs_locate(benchmark) and locate is None:
            raise InputError(f"{benchmark.name}: raw photos without landmarks need a detector")
        generator = np.random.default_rng(seed)
        same = np.asarray(benchmark.same, bool)
        kinds = [same] if benchmark.identity is not None else [same, ~same]
        order = np.sort(np.concatenate([generator.permutation(np.flatnonzero(kind))[:pairs] for kind in kinds]))
        used = np.unique(np.concatenate([benchmark.left[order], benchmark.right[order]]))
        found = [
            _located(benchmark.photos[k], benchmark.aligned, locate)
            for k in progress.track(used.tolist(), f"{benchmark.name}: read", "photo")
        ]
        there = np.array([photo.landmarks is not None for photo in found], bool)
        photos = [photo for photo in found if photo.landmarks is not None]
        if benchmark.identity is not None:
            # All pairs of the photos: impostor ones cost no embedding, and many of them steady the measure.
            identity = benchmark.identity[used[there]]
            left, right = np.triu_indices(len(photos), 1)
            same = identity[left] == identity[right]
        else:
            identity, place = None, np.cumsum(there) - 1
            left, right = np.searchsorted(used, benchmark.left[order]), np.searchsorted(used, benchmark.right[order])
            kept = there[left] & there[right]
            left, right, same = place[left[kept]], place[right[kept]], same[order][kept]
        if min(same.sum(), (~same).sum()) < 2:
            raise InputError(f"{benchmark.name}: too few pairs of photos with faces; give more photos")
        return cls(photos, left, right, same, identity, seed)

    def crops(self, contract: Contract) -> list[Crop]:
        key = contract.template, contract.input_size
        if key not in self.made:
            self.made[key] = list(Crops(self.photos, contract))
        return self.made[key]

    def scores(self, embeddings: FloatArray) -> FloatArray:
        """Cosine of each pair; 0 where an embedding is not finite."""
        rows = unit(np.nan_to_num(np.asarray(embeddings, np.float64), nan=0.0, posinf=0.0, neginf=0.0))
        return np.einsum("pd,pd->p", rows[self.left], rows[self.right])

    def rated(self, variant: Variant, embeddings: FloatArray) -> tuple[Variant, FloatArray]:
        """The variant with its rates, and its separation as it is and in each resample, (1 + R,)."""
        scores = self.scores(embeddings)
        separations = self.separations(scores)
        rate = eer(Sorted(scores, self.same).tally())
        return replace(variant, separation=float(separations[0]), eer=rate), separations

    def separations(self, scores: FloatArray) -> FloatArray:
        """How many deviations of the impostor scores their mean lies below that of the genuine ones; of all pairs, and
        of each resample, (1 + R,).

        The deviation of the genuine scores is left out: a few wrong labels among them would drown what is sought.
        """
        if self.identity is None:
            drawn = pair_weights(len(scores), RESAMPLES, self.seed)
        else:
            drawn = identity_weights(self.identity[self.left], self.identity[self.right], RESAMPLES, self.seed)
        genuine, impostor = scores[self.same], scores[~self.same]
        found = []
        for weights in (np.ones(len(scores)), *drawn):
            over, under = weights[self.same], weights[~self.same]
            mean = under @ impostor / under.sum()
            deviation = np.sqrt(max(0.0, under @ impostor**2 / under.sum() - mean**2))
            gap = over @ genuine / over.sum() - mean if over.any() else 0.0
            found.append(gap / deviation if deviation > 1e-6 else 0.0)
        return np.array(found)


def _located(photo: Photo, aligned: str | None, locate: Locate | None) -> Photo:
    """The photo with its landmarks; those of a crop are where its template has them."""
    if aligned is not None:
        return replace(photo, landmarks=template_points(aligned, photo.read().shape[:2]))
    if photo.landmarks is not None or locate is None:
        return photo
    return replace(photo, landmarks=locate(photo.read()))
