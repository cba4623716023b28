"""Your own photos: a folder of people, of which pairs are drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from facezoo.data.pairs import draw_pairs
from facezoo.evaluation.columns import columns
from facezoo.evaluation.folds import stratified_folds
from facezoo.evaluation.photos import Photo
from facezoo.evaluation.quality_curves import Discard, EdcRule
from facezoo.evaluation.sets.listed import FOLDS, landmarks_of
from facezoo.evaluation.verification import ThresholdRule, Verification
from facezoo.image import find_images
from facezoo.registry import BENCHMARKS
from facezoo.types import InputError


@BENCHMARKS.register
def folder(
    root: Path,
    pairs: int = 6000,
    aligned: str | None = None,
    landmarks: Path | Literal["auto"] | None = None,
    folds: int = FOLDS,
    rule: ThresholdRule = "exact",
    resamples: int = 1000,
    seed: int = 0,
    groups: str | None = None,
    quality: Path | None = None,
    discard: Discard = "images",
    edc: EdcRule = "fixed",
) -> Verification:
    """Pairs drawn from a folder with one folder of photos for each person; half of them genuine where there are enough.

    Args:
        root: folder of the people.
        pairs: how many to draw.
        aligned, landmarks, folds, rule, resamples, groups, quality, discard, edc: as for lfw.
        seed: of the pairs and of the bootstrap.
    """
    photos, identity, left_out = people(root, aligned, landmarks)
    notes = f"drawn from {identity.max() + 1} people, seed {seed}"
    if left_out:
        notes += f"; photos in no person's folder left out: {left_out}"
    left, right = draw_pairs(identity, pairs, seed)
    return Verification(
        root.name,
        photos,
        left,
        right,
        identity[left] == identity[right],
        stratified_folds(identity[left] == identity[right], folds),
        aligned,
        identity,
        rule,
        resamples,
        seed,
        {"pair list": notes},
        columns([photo.name for photo in photos], groups, quality, discard, edc),
    )


def people(
    root: Path, aligned: str | None, landmarks: Path | Literal["auto"] | None
) -> tuple[list[Photo], NDArray[np.intp], int]:
    """The photos of a folder with one folder for each person, the person of each (N,), and how many photos lie in no
    person's folder, such as the sheet of rendered people: those are left out."""
    found = [path.relative_to(root).as_posix() for path in find_images(root)]
    names = [name for name in found if "/" in name]
    if not names:
        raise InputError(f"{root}: no photo in any folder below it; expected {root}/PERSON/PHOTO")
    identity = np.unique([name.partition("/")[0] for name in names], return_inverse=True)[1]
    points = landmarks_of(root, landmarks, aligned, names, [root])
    return [Photo(name, root / name, points.get(name)) for name in names], identity, len(found) - len(names)
