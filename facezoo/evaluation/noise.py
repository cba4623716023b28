"""MegaFace's noise lists, and what three projects do with the photos in them."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from facezoo.data.pairs import pair_lines
from facezoo.evaluation.aggregation import aggregate
from facezoo.types import FloatArray, unit

Noise: TypeAlias = Literal["drop", "centre", "zero", "push"]

NOISE_WORDS = {
    "drop": "noisy photos are left out",
    "centre": "noisy FaceScrub photos stand at the centre of their person's clean ones, noisy distractors are left out",
    "zero": "FaceX-Zoo: noisy FaceScrub photos at the centre, noisy distractors are zero vectors, whose score 0 beats "
    "every mate with a negative cosine",
    "push": "insightface: noisy FaceScrub photos near the centre, noisy distractors pushed away by one more dimension",
}

PUSH = 100.0
"""insightface's value in the additional dimension of a noisy distractor; the other dimensions have length 1."""

JITTER = 0.001
"""insightface adds up to so much to each coordinate of a centre."""


def read_noise(path: Path, distractors: bool = False) -> set[str]:
    """Names in a noise list; a line that begins with # is a comment, blank lines are skipped.

    Args:
        path: of FaceScrub a file name a line; of the distractors a path a line, or a second field.
        distractors: which of the two; of FaceScrub's names the folder and the ending do not count.
    """
    names = set()
    for _, fields in pair_lines(path):
        if not fields[0].startswith("#"):
            names.add(fields[min(1, len(fields) - 1)] if distractors else bare(" ".join(fields)))
    return names


def bare(name: str) -> str:
    """A file's name without folder and ending: what FaceScrub's list compares."""
    return PurePosixPath(name.replace("\\", "/")).stem


def centred(
    embeddings: FloatArray, identity: NDArray[np.intp], noisy: NDArray[np.bool_], jitter: float = 0.0, seed: int = 0
) -> FloatArray:
    """Unit vectors (N, D), float64, in which a noisy photo (N,) stands at the centre of its person's clean ones.

    The centre is the normalised sum of normalised embeddings; without a clean photo it is a zero vector.

    Args:
        jitter: uniform noise of this size is added to each coordinate of a centre, as insightface does.
        seed: of that noise.
    """
    vectors = unit(embeddings.astype(np.float64))
    clean = np.flatnonzero(~noisy)
    ids, centres = aggregate(embeddings, identity[clean], photo=clean)
    for photo in np.flatnonzero(noisy):
        vectors[photo] = centres[np.searchsorted(ids, identity[photo])] if identity[photo] in ids else 0
    if jitter:
        moved = np.random.default_rng(seed).uniform(-jitter, jitter, (int(noisy.sum()), vectors.shape[1]))
        vectors[noisy] = unit(vectors[noisy] + moved)
    return vectors


def distractor_factors(noisy: NDArray[np.bool_], noise: Noise) -> tuple[NDArray[np.intp], FloatArray | None]:
    """Which of the distractors (N,) stay, rising, and the factor of each one's score; None if that is 1 for all."""
    everyone = np.arange(len(noisy))
    if noise in ("drop", "centre") or not noisy.any():
        return everyone[~noisy], None
    # The additional dimension is 0 in every probe: the cosine only loses what the vector becomes longer.
    return everyone, np.where(noisy, 0.0 if noise == "zero" else 1 / np.hypot(1, PUSH), 1.0)
