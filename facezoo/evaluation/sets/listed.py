"""How a set's list of pairs becomes a benchmark, with the options that all sets share."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from facezoo.data.pairs import PairList
from facezoo.evaluation.by_group import ByGroup
from facezoo.evaluation.columns import columns
from facezoo.evaluation.compat import ValPart
from facezoo.evaluation.folds import consecutive_folds, stratified_folds
from facezoo.evaluation.landmark_files import find_points, read_points
from facezoo.evaluation.photos import Photo
from facezoo.evaluation.quality_curves import Discard, EdcRule
from facezoo.evaluation.verification import ThresholdRule, Verification
from facezoo.types import FloatArray, InputError

Missing: TypeAlias = Literal["error", "drop"]

FOLDS = 10
"""As in LFW's view 2."""

LANDMARKS = "landmarks.csv"


@dataclass(frozen=True, eq=False)
class Listed:
    """What is particular to a set: its list, where its photos are, and who is on them.

    Attributes:
        name: of the set.
        root: folder that the names of the list are relative to.
        pairs: the list.
        fold: of each pair (P,); None where the list says nothing: consecutive blocks.
        by_kind: folds are blocks of either kind, for lists that name all genuine pairs first.
        person: whose photo a name is; None where names do not tell.
        landmarks: files and folders in which the set's own landmarks may be, for landmarks=auto.
    """

    name: str
    root: Path
    pairs: PairList
    fold: NDArray[np.intp] | None = None
    by_kind: bool = False
    person: Callable[[str], str] | None = None
    landmarks: Sequence[Path] = field(default=())


def verification(
    source: Listed,
    landmarks: Path | Literal["auto"] | None = None,
    aligned: str | None = None,
    missing: Missing = "error",
    folds: int | None = None,
    rule: ThresholdRule = "exact",
    val: float | None = None,
    zoom: int | None = None,
    resamples: int = 1000,
    seed: int = 0,
    name: str | None = None,
    groups: str | None = None,
    quality: Path | None = None,
    discard: Discard = "images",
    edc: EdcRule = "fixed",
) -> Verification:
    """The benchmark of a list.

    Args:
        source: the list.
        landmarks: five points for each photo instead of asking the detector: a CSV, or the set's own files; auto takes
            `root/landmarks.csv` or the files that lie where the set has them. A photo without points counts as one
            without a face.
        aligned: the photos are crops, aligned to this template (`arcface`).
        missing: what to do about photos that are not there: stop, or drop their pairs and count them.
        folds: how many, instead of the set's own.
        rule: how thresholds are chosen: exact, or the grids of FaceX-Zoo and insightface.
        val: adds insightface's TAR at this FAR, interpolated on its grid.
        zoom: crops are scaled to so many pixels and their middle is taken, as face.evoLVe does it with 128.
        resamples: of the bootstrap intervals; identities are drawn where they are known.
        seed: of the bootstrap.
        name: in the report.
        groups: CSV with the columns path,group, or a number: the folder at that level of a photo's name is its group.
            Adds the rates of each group and between groups, and fairness indices.
        quality: CSV with the columns path,score, larger is better. Adds FNMR after the worst have been discarded.
        discard: discard the worst images with all their pairs, or the worst pairs.
        edc: threshold fixed on all pairs, recomputed on those that are left (CR-FIQA), or so by MagFace's index.
    """
    listed, root = source.pairs, source.root
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
        if not there.any():
            raise InputError(
                f"{root}: none of the {len(names)} photos of the list is there, the first: {', '.join(gone[:3])}; "
                "correct root"
            )
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
    same, fold = listed.same[kept], _folds(source, folds, kept)
    if fold.min() == fold.max():
        raise InputError(
            f"{root}: the {len(fold)} pairs that are left are all of one fold of the list; cut them anew, such as with "
            "folds=10"
        )
    identity = None
    if source.person is not None:
        identity = np.unique([source.person(photo) for photo in names], return_inverse=True)[1]
        if wrong := int(((identity[left] == identity[right]) != same).sum()):
            notes["identities"] = f"not known: the labels of {wrong} pairs contradict the names of their photos"
            identity = None
    if zoom is not None:
        if aligned is None:
            raise InputError(
                f"zoom={zoom} is for crops; say to which template they are aligned, such as aligned=arcface"
            )
        notes["zoom"] = zoom_words(zoom)
    points = landmarks_of(root, landmarks, aligned, names, source.landmarks)
    photos = [Photo(photo, root / photo, points.get(photo), zoom=zoom) for photo in names]
    parts = columns(names, groups, quality, discard, edc)
    if val is not None:
        parts = (*parts, ValPart(val, fold))
    return Verification(
        name or source.name,
        photos,
        left,
        right,
        same,
        fold,
        aligned,
        identity,
        rule,
        resamples,
        seed,
        notes,
        parts,
    )


def zoom_words(zoom: int) -> str:
    return f"crops scaled to {zoom} pixels, of which the middle is taken"


def _folds(source: Listed, folds: int | None, kept: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Folds of the pairs that are kept: those of the list, or as many as are asked for, cut of what is left."""
    listed = source.pairs
    if folds is None and source.fold is not None:
        return source.fold[kept]
    same = listed.same if folds is None else listed.same[kept]
    if source.by_kind or listed.folds == 1 or source.fold is not None:
        fold = stratified_folds(same, folds or FOLDS)
    else:
        fold = consecutive_folds(len(same), folds or listed.folds or FOLDS)
    return fold[kept] if folds is None else fold


def landmarks_of(
    root: Path,
    landmarks: Path | Literal["auto"] | None,
    aligned: str | None,
    names: list[str],
    places: Sequence[Path] = (),
) -> dict[str, FloatArray]:
    """Landmarks by photo name; empty where they are not used."""
    if aligned is not None:
        if isinstance(landmarks, Path):
            raise InputError(f"{root}: landmarks={landmarks} and aligned={aligned} exclude each other")
        return {}
    if landmarks is None:
        return {}
    if landmarks == "auto":
        chosen = root / LANDMARKS
        if not chosen.is_file():
            return find_points(places, names)
    else:
        chosen = Path(landmarks)
    points = read_points(chosen, names)
    if not points:
        raise InputError(f"{chosen}: names none of the photos of {root}; its paths must be relative to that folder")
    return points


Source: TypeAlias = Callable[..., "Listed | list[Listed]"]


def pair_set(source: Source) -> Callable[..., Any]:
    """Make of a function that finds a set's list a factory of its benchmark, with the options of `verification`.

    A set that is several lists, one for each group, becomes a `ByGroup`.
    """
    own, more = inspect.signature(source), inspect.signature(verification)
    shared = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for key, parameter in more.parameters.items()
        if key != "source"
    ]

    @functools.wraps(source)
    def factory(*arguments: Any, **options: Any) -> Any:
        chosen = {parameter.name: options.pop(parameter.name) for parameter in shared if parameter.name in options}
        found = source(*arguments, **options)
        if isinstance(found, Listed):
            return verification(found, **chosen)
        name = chosen.pop("name", None) or source.__name__
        made = {listed.name: verification(listed, **chosen) for listed in found}
        return ByGroup(name, made, chosen.get("aligned"))

    factory.__signature__ = own.replace(parameters=[*own.parameters.values(), *shared])  # type: ignore[attr-defined]
    hints = typing.get_type_hints(verification) | typing.get_type_hints(source)
    factory.__annotations__ = {key: hint for key, hint in hints.items() if key != "source"}
    return factory
