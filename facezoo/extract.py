"""Embeddings of millions of photos: in blocks, by one process or several, gone on with after a kill."""

from __future__ import annotations

import csv
import logging
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facezoo import progress
from facezoo.data.dataset import Dataset, Names
from facezoo.data.opening import open_dataset
from facezoo.data.problems import Finding
from facezoo.embedder import Embedder
from facezoo.evaluation.feature_file import (
    DONE,
    NO_FACE,
    PENDING,
    UNREADABLE,
    FeatureFile,
    FeatureWriter,
    Header,
    Precision,
    begin,
    names_digest,
)
from facezoo.evaluation.moved import Moved, must_move
from facezoo.evaluation.photos import Crops, Locate, Photo
from facezoo.evaluation.run import alignment_words, needs_locate
from facezoo.evaluation.verification import Verification
from facezoo.files import whole_text
from facezoo.image import SUFFIXES, image_names
from facezoo.options import options_of
from facezoo.registry import BENCHMARKS, DATASETS, parse_spec
from facezoo.types import Crop, FloatArray, InputError

log = logging.getLogger(__name__)

BLOCK = 1024
"""Photos whose rows are written at once; what a killed process may do again."""

FAILURES = "failures.csv"


@dataclass(frozen=True, eq=False)
class Source:
    """Photos to embed.

    Attributes:
        name: of the set.
        photos: in the order of the rows.
        aligned: alignment template of photos that are crops already; None for raw photos.
        labels: (N,), if they are known.
        movable: crops may be moved to another model's template. Those of a benchmark may not: its numbers would suffer.
    """

    name: str
    photos: Sequence[Photo]
    aligned: str | None = None
    labels: NDArray[np.int64] | None = None
    movable: bool = False


class Samples(Sequence[Photo]):
    """The images of a dataset as photos, made when they are asked for: millions of them take no memory."""

    def __init__(self, data: Dataset) -> None:
        self.data = data

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index):
        place = range(len(self))[index]
        return Photo(self.data.path(place), partial(self.data.read, place))


class Files(Sequence[Photo]):
    """Image files of a folder as photos."""

    def __init__(self, root: Path, names: Names) -> None:
        self.root, self.names = root, names

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index):
        name = self.names[index]
        return Photo(name, self.root / name)


class Chosen(Sequence[Photo]):
    """Some of the photos, by their places."""

    def __init__(self, photos: Sequence[Photo], places: NDArray[np.intp]) -> None:
        self.photos, self.places = photos, places

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index):
        return self.photos[int(self.places[index])]


def open_source(text: str, aligned: str | None = None) -> Source:
    """The photos of a benchmark (`lfw:root=...`), a dataset by spec or path, or a folder that holds nothing but photos.

    Args:
        text: what to embed.
        aligned: the images are crops, aligned to this template; a benchmark says that itself.

    Raises:
        InputError: nothing that is known, or a benchmark with `aligned`.
    """
    path = Path(text)
    if not path.exists() and _is_benchmark(text):
        if aligned is not None:
            name = parse_spec(text)[0]
            raise InputError(
                f"{text}: a benchmark says itself that its photos are crops; write {name}:aligned={aligned}"
            )
        benchmark = BENCHMARKS.create(text)
        photos = [photo for photo in benchmark.photos if not photo.mirrored]  # mirror images come with --halves
        known = isinstance(benchmark, Verification) and benchmark.identity is not None
        return Source(benchmark.name, photos, benchmark.aligned, benchmark.identity if known else None)
    if path.is_dir() and holds_photos_only(path):
        names = Names(name.encode("utf-8", "surrogateescape") for name in image_names(path))
        return Source(path.name, Files(path, names), aligned, movable=True)
    data = open_dataset(text)
    return Source(path.name, Samples(data), aligned, data.labels, movable=True)


def _is_benchmark(text: str) -> bool:
    """Whether a spec names a benchmark; where a dataset has the same name, by options that only the benchmark takes."""
    name, options = parse_spec(text)
    if name not in DATASETS:
        return name in BENCHMARKS or name in BENCHMARKS.presets()
    return name in BENCHMARKS and bool(options.keys() - {"", *options_of(DATASETS.factory(name))})


def holds_photos_only(folder: Path) -> bool:
    """Whether a folder has image files in it and nothing else."""
    shown = [entry for entry in os.scandir(folder) if not entry.name.startswith(".")]
    return bool(shown) and all(Path(entry.name).suffix.lower() in SUFFIXES and entry.is_file() for entry in shown)


@dataclass(frozen=True)
class Extracted:
    """What an extraction has come to.

    Attributes:
        photos: of the set.
        no_face: in how many the detector found none.
        unreadable: how many could not be read.
        embedded: by this process, now.
        seconds: that took.
    """

    photos: int
    no_face: int
    unreadable: int
    embedded: int
    seconds: float


@dataclass
class _Block:
    """The crops of consecutive photos until they are embedded."""

    start: int
    size: int
    places: list[int] = field(default_factory=list)
    crops: list[Crop] = field(default_factory=list)


