"""From a benchmark and a model to a report."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import singledispatch
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from facezoo import progress
from facezoo.data.problems import Finding
from facezoo.evaluation.digests import list_digest, photos_digest
from facezoo.evaluation.photos import Crops, Locate, Photo
from facezoo.evaluation.report import UNREADABLE, Report, Speed, shown_cosine
from facezoo.evaluation.verification import Verification
from facezoo.types import Contract, Crop, FloatArray, InputError

log = logging.getLogger(__name__)

AT_THRESHOLD = "at the model's threshold"
"""Key of the protocol: what the contract's threshold, which was set elsewhere, does on this benchmark."""


class PhotoSet(Protocol):
    """Photos in a fixed order, and the alignment template of those that are crops already."""

    @property
    def name(self) -> str: ...

    @property
    def photos(self) -> Sequence[Photo]: ...

    @property
    def aligned(self) -> str | None: ...


class Benchmark(PhotoSet, Protocol):
    """Photos in a fixed order and a pure function of their embeddings."""

    def score(self, embeddings: FloatArray, failed: NDArray[np.bool_] | None = None) -> Report:
        """The report for embeddings (N, D) and the photos without a face (N,)."""


class Embed(Protocol):
    """Crops to embeddings (N, D), not normalised; `facezoo.embedder.Embedder` is one."""

    @property
    def contract(self) -> Contract: ...

    def __call__(self, crops: Iterable[Crop], /) -> FloatArray: ...


def needs_locate(benchmark: PhotoSet) -> bool:
    """Whether the benchmark is made of raw photos of which no landmarks are known."""
    return benchmark.aligned is None and all(photo.landmarks is None for photo in benchmark.photos)


@dataclass(frozen=True, eq=False)
class Embedded:
    """The photos of a benchmark, embedded.

    Attributes:
        embeddings: (N, D) in the benchmark's order; zero rows for photos without a face.
        failed: (N,), the photos without a face.
        resized: how many crops did not have the model's size.
        speed: None if the embeddings were not computed now.
        words: of the protocol, where they were made elsewhere.
        unreadable: places of the photos that cannot be read; they are among the failed ones.
    """

    embeddings: FloatArray
    failed: NDArray[np.bool_]
    resized: int = 0
    speed: Speed | None = None
    words: Mapping[str, str] = field(default_factory=dict)
    unreadable: NDArray[np.intp] = field(default_factory=lambda: np.empty(0, np.intp))


def embed_photos(benchmark: Benchmark, embed: Embed, locate: Locate | None = None, *, empty: bool = False) -> Embedded:
    """Read, align and embed each photo once.

    Args:
        empty: allow that there is no face at all, as may be in a part of a benchmark.

    Raises:
        InputError: raw photos without landmarks and no `locate`, crops of another template, or no face at all. A photo
            that cannot be read counts as one without a face, with a warning.
    """
    if embed.contract.flip and len(benchmark.photos) and benchmark.photos[-1].mirrored:
        raise InputError(
            f"{benchmark.name}: takes photos and mirror images apart, but {embed.contract.name} adds the mirror image "
            "itself; turn that off (--no-flip)"
        )
    detects = needs_locate(benchmark)
    if detects and locate is None:
        raise InputError(
            f"{benchmark.name}: raw photos without landmarks; give landmarks=FILE.csv or a detector (locate)"
        )
    start = time.perf_counter()
    crops = Crops(benchmark.photos, embed.contract, benchmark.aligned, locate if detects else None, tolerant=True)
    found = np.asarray(embed(_tracked(crops, benchmark.name)))
    unreadable = Finding.of(crops.unreadable.values())
    if crops.failed.all() and not empty:
        raise InputError(
            f"{benchmark.name}: no photo has a face" + (f"; unreadable: {unreadable}" if unreadable.count else "")
        )
    if unreadable.count:
        log.warning("%s: unreadable photos, counted as photos without a face: %s", benchmark.name, unreadable)
    embeddings = np.zeros((len(benchmark.photos), found.shape[1]), np.float32)
    embeddings[~crops.failed] = found
    speed = Speed(len(benchmark.photos), time.perf_counter() - start)
    places = np.array(list(crops.unreadable), np.intp)
    return Embedded(embeddings, crops.failed.copy(), crops.resized, speed, unreadable=places)


