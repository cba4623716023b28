"""IJB-B and IJB-C from the lists that insightface and FaceX-Zoo hand on."""

from __future__ import annotations

import csv
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from facezoo.data.pairs import MAX_LIST_BYTES, inside, pair_lines
from facezoo.evaluation.aggregation import Norm
from facezoo.evaluation.ijb import IJB, Flip, Gallery
from facezoo.evaluation.open_set import FpirRule, Ties
from facezoo.evaluation.photos import Photo
from facezoo.evaluation.template_verification import FprRule
from facezoo.files import unreadable
from facezoo.registry import BENCHMARKS
from facezoo.types import FloatArray, InputError

MAX_NUMBER = (1 << 63) - 1
GALLERIES = {"ijbb": ("S1", "S2"), "ijbc": ("G1", "G2")}


def list_path(root: Path, name: str) -> Path:
    """Where a list lies: in root or in its folder meta."""
    for folder in (root / "meta", root):
        if (folder / name).is_file():
            return folder / name
    raise InputError(f"{root}: {name} is neither there nor in {root / 'meta'}")


@dataclass(frozen=True, eq=False)
class TemplateList:
    """Which photo belongs to which template and medium, (M,)."""

    names: list[str]
    template: NDArray[np.int64]
    media: NDArray[np.int64]


def read_templates(path: Path) -> TemplateList:
    """Lines `name template media`.

    Raises:
        InputError: unreadable, empty, or a line of another form; the line is named.
    """
    names, numbers = [], []
    for number, fields in pair_lines(path):
        if len(fields) != 3 or not fields[1].isdecimal() or not fields[2].isdecimal():
            raise InputError(f"{path}: line {number}: 'name template media' was expected")
        names.append(inside(path, number, fields[0]))
        numbers.append((int(fields[1]), int(fields[2])))
    if not names:
        raise InputError(f"{path}: there are no photos in it")
    template, media = _numbers(path, numbers)
    return TemplateList(names, template, media)


