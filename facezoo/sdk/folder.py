"""A folder of photos to a folder of aligned crops: resumable, in parallel, with a report."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import IO, Any, Literal

from facezoo.align import align, template_points
from facezoo.files import write_text
from facezoo.image import find_images, read_image, write_image
from facezoo.progress import bar
from facezoo.sdk.detector import Detector, main_face
from facezoo.sdk.record import face_values
from facezoo.types import InputError

JOURNAL, REPORT = "align.jsonl", "report.json"


@dataclass
class AlignReport:
    """What became of a folder; paths are relative to it.

    Attributes:
        images: photos found.
        crops: crops that lie in the output folder.
        without_face: photos in which no face was found.
        unreadable: photo -> why it could not be read.
        settings: what the crops were made with.
    """

    images: int = 0
    crops: int = 0
    without_face: list[str] = field(default_factory=list)
    unreadable: dict[str, str] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)


def align_folder(
    source: Path,
    out: Path,
    detector: Detector,
    *,
    template: str = "arcface",
    size: tuple[int, int] = (112, 112),
    faces: Literal["main", "all"] = "main",
    format: Literal["jpg", "png"] = "jpg",
    workers: int = 2,
) -> AlignReport:
    """Crop the faces of all photos below `source` into the same sub-folders of `out`.

    Every photo is noted in `out/align.jsonl` (size and time of the file, crops, boxes, landmarks) as soon as it is
    done, so an interrupted run goes on where it stopped; `out/report.json` is written at the end. A photo whose file
    has changed since, or is another source's of the same name, is done again and its crops are replaced. Of several
    faces, `<name>_face0` is the one with the best score.

    Args:
        template: alignment template, see `facezoo.align.TEMPLATES`.
        size: height and width of the crops.
        faces: the main face of each photo, or all.
        workers: threads that read, detect and write.

    Raises:
        InputError: no photos below `source`, `out` is `source` or inside it, or holds crops made with other settings
            or by another detector.
    """
    template_points(template, size)  # refuses an unknown template before any work
    source, out = Path(source), Path(out)
    if out.resolve() == source.resolve() or source.resolve() in out.resolve().parents:
        raise InputError(f"{out}: crops would lie among the photos of {source}; choose a folder outside of it")
    paths = find_images(source)
    if not paths:
        raise InputError(f"{source}: holds no images")
    if any(folder.resolve().is_relative_to(out.resolve()) for folder in {path.parent for path in paths}):
        raise InputError(f"{out}: a link in {source} leads there, crops would be taken for photos; remove the link")
    settings = {"template": template, "size": list(size), "faces": faces, "format": format, "detector": detector.spec}
    names = _targets(paths, source)
    done = _read_journal(out / JOURNAL, settings)
    todo = [name for name in names if not _is_done(done.get(name), source / name, out)]

    def work(name: str) -> dict[str, Any]:
        return _align_one(source / name, out, names[name], detector, settings)

    with _journal(out / JOURNAL) as journal, bar(len(names), "align", "photo") as progress:
        if not done:
            _note(journal, {"settings": settings})
        progress.update(len(names) - len(todo))
        for name, entry in zip(todo, _in_order(work, todo, workers), strict=True):
            _remove_crops(out, names[name].parent, _crops(done.get(name)) - _crops(entry))
            done[name] = entry
            _note(journal, {"image": name, **entry})
            progress.update()
    report = _summary({name: done[name] for name in names}, settings)
    write_text(out / REPORT, json.dumps(asdict(report), indent=2) + "\n")
    return report


def _align_one(path: Path, out: Path, stem: Path, detector: Detector, settings: dict[str, Any]) -> dict[str, Any]:
    state = _state(path)  # before it is read: a photo that changes meanwhile is done again
    try:
        image = read_image(path)
    except InputError as error:
        return {"error": str(error).removeprefix(f"{path}: ")}
    found = detector(image)
    if settings["faces"] == "main":
        main = main_face(found, image.shape[:2])
        found = [] if main is None else [main]
    crops = []
    for rank, face in enumerate(found):
        ending = f"_face{rank}" if settings["faces"] == "all" else ""
        target = stem.with_name(f"{stem.name}{ending}.{settings['format']}")
        height, width = settings["size"]
        write_image(out / target, align(image, face.landmarks, settings["template"], (height, width)))
        crops.append({"crop": target.as_posix(), **face_values(face)})
    return {**state, "crops": crops}


def _targets(paths: list[Path], source: Path) -> dict[str, Path]:
    """Photo -> crop without its ending; photos that differ only in their ending keep it in the name."""
    relative = [path.relative_to(source) for path in paths]
    stems = Counter(path.with_suffix("") for path in relative)
    return {path.as_posix(): path.with_suffix("") if stems[path.with_suffix("")] == 1 else path for path in relative}


def _state(path: Path) -> dict[str, int]:
    """What tells a photo's file from a later or another one of its name; empty if it cannot be asked for."""
    try:
        found = path.stat()
    except OSError:  # reading it says why
        return {}
    return {"bytes": found.st_size, "mtime_ns": found.st_mtime_ns}