def with_landmarks(benchmark: Verification, locate: Locate) -> Verification:
    """The benchmark with the landmarks of its raw photos found once, for models that are evaluated again and again."""
    photos = [
        replace(photo, landmarks=locate(photo.read()))
        for photo in progress.track(benchmark.photos, f"{benchmark.name}: detect", "photo")
    ]
    return replace(benchmark, photos=photos)


def _tracked(crops: Crops, name: str) -> Iterator[Crop]:
    with progress.bar(len(crops.photos), name, "photo") as bar:
        for place, crop in crops.numbered():
            yield crop
            bar.update(place + 1 - bar.n)
        bar.update(len(crops.photos) - bar.n)


def evaluate(
    benchmark: Benchmark,
    embed: Embed,
    locate: Locate | None = None,
    *,
    embeddings_of: Callable[[Benchmark, Embed, Locate | None], Embedded] = embed_photos,
) -> Report:
    """Embed the photos of a benchmark and score them; nothing is tuned on them.

    Raw photos are aligned by the model's own contract, with the landmarks that come with the benchmark or else
    those of `locate`. Photos without a face count as the benchmark says, and are reported.

    Args:
        benchmark: from `facezoo.registry.BENCHMARKS`, or any object like it.
        embed: from `facezoo.embedder.load_embedder`, or any object like it.
        locate: landmarks (5, 2) of the main face of an image, or None; only asked if the benchmark has none.
        embeddings_of: replaces the embedding itself, for instance by `features.Features`.
    """
    check_flip(benchmark, embed.contract)
    embedded = embeddings_of(benchmark, embed, locate)
    report = benchmark.score(embedded.embeddings, embedded.failed)
    return told(report, benchmark, embed.contract, embedded)


def check_flip(benchmark: PhotoSet, contract: Contract) -> None:
    """Refuse a model that adds the mirror image itself where a benchmark's protocol takes the photo alone."""
    if contract.flip and getattr(benchmark, "flip", None) == "alone":
        raise InputError(
            f"{benchmark.name}: takes photos alone, but {contract.name} adds the mirror image itself; turn that off "
            "(--no-flip)"
        )


def told(report: Report, benchmark: Benchmark, contract: Contract, embedded: Embedded) -> Report:
    """A benchmark's report with what it cannot know: the contract, the alignment, the data's digests, and the speed."""
    protocol = {
        **report.protocol,
        "alignment": alignment_words(benchmark, contract, embedded.resized),
        "flip": "embeddings of the crop and its mirror image are added" if contract.flip else "none",
        "digest of the photos": photos_digest(benchmark.photos),
        "digest of the lists": list_digest(benchmark),
    }
    if contract.threshold is not None and (words := at_threshold(benchmark, contract.threshold, embedded)):
        protocol[AT_THRESHOLD] = f"cosine {shown_cosine(contract.threshold)} {words}"
    protocol |= embedded.words
    if count := len(embedded.unreadable):
        protocol[UNREADABLE] = f"{count:,}, counted as photos without a face"
    return replace(report, protocol=protocol, contract=contract, speed=embedded.speed)


@singledispatch
def at_threshold(benchmark: Any, threshold: float, embedded: Embedded) -> str | None:
    """What a threshold that was set elsewhere does; None of a benchmark that is not made of listed pairs."""
    return None


@at_threshold.register
def _of_pairs(benchmark: Verification, threshold: float, embedded: Embedded) -> str:
    matches, misses = benchmark.errors(threshold, embedded.embeddings, embedded.failed)
    genuine = int(np.sum(benchmark.same))
    return (
        f"accepts {matches:,} of {len(benchmark.same) - genuine:,} impostor pairs and rejects {misses:,} of "
        f"{genuine:,} genuine ones"
    )


def alignment_words(benchmark: PhotoSet, contract: Contract, resized: int = 0) -> str:
    """How the crops of a benchmark are made for a model."""
    height, width = contract.input_size
    if benchmark.aligned is not None:
        scaled = f", {resized} of them scaled to {height} x {width}" if resized else ""
        if benchmark.aligned != contract.template:
            return f"crops already aligned to template {benchmark.aligned}, cut to {contract.template} for the model"
        return f"crops already aligned to template {benchmark.aligned}{scaled}"
    source = "the detector's landmarks" if needs_locate(benchmark) else "the landmarks given with the photos"
    return f"raw photos, aligned to template {contract.template} at {height} x {width} by {source}"
