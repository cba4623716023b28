"""MegaFace's lists of photos and of noise, and what three projects do with noisy photos."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from facezoo.data.pairs import MAX_LIST_BYTES, inside, pair_lines
from facezoo.evaluation.aggregation import aggregate
from facezoo.files import unreadable
from facezoo.types import FloatArray, InputError, unit

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


def read_json_list(path: Path) -> tuple[list[str], list[str]]:
    """Paths, and identities if there are any, of a list `{"path": [...], "id": [...]}`.

    Raises:
        InputError: unreadable, too large, of another form, or with a path that leaves its folder.
    """
    try:
        if path.stat().st_size > MAX_LIST_BYTES:
            raise InputError(f"{path}: more than the {MAX_LIST_BYTES:,} bytes that are read")
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise unreadable(path, error) from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not valid JSON: {error}") from None
    except RecursionError:
        raise InputError(f"{path}: not a list of photos: its brackets are nested too deeply") from None
    paths = content.get("path") if isinstance(content, dict) else None
    if not isinstance(paths, list) or not paths or not all(isinstance(entry, str) for entry in paths):
        raise InputError(f'{path}: {{"path": [...]}} with names of photos was expected')
    ids = content.get("id", [])
    if not isinstance(ids, list) or len(ids) not in (0, len(paths)):
        raise InputError(f'{path}: "id" must be a list with an entry for each of the {len(paths)} paths')
    return [inside(path, number, entry) for number, entry in enumerate(paths, start=1)], [str(entry) for entry in ids]


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
    """Embeddings (N, D), float64, in which a noisy photo (N,) stands at the centre of its person's clean ones.

    All others stay as they are, so that what ties with a distractor does so still. The centre is the normalised sum of
    normalised embeddings; without a clean photo it is a zero vector.

    Args:
        jitter: uniform noise of this size is added to each coordinate of a centre, as insightface does.
        seed: of that noise.
    """
    vectors = embeddings.astype(np.float64)
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
