"""Verification benchmarks by name: LFW, pair lists, insightface packs, and folders of people."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from facezoo.data.pack import distinct, read_pack
from facezoo.data.pairs import PairList, draw_pairs, read_pairs
from facezoo.evaluation.columns import columns
from facezoo.evaluation.folds import consecutive_folds, stratified_folds
from facezoo.evaluation.pairs import read_lfw_pairs
from facezoo.evaluation.photos import Photo, read_landmarks
from facezoo.evaluation.quality_curves import Discard, EdcRule
from facezoo.evaluation.verification import ThresholdRule, Verification
from facezoo.image import find_images
from facezoo.registry import BENCHMARKS
from facezoo.types import FloatArray, InputError

Missing = Literal["error", "drop"]

FOLDS = 10
"""As in LFW's view 2."""

LANDMARKS = "landmarks.csv"


@BENCHMARKS.register
def lfw(
    root: Path,
    pairs: Path | None = None,
    landmarks: Path | Literal["auto"] | None = None,
    aligned: str | None = None,
    missing: Missing = "error",
    folds: int | None = None,
    rule: ThresholdRule = "exact",
    resamples: int = 1000,
    seed: int = 0,
    name: str = "lfw",
    groups: str | None = None,
    quality: Path | None = None,
    discard: Discard = "images",
    edc: EdcRule = "fixed",
) -> Verification:
    """LFW, and every set with its list (XQLFW, SLLFW, RFW): photos `root/name/name_0001.jpg`.

    Args:
        root: folder of the people.
        pairs: the list; `root/pairs.txt` unless given.
        landmarks: CSV of five points for each photo instead of asking the detector; auto is `root/landmarks.csv`
            where that exists. A photo that the CSV does not name counts as one without a face.
        aligned: the photos are crops, aligned to this template (`arcface`).
        missing: what to do about photos that are not there: stop, or drop their pairs and count them.
        folds: of consecutive pairs; those of the list's header, or 10, unless given. A list of one fold, such as
            `pairsDevTest.txt`, names all genuine pairs first: its folds are blocks of either kind, 10 unless given.
        rule: how thresholds are chosen: exact, or the grids of FaceX-Zoo and insightface.
        resamples: of the bootstrap intervals; identities are drawn.
        seed: of the bootstrap.
        name: in the report.
        groups: CSV with the columns path,group, or a number: the folder at that level of a photo's name is its group.
            Adds the rates of each group and between groups, and fairness indices.
        quality: CSV with the columns path,score, larger is better. Adds FNMR after the worst have been discarded.
        discard: discard the worst images with all their pairs, or the worst pairs.
        edc: threshold fixed on all pairs, recomputed on those that are left (CR-FIQA), or so by MagFace's index.
    """
    listed = read_lfw_pairs(pairs or root / "pairs.txt")
    if listed.folds == 1:
        fold = stratified_folds(listed.same, folds or FOLDS)
    else:
        fold = consecutive_folds(len(listed.same), folds or listed.folds or FOLDS)
    benchmark = _from_list(name, listed, fold, root, landmarks, aligned, missing)
    people = [photo.name.rpartition("/")[0] for photo in benchmark.photos]
    identity = np.unique(people, return_inverse=True)[1]
    parts = columns([photo.name for photo in benchmark.photos], groups, quality, discard, edc)
    return replace(benchmark, identity=identity, rule=rule, resamples=resamples, seed=seed, parts=parts)


@BENCHMARKS.register(name="pairs")
def pair_list(
    path: Path,
    root: Path,
    landmarks: Path | Literal["auto"] | None = None,
    aligned: str | None = None,
    missing: Missing = "error",
    folds: int = FOLDS,
    rule: ThresholdRule = "exact",
    resamples: int = 1000,
    seed: int = 0,
    groups: str | None = None,
    quality: Path | None = None,
    discard: Discard = "images",
    edc: EdcRule = "fixed",
) -> Verification:
    """Pairs of a list `left right label`, or two lines `photo label` each as CPLFW and CALFW have them.

    Folds are blocks of either kind in the order of the list, so that genuine and impostor pairs are spread evenly
    also where the list names all genuine pairs first. Identities are not known: intervals resample pairs.

    Args:
        path: the list; photo paths are relative to root.
        root: folder of the photos.
        landmarks, aligned, missing, rule, resamples, seed, groups, quality, discard, edc: as for lfw.
        folds: how many.
    """
    listed = read_pairs(path)
    fold = stratified_folds(listed.same, folds)
    benchmark = _from_list(path.stem, listed, fold, root, landmarks, aligned, missing)
    parts = columns([photo.name for photo in benchmark.photos], groups, quality, discard, edc)
    return replace(benchmark, rule=rule, resamples=resamples, seed=seed, parts=parts)


