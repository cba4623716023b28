"""A folder of invented people: photos, exact landmarks, lists for training and pairs for evaluation."""

from __future__ import annotations

import concurrent.futures
import contextlib
import csv
import io
import multiprocessing
import signal
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tomli_w

from facezoo import progress
from facezoo.data.folder import SHEET
from facezoo.data.synthetic.head_model import CACHE_NAME, load_head
from facezoo.data.synthetic.identity import make_identity
from facezoo.data.synthetic.render import MAX_SIZE, project, render
from facezoo.data.synthetic.view import View, draw_view
from facezoo.files import read_toml, write_text
from facezoo.image import read_image, write_image
from facezoo.types import InputError

OPTIONS = "synth.toml"
MAX_COUNT = 9999
"""Of images of a person: their number has four digits, as in LFW."""
FOLDS, PAIRS = 10, 300
"""As in LFW: folds of so many pairs of either kind, if there are enough."""
SHEET_ROWS, SHEET_COLUMNS, SHEET_SIZE = 8, 10, 112


@dataclass(frozen=True)
class Plan:
    """What is rendered; the same plan gives the same bytes.

    Attributes:
        identities: number of people.
        images: photos of each.
        seed: other seeds give other people.
        size: height and width, pixels.
        raw: photos with the face somewhere in a scene, instead of aligned crops.
    """

    identities: int = 200
    images: int = 10
    seed: int = 0
    size: int = 112
    raw: bool = False

    def __post_init__(self) -> None:
        for name, value, low, high in (
            ("identities", self.identities, 1, 10_000_000),
            ("images", self.images, 1, MAX_COUNT),
            ("seed", self.seed, 0, 2**31 - 1),
            ("size", self.size, 16, MAX_SIZE),
        ):
            if not low <= value <= high:
                raise InputError(f"synthetic: {name} is {value}, it must be {low}..{high}")


def write_faces(
    out: Path,
    identities: int = 200,
    images: int = 10,
    *,
    seed: int = 0,
    size: int = 112,
    raw: bool = False,
    workers: int = 1,
) -> int:
    """Render invented people into a folder, or continue where an earlier run stopped; photos that are there are kept.

    Written are `<person>/<person>_0001.jpg`, `train.txt` (path and label), `landmarks.csv` (path, x0, y0, .. x4, y4 in
    pixels), `metadata.csv` (what varies from photo to photo), `sheet.jpg` (a contact sheet), `synth.toml` (the options)
    and, for two images and two people or more, `pairs.txt` in LFW's grammar with folds of separate people.

    Args:
        out: the folder; new, empty, or left by an earlier run of the same options.
        identities: number of people.
        images: photos of each.
        seed: other seeds give other people.
        size: height and width, pixels.
        raw: photos with the face somewhere in a scene, instead of aligned crops.
        workers: processes.

    Returns:
        Number of photos that were rendered now.

    Raises:
        InputError: the folder holds another plan's photos, or other files.
    """
    plan = Plan(identities, images, seed, size, raw)
    _claim(out, plan)
    # Fetched and compiled once, before there are workers to do it all over.
    first = make_identity(load_head(), plan.seed, 0)
    render(first, draw_view(first.head, first.traits, 0), size=16)
    rendered, rows = 0, []
    numbers = range(plan.identities)
    with progress.bar(plan.identities * plan.images, "synth", "images") as bar:
        for new, own in _work(out, plan, numbers, workers):
            rendered += new
            rows += own
            bar.update(len(own))
    _write_lists(out, plan, rows)
    return rendered


def name_of(number: int) -> str:
    return f"person_{number:05d}"


def path_of(number: int, image: int) -> str:
    """The photo's path below the folder; images count from 1, as in LFW."""
    return f"{name_of(number)}/{name_of(number)}_{image + 1:04d}.jpg"


def _claim(out: Path, plan: Plan) -> None:
    """Record the plan in the folder, or find that it is the one recorded there."""
    recorded = {"head": CACHE_NAME, **asdict(plan)}
    path = out / OPTIONS
    if path.is_file():
        found = read_toml(path)
        for key in sorted({*recorded, *found}):
            if recorded.get(key) != found.get(key):
                raise InputError(
                    f"{out}: was rendered with {key} = {found.get(key)}, now {key} = {recorded.get(key)} is asked for;"
                    " give the same options or another folder"
                )
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out}: is not empty and holds no {OPTIONS}; give a new folder")
    else:
        write_text(path, tomli_w.dumps(recorded))


def _work(out: Path, plan: Plan, numbers: range, workers: int) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """What `_person` returns for every person, in order."""
    if workers < 1:
        raise InputError(f"synthetic: workers is {workers}, it must be 1 or more")
    if workers == 1:
        threads = cv2.getNumThreads()
        cv2.setNumThreads(1)
        try:
            yield from (_person(out, plan, number) for number in numbers)
        finally:
            cv2.setNumThreads(threads)
        return
    context = multiprocessing.get_context("spawn")
    pool = concurrent.futures.ProcessPoolExecutor(workers, context, initializer=_start_worker)
    waiting: list[concurrent.futures.Future[tuple[int, list[dict[str, Any]]]]] = []
    try:
        ahead = iter(numbers)
        # Few people are handed out at a time: an interruption has little to wait for.
        with contextlib.suppress(StopIteration):
            while True:
                while len(waiting) < 4 * workers:
                    waiting.append(pool.submit(_person, out, plan, next(ahead)))
                yield waiting.pop(0).result()
        for future in waiting:
            yield future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent stops the work
    cv2.setNumThreads(1)