def extract(
    source: Source,
    embed: Embedder,
    out: Path,
    *,
    model: str,
    locate: Locate | None = None,
    dtype: Precision = "float32",
    halves: bool = False,
) -> Extracted:
    """Embed photos into a folder of features, or go on with one that was begun.

    Every block is embedded by itself, so the file is the same to the last bit, however often the work was interrupted
    and by however many processes it was done. Started by torchrun every process takes a share of what is left.

    Args:
        source: from `open_source`.
        embed: the model.
        out: the folder.
        model: digest of the weights.
        locate: landmarks of the main face; needed for raw photos that come without.
        dtype: of the rows.
        halves: keep the embeddings of crop and mirror image apart, side by side.

    Raises:
        InputError: the folder holds other features, raw photos without `locate`, an embedding that is not finite, or
            no photo has a face.
    """
    alignment = alignment_words(source, embed.contract)
    if source.movable and must_move(source.aligned, embed.contract.template):
        moved = Moved(source.photos, str(source.aligned), embed.contract)
        source, alignment = replace(source, photos=moved, aligned=embed.contract.template), moved.words
    photos = source.photos
    if not len(photos):
        raise InputError(f"{source.name}: there are no photos")
    detects = needs_locate(source)
    if detects and locate is None:
        raise InputError(f"{source.name}: raw photos without landmarks need a detector (locate)")
    header = Header(
        len(photos),
        embed.contract,
        model,
        names_digest(photo.name for photo in photos),
        alignment,
        dtype,
        halves,
    )
    several = int(os.environ.get("WORLD_SIZE", "1")) > 1
    rank, ranks = (int(os.environ[key]) for key in ("RANK", "WORLD_SIZE")) if several else (0, 1)
    if rank == 0:
        begin(out, header, (photo.name for photo in photos), source.labels)
    _wait(several)
    if rank:
        begin(out, header, ())  # is there now: only compared
    writer = FeatureWriter(out)
    pending = np.flatnonzero(np.add.reduceat(writer.state == PENDING, np.arange(0, len(photos), BLOCK)) > 0)
    _wait(several)  # no process writes before all have seen what is left
    starts = np.array_split(pending, ranks)[rank] * BLOCK
    places = np.concatenate([np.arange(s, min(s + BLOCK, len(photos))) for s in starts.tolist()] or [np.empty(0, int)])
    crops = Crops(Chosen(photos, places), embed.contract, source.aligned, locate if detects else None, tolerant=True)
    begun = time.perf_counter()
    with progress.bar(len(photos), source.name, "photo", len(photos) - len(places)) as bar:
        for block in _blocks(crops, places, starts):
            rows = np.zeros((block.size, header.width), np.float32)
            rows[block.places] = _embedded(embed, block.crops, halves)
            state = np.full(block.size, NO_FACE, np.uint8)
            state[block.places] = DONE
            first = int(np.searchsorted(places, block.start))
            state[[k - first for k in crops.unreadable if first <= k < first + block.size]] = UNREADABLE
            writer.write(block.start, rows, state)
            bar.update(block.size)
    seconds = time.perf_counter() - begun
    if crops.unreadable:
        log.warning("%s: no embedding: %s", source.name, Finding.of(crops.unreadable.values()))
    _wait(several)
    stored = FeatureFile(out)
    no_face, unreadable = (int((stored.state == kind).sum()) for kind in (NO_FACE, UNREADABLE))
    if rank == 0:
        _write_failures(stored)
    if no_face + unreadable == len(photos):
        raise InputError(f"{source.name}: no photo has a face ({unreadable:,} of {len(photos):,} cannot be read)")
    return Extracted(len(photos), no_face, unreadable, len(places), seconds)


def _blocks(crops: Crops, places: NDArray[np.intp], starts: NDArray[np.intp]) -> Iterator[_Block]:
    """The crops by block; the readers work ahead of the one that is embedded."""
    sizes = np.minimum(BLOCK, len(places) - np.searchsorted(places, starts))
    waiting = [_Block(start, size) for start, size in zip(starts.tolist(), sizes.tolist())][::-1]
    for index, crop in crops.numbered():
        place = int(places[index])
        while place >= waiting[-1].start + waiting[-1].size:
            yield waiting.pop()
        waiting[-1].places.append(place - waiting[-1].start)
        waiting[-1].crops.append(crop)
    while waiting:
        yield waiting.pop()


def _embedded(embed: Embedder, crops: list[Crop], halves: bool) -> FloatArray:
    if not halves:
        return embed(crops)
    plain = embed.under(flip=False)
    mirrored = (np.ascontiguousarray(crop[:, ::-1]) for crop in crops)
    return np.concatenate([plain(crops), plain(mirrored)], axis=1)


def _write_failures(stored: FeatureFile) -> None:
    """Names of the photos without an embedding, and why."""
    why = {NO_FACE: "no face", UNREADABLE: "unreadable"}
    with whole_text(stored.folder / FAILURES) as file:
        file.reconfigure(errors="surrogateescape")  # type: ignore[attr-defined]
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["path", "why"])
        for state, name in zip(stored.state, stored.names()):
            if state in why:
                rows.writerow([name, why[int(state)]])


def _wait(several: bool) -> None:
    """For all processes that torchrun started."""
    if several:
        from facezoo import distributed

        distributed.barrier()
