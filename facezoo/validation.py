"""Benchmarks on the way: the photos are spread over the ranks, the scores are those of one process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from facezoo import distributed, evaluation
from facezoo.config import ValidationConfig
from facezoo.embedder import TorchEmbedder
from facezoo.evaluation import needs_locate
from facezoo.evaluation.photos import Crops, Locate, Photo
from facezoo.evaluation.report import Report
from facezoo.evaluation.run import Benchmark, Embed, Embedded, embed_photos
from facezoo.plan import check_metric
from facezoo.registry import BENCHMARKS
from facezoo.sdk import FaceAnalyzer
from facezoo.types import Contract, InputError


@dataclass(frozen=True)
class Part:
    """The photos of a benchmark that this rank embeds: every one that follows its own by the number of ranks."""

    whole: Benchmark

    @property
    def name(self) -> str:
        return self.whole.name

    @property
    def photos(self) -> Sequence[Photo]:
        return self.whole.photos[distributed.rank() :: distributed.ranks()]

    @property
    def aligned(self) -> str | None:
        return self.whole.aligned

    def score(self, embeddings: Any, failed: Any = None) -> Report:
        return self.whole.score(embeddings, failed)


def create_benchmarks(config: ValidationConfig, contract: Contract) -> list[Any]:
    """The benchmarks of a config, raw photos with landmarks found once.

    Raises:
        InputError: what would stop the run at its first validation.
    """
    benchmarks = [_with_landmarks(BENCHMARKS.create(spec)) for spec in config.benchmarks]
    names = [benchmark.name for benchmark in benchmarks]
    if twice := [name for name in names if names.count(name) > 1]:
        raise InputError(f"validation.benchmarks: two are named {twice[0]!r}, give one another name")
    for benchmark in benchmarks:
        Crops(benchmark.photos, contract, benchmark.aligned)  # refuses crops of another template
    check_metric(config.metric, benchmarks)
    return benchmarks


def _with_landmarks(benchmark: Any) -> Any:
    if not needs_locate(benchmark):
        return benchmark
    mine = evaluation.with_landmarks(replace(benchmark, photos=Part(benchmark).photos), FaceAnalyzer().locate)
    photos = list(benchmark.photos)
    for rank, found in enumerate(distributed.gather_objects([photo.landmarks for photo in mine.photos])):
        places = range(rank, len(photos), distributed.ranks())
        for place, landmarks in zip(places, found, strict=True):
            photos[place] = replace(photos[place], landmarks=landmarks)
    return replace(benchmark, photos=photos)


def validate(
    benchmarks: Sequence[Any], embed: TorchEmbedder, wanted: str, folder: Path, step: int
) -> tuple[dict[str, float], float]:
    """All metrics as `benchmark/metric`, the same on every rank, and the mean of `wanted`; full reports in `folder`."""
    metrics: dict[str, float] = {}
    scores = []
    for benchmark in benchmarks:
        report = evaluation.evaluate(benchmark, embed, embeddings_of=_spread)
        if distributed.is_first():
            evaluation.write_json([report], folder / f"{report.name}-{step:08d}.json")
        measured = {key: float(value) for key, value in report.metrics.items() if value is not None}
        if wanted not in measured:
            known = ", ".join(measured)
            raise InputError(f"validation.metric: {report.name} does not measure {wanted!r}; it measures {known}")
        scores.append(measured[wanted])
        metrics |= {f"{report.name}/{key}": value for key, value in measured.items()}
    return metrics, sum(scores) / len(scores)


def _spread(benchmark: Benchmark, embed: Embed, locate: Locate | None = None) -> Embedded:
    if distributed.ranks() == 1:
        return embed_photos(benchmark, embed, locate)
    mine = embed_photos(Part(benchmark), embed, locate, empty=True)
    embeddings = np.zeros((len(benchmark.photos), mine.embeddings.shape[1]), np.float32)
    failed = np.zeros(len(benchmark.photos), bool)
    parts = distributed.gather_objects((mine.embeddings, mine.failed, mine.resized))
    for rank, (rows, without, _) in enumerate(parts):
        embeddings[rank :: distributed.ranks()] = rows
        failed[rank :: distributed.ranks()] = without
    if failed.all():
        raise InputError(f"{benchmark.name}: no photo has a face")
    return Embedded(embeddings, failed, sum(resized for _, _, resized in parts))