def _is_done(entry: dict[str, Any] | None, path: Path, out: Path) -> bool:
    # An unreadable photo is tried again: it may have been mended.
    if entry is None or "error" in entry:
        return False
    state = {key: entry.get(key) for key in ("bytes", "mtime_ns")}
    return state == _state(path) and all((out / crop).is_file() for crop in _crops(entry))


def _crops(entry: dict[str, Any] | None) -> set[str]:
    return {crop["crop"] for crop in (entry or {}).get("crops", ())}


def _remove_crops(out: Path, folder: Path, crops: set[str]) -> None:
    """Crops of a photo that its file no longer gives, in the folder where its crops lie."""
    for crop in crops:
        (out / folder / Path(crop).name).unlink(missing_ok=True)


@contextmanager
def _journal(path: Path) -> Iterator[IO[str]]:
    """The journal, open for further lines, with the line that a killed run left unfinished ended."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab+") as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.write(b"\n")
    with path.open("a", encoding="utf-8") as journal:
        yield journal


def _read_journal(path: Path, settings: dict[str, Any]) -> dict[str, dict[str, Any]]:
    if not path.is_file():
        return {}
    made: dict[str, Any] | None = None
    done: dict[str, dict[str, Any]] = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:  # the line a killed run was writing
            continue
        if "settings" in entry:
            made = entry["settings"]
            if made != settings:
                words = ", ".join(f"{key} {value}" for key, value in made.items())
                raise InputError(f"{path.parent}: holds crops made with {words}; choose another folder or remove it")
        # What stands before the settings was made with nobody knows what: it is done again.
        elif "image" in entry and made is not None:
            done[entry.pop("image")] = entry
    return done


def _note(journal: IO[str], entry: dict[str, Any]) -> None:
    journal.write(json.dumps(entry) + "\n")
    journal.flush()


def _in_order(work: Any, names: list[str], workers: int) -> Iterator[dict[str, Any]]:
    """Results in the order of the names; only a few photos are under way at once."""
    rest = iter(names)
    with ThreadPoolExecutor(workers) as pool:
        running: list[Future[dict[str, Any]]] = [pool.submit(work, name) for name in islice(rest, 2 * workers)]
        try:
            while running:
                yield running.pop(0).result()
                running += [pool.submit(work, name) for name in islice(rest, 1)]
        finally:
            for future in running:
                future.cancel()


def _summary(done: dict[str, dict[str, Any]], settings: dict[str, Any]) -> AlignReport:
    report = AlignReport(images=len(done), settings=settings)
    for name, entry in done.items():
        if "error" in entry:
            report.unreadable[name] = entry["error"]
        elif not entry["crops"]:
            report.without_face.append(name)
        else:
            report.crops += len(entry["crops"])
    return report