def _numbers(path: Path, rows: list[tuple[int, int]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Two columns of numbers, (M,) each."""
    if largest := max((number for row in rows for number in row if number > MAX_NUMBER), default=0):
        raise InputError(f"{path}: the number {largest} of a template, medium or subject is larger than 2^63 - 1")
    first, second = np.array(rows, np.int64).T
    return first, second


def read_faces(path: Path) -> tuple[list[str], FloatArray, FloatArray]:
    """Names (N), five points (N, 5, 2) in pixels and detector scores (N,) of lines `name x1 y1 .. x5 y5 score`."""
    names, numbers = [], []
    for number, fields in pair_lines(path):
        try:
            values = [float(field) for field in fields[1:]]
        except ValueError:
            values = []
        if len(values) != 11:
            raise InputError(f"{path}: line {number}: 'name x1 y1 .. x5 y5 score' was expected")
        names.append(inside(path, number, fields[0]))
        numbers.append(values)
    if not names:
        raise InputError(f"{path}: there are no photos in it")
    found = np.array(numbers)
    if not np.isfinite(found).all():
        raise InputError(f"{path}: some numbers are not finite")
    return names, found[:, :10].reshape(-1, 5, 2), found[:, 10]


def read_template_pairs(path: Path) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.bool_]]:
    """Two template ids and whether they are genuine, (P,) each, of lines `template template label`."""
    try:
        if path.stat().st_size > MAX_LIST_BYTES:
            raise InputError(f"{path}: more than the {MAX_LIST_BYTES:,} bytes that are read")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of a file of blank lines, which is refused below
            found = np.loadtxt(path, np.int32, comments=None, ndmin=2)
    except OSError as error:
        raise unreadable(path, error) from None
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        words = str(error).partition(";")[0]
        raise InputError(f"{path}: not a list of 'template template label': {words}") from None
    if not found.size:
        raise InputError(f"{path}: there are no pairs in it")
    if found.shape[1] != 3:
        raise InputError(f"{path}: {found.shape[1]} fields in a line, 'template template label' was expected")
    return found[:, 0].copy(), found[:, 1].copy(), found[:, 2] > 0


def read_subjects(path: Path) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Template and subject of each line of a 1:N list, each template once, (K,): a CSV with a header line."""
    subjects: dict[int, int] = {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.reader(file)
            next(rows, None)
            for line, row in enumerate(rows, start=2):
                if not row:
                    continue
                if len(row) < 2 or not row[0].strip().isdecimal() or not row[1].strip().isdecimal():
                    raise InputError(
                        f"{path}: line {line}: template and subject were expected in the first two columns"
                    )
                template, subject = int(row[0]), int(row[1])
                if subjects.setdefault(template, subject) != subject:
                    raise InputError(f"{path}: line {line}: template {template} has two subjects")
    except OSError as error:
        raise unreadable(path, error) from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: not a CSV file in UTF-8: {error}") from None
    if not subjects:
        raise InputError(f"{path}: there are no templates in it")
    return _numbers(path, list(subjects.items()))


def rows_of(path: Path, ids: NDArray[np.integer], wanted: NDArray[np.integer]) -> NDArray[np.int32]:
    """Where the wanted template ids are among all, rising ones (T,)."""
    # 15 million look-ups: a table by id where the ids allow one is ten times as fast as a search.
    if int(ids[-1]) < 100 * len(ids) + 1_000_000 and ids[0] >= 0:
        table = np.full(int(ids[-1]) + 2, -1, np.int32)
        table[ids] = np.arange(len(ids))
        rows = table[np.where((wanted < 0) | (wanted > ids[-1]), ids[-1] + 1, wanted)]
    else:
        rows = np.searchsorted(ids, wanted).clip(max=len(ids) - 1).astype(np.int32)
        rows[ids[rows] != wanted] = -1
    if (unknown := rows < 0).any():
        raise InputError(f"{path}: template {wanted[unknown][0]} has no photo in the list of templates")
    return rows


@BENCHMARKS.register
def ijb(
    root: Path,
    set: Literal["ijbc", "ijbb"] = "ijbc",
    task: Literal["both", "verify", "identify"] = "both",
    norm: Norm = "keep",
    detector_score: Literal["on", "off"] = "on",
    flip: Flip = "model",
    fpr_rule: FprRule = "conservative",
    fpir_rule: FpirRule = "conservative",
    ties: Ties = "miss",
    resamples: int = 1000,
    seed: int = 0,
) -> IJB:
    """IJB-B or IJB-C: template pairs (1:1) and two galleries (1:N), photos aligned by the five points that come along.

    The lists lie in root or in `root/meta`, the photos in `root/loose_crop`.

    Args:
        root: folder of the set.
        set: ijbc or ijbb.
        task: verify (1:1), identify (1:N) or both.
        norm: keep the embeddings' length in the average, or unit.
        detector_score: weigh photos by the detector's score.
        flip: model takes one embedding a photo, and alone that of a model whose own flip is off (`--no-flip`); off, add
            and concat embed photo and mirror image apart, with such a model.
        fpr_rule: threshold for a FAR: conservative, or the nearest ROC point of the IJB scripts.
        fpir_rule: threshold for an FPIR: conservative, or the index of the IJB scripts.
        ties: a mate that shares its score with another subject is a miss, or a hit.
        resamples, seed: of the bootstrap over identities.
    """
    listed = read_templates(list_path(root, f"{set}_face_tid_mid.txt"))
    names, landmarks, detector = read_faces(list_path(root, f"{set}_name_5pts_score.txt"))
    ids = np.unique(listed.template)
    where = {name: k for k, name in enumerate(names)}
    if unknown := [name for name in listed.names if name not in where]:
        raise InputError(f"{root}: {len(unknown)} photos of the templates have no five points, the first: {unknown[0]}")
    photos = [Photo(name, root / "loose_crop" / name, points) for name, points in zip(names, landmarks)]
    if not (root / "loose_crop" / names[0]).is_file():  # half a million are not looked for one by one
        raise InputError(f"{root / 'loose_crop' / names[0]}: no such photo; root must hold the folder loose_crop")
    if flip not in ("model", "alone"):
        photos += [replace(photo, mirrored=True) for photo in photos]
    pairs = None
    if task != "identify":
        path = list_path(root, f"{set}_template_pair_label.txt")
        left, right, same = read_template_pairs(path)
        pairs = rows_of(path, ids, left), rows_of(path, ids, right), same
    galleries = []
    if task != "verify":
        for part in (*GALLERIES[set], "probe"):
            file = f"{set}_1N_probe_mixed.csv" if part == "probe" else f"{set}_1N_gallery_{part}.csv"
            path = list_path(root, file)
            templates, subjects = read_subjects(path)
            galleries.append(Gallery(part, rows_of(path, ids, templates).astype(np.intp), subjects))
    return IJB(
        set,
        photos,
        np.array([where[name] for name in listed.names], np.intp),
        listed.template,
        listed.media,
        detector,
        pairs,
        galleries[:-1],
        galleries[-1] if galleries else None,
        None,
        norm,
        detector_score,
        flip,
        fpr_rule,
        fpir_rule,
        ties,
        resamples,
        seed,
    )


SCRIPTS = "fpr_rule=nearest,fpir_rule=index"
BENCHMARKS.preset("ijb@insightface", f"ijb:norm=keep,detector_score=on,{SCRIPTS}")
BENCHMARKS.preset("ijb@facexzoo", f"ijb:norm=unit,detector_score=on,flip=alone,{SCRIPTS}")
BENCHMARKS.preset("ijb@tface", f"ijb:norm=unit,detector_score=off,flip=alone,{SCRIPTS}")
