"""Impostor pairs that may be wrong labels: copies, and one person under two names."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facezoo.evaluation.pair_counts import PairCounts
from facezoo.evaluation.tails import cosines
from facezoo.types import FloatArray, unit

DUPLICATE = 0.95
"""Cosine that two different photos hardly reach with any model: one of them is most likely a copy of the other."""

SUSPECTS = 20
CANDIDATES = 5000
"""Impostor pairs from the top that are looked through for suspects."""


@dataclass(frozen=True)
class Suspect:
    """An impostor pair that looks like one person, or like one photo."""

    left: int
    right: int
    score: float
    why: str


def suspects(counts: PairCounts, embeddings: FloatArray) -> list[Suspect]:
    """Of the highest impostor pairs those that may be wrong labels: they would set the threshold in place of strangers.

    Two photos whose cosine is `DUPLICATE` or more, and in the highest hundredth of genuine ones, are taken for copies.
    Two identities whose photos are on average more alike than the lower quarter of genuine pairs are taken for one
    person. One pair is named for two identities.
    """
    end, identity = counts.impostor, counts.identity
    if not len(counts.genuine.scores):
        return []
    usual = float(np.quantile(-counts.genuine.scores, 0.25)) if counts.genuine.complete else None
    # Cosines of some models are all high: a copy is then more alike than nearly all photos of one person.
    copy = max(DUPLICATE, float(np.quantile(-counts.genuine.scores, 0.99)) if counts.genuine.complete else 0.0)
    found: dict[tuple[int, int], Suspect] = {}
    means: dict[int, FloatArray] = {}

    def mean(person: int) -> FloatArray:
        if person not in means:
            photos = np.flatnonzero((identity == person) & ~counts.failed)
            means[person] = unit(np.asarray(embeddings[photos], np.float64)).mean(axis=0)
        return means[person]

    for left, right in zip(end.left[:CANDIDATES], end.right[:CANDIDATES], strict=True):
        people = (int(identity[left]), int(identity[right]))
        if people in found or (usual is None and len(found) >= SUSPECTS):
            continue
        score = float(cosines(embeddings, np.array([left]), np.array([right]))[0])
        together = float(mean(people[0]) @ mean(people[1]))
        if score >= copy:
            found[people] = Suspect(int(left), int(right), score, "copies of one photo under two names")
        elif usual is not None and together >= usual:
            words = f"one person under two names: their photos have a mean cosine of {together:.3f}"
            found[people] = Suspect(int(left), int(right), score, words)
        if len(found) == SUSPECTS:
            break
    return list(found.values())