def _person(out: Path, plan: Plan, number: int) -> tuple[int, list[dict[str, Any]]]:
    """Render what is missing of one person; the number of new photos, and a row for each photo."""
    identity = make_identity(load_head(), plan.seed, number)
    rendered, rows = 0, []
    for image in range(plan.images):
        view = draw_view(identity.head, identity.traits, image)
        path = path_of(number, image)
        if not (out / path).is_file():
            write_image(out / path, render(identity, view, plan.size, aligned=not plan.raw).image)
            rendered += 1
        landmarks = project(identity, view, plan.size, aligned=not plan.raw)[2]
        traits = identity.traits
        person = {"group": traits.group, "sex": traits.sex, "age": round(traits.age, 1), "hair": traits.style}
        rows.append({"path": path, "label": number, **person, **_describe(view), "landmarks": landmarks})
    return rendered, rows


def _describe(view: View) -> dict[str, Any]:
    units = sorted({name.rpartition("/")[2] for name in view.expression})
    return {
        "yaw": round(view.yaw, 2),
        "pitch": round(view.pitch, 2),
        "roll": round(view.roll, 2),
        "light": round(view.light, 1),
        "contrast": round(view.contrast, 3),
        "distance": round(view.distance, 2),
        "blur": round(view.blur, 3),
        "noise": round(view.noise, 3),
        "quality": view.quality,
        "expression": " ".join(units),
    }


def _write_lists(out: Path, plan: Plan, rows: list[dict[str, Any]]) -> None:
    write_text(out / "train.txt", "".join(f"{row['path']} {row['label']}\n" for row in rows))
    header = ["path", *(f"{axis}{k}" for k in range(5) for axis in "xy")]
    marks = [[row["path"], *(f"{value:.3f}" for value in row["landmarks"].reshape(-1))] for row in rows]
    write_text(out / "landmarks.csv", _csv([header, *marks]))
    columns = [name for name in rows[0] if name != "landmarks"]
    write_text(out / "metadata.csv", _csv([columns, *([row[name] for name in columns] for row in rows)]))
    if plan.images > 1 and plan.identities > 1:
        write_text(out / "pairs.txt", lfw_pairs(plan))
    _write_sheet(out, plan)


def _csv(rows: list[list[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def lfw_pairs(plan: Plan) -> str:
    """Pairs in LFW's grammar: folds of separate people, as many genuine as impostor pairs in each, by the seed."""
    folds = min(FOLDS, plan.identities // 2)
    smallest = plan.identities // folds
    pairs = min(PAIRS, smallest * plan.images * (plan.images - 1) // 2, smallest * (smallest - 1) // 2 * plan.images**2)
    rng = np.random.default_rng([plan.seed, plan.identities, plan.images])
    lines = [f"{folds}\t{pairs}"]
    for fold in range(folds):
        people = np.arange(fold, plan.identities, folds)
        same: set[tuple[int, int, int, int]] = set()
        other: set[tuple[int, int, int, int]] = set()
        while len(same) < pairs:
            person, (i, j) = int(rng.choice(people)), sorted(map(int, rng.choice(plan.images, 2, replace=False)))
            same.add((person, i, person, j))
        while len(other) < pairs:
            a, b = sorted(map(int, rng.choice(people, 2, replace=False)))
            other.add((a, int(rng.integers(plan.images)), b, int(rng.integers(plan.images))))
        lines += [f"{name_of(a)}\t{i + 1}\t{j + 1}" for a, i, _, j in sorted(same)]
        lines += [f"{name_of(a)}\t{i + 1}\t{name_of(b)}\t{j + 1}" for a, i, b, j in sorted(other)]
    return "\n".join(lines) + "\n"


def _write_sheet(out: Path, plan: Plan) -> None:
    """The first people, one row each, on one picture."""
    sheet = np.full((min(SHEET_ROWS, plan.identities), min(SHEET_COLUMNS, plan.images), SHEET_SIZE, SHEET_SIZE, 3), 255)
    for number, row in enumerate(sheet):
        for image in range(len(row)):
            photo = read_image(out / path_of(number, image))
            row[image] = cv2.resize(photo, (SHEET_SIZE, SHEET_SIZE), interpolation=cv2.INTER_AREA)
    rows, columns = sheet.shape[:2]
    flat = sheet.transpose(0, 2, 1, 3, 4).reshape(rows * SHEET_SIZE, columns * SHEET_SIZE, 3)
    write_image(out / SHEET, flat.astype(np.uint8), quality=90)