@BENCHMARKS.register(name="bin")
def pack(
    path: Path,
    aligned: str | None = "arcface",
    folds: int = FOLDS,
    rule: ThresholdRule = "exact",
    resamples: int = 1000,
    seed: int = 0,
) -> Verification:
    """An insightface verification pack (`lfw.bin`, `cfp_fp.bin`, `agedb_30.bin`): crops with consecutive folds.

    Images that occur in many pairs are embedded once. Identities are not in the file: intervals resample pairs.

    Args:
        path: the pack.
        aligned: template of its crops; none if they are raw photos.
        folds, rule, resamples, seed: as for lfw.
    """
    images, same = read_pack(path)
    images, which, first = distinct(images)
    photos = [Photo(f"{path.stem} image {number}", image) for image, number in zip(images, first)]
    return Verification(
        path.stem,
        photos,
        which[::2],
        which[1::2],
        same,
        consecutive_folds(len(same), folds),
        aligned,
        rule=rule,
        resamples=resamples,
        seed=seed,
    )


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
    points = _landmarks(root, landmarks, aligned, names)
    return [Photo(name, root / name, points.get(name)) for name in names], identity, len(found) - len(names)


def _from_list(
    name: str,
    listed: PairList,
    fold: NDArray[np.intp],
    root: Path,
    landmarks: Path | Literal["auto"] | None,
    aligned: str | None,
    missing: Missing,
) -> Verification:
    if not root.is_dir():
        raise InputError(f"{root}: no such folder")
    names, left, right = listed.photos()
    there = np.array([(root / photo).is_file() for photo in names])
    notes: dict[str, str | int] = {}
    if listed.announced not in (None, len(listed.same)):
        notes["pair list"] = f"has {len(listed.same)} pairs where its first line announces {listed.announced}"
    kept = there[left] & there[right]
    if not there.all():
        gone = [photo for photo, present in zip(names, there) if not present]
        if missing == "error":
            raise InputError(
                f"{root}: {len(gone)} of {len(names)} photos are not there, the first: {', '.join(gone[:3])}; "
                "correct root, or leave their pairs out with missing=drop"
            )
        if not kept.any():
            raise InputError(f"{root}: none of the {len(names)} photos of the list gives a pair; correct root")
        notes["pairs dropped"] = f"{int((~kept).sum())}, because {len(gone)} photos are not there"
        used = np.unique(np.concatenate([left[kept], right[kept]]))
        left, right = np.searchsorted(used, left[kept]), np.searchsorted(used, right[kept])
        names = [names[k] for k in used]
    points = _landmarks(root, landmarks, aligned, names)
    photos = [Photo(photo, root / photo, points.get(photo)) for photo in names]
    return Verification(name, photos, left, right, listed.same[kept], fold[kept], aligned, notes=notes)


def _landmarks(
    root: Path, landmarks: Path | Literal["auto"] | None, aligned: str | None, names: list[str]
) -> dict[str, FloatArray]:
    """Landmarks by photo name; empty where they are not used."""
    if aligned is not None:
        if isinstance(landmarks, Path):
            raise InputError(f"{root}: landmarks={landmarks} and aligned={aligned} exclude each other")
        return {}
    if landmarks is None or (landmarks == "auto" and not (root / LANDMARKS).is_file()):
        return {}
    path = root / LANDMARKS if landmarks == "auto" else Path(landmarks)
    points = read_landmarks(path)
    if not any(name in points for name in names):
        raise InputError(f"{path}: names none of the photos of {root}; its paths must be relative to that folder")
    return points
