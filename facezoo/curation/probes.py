"""The test side of an audit: the photos of a benchmark, or the crops of a dataset."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from facezoo.curation.embeddings import embed_dataset
from facezoo.curation.overlap import Probes, check_enough, identities_of
from facezoo.data.opening import open_dataset
from facezoo.evaluation.features import Features
from facezoo.evaluation.photos import Locate
from facezoo.evaluation.run import Embed, needs_locate
from facezoo.evaluation.verification import Verification
from facezoo.registry import BENCHMARKS, DATASETS, parse_spec
from facezoo.types import InputError, unit


def open_probes(
    text: str, embed: Embed, model: str, folder: Path, locator: Callable[[], Locate], detector: str
) -> Probes:
    """Embed a test set; embeddings are kept in a folder.

    A spec whose name datasets and benchmarks share (`folder`) is read as a dataset of crops.

    Args:
        text: path of a dataset, its spec, or that of a benchmark.
        embed: the model.
        model: digest of its weights.
        folder: of the embeddings.
        locator: gives what finds landmarks, if it is needed.
        detector: its spec.

    Raises:
        InputError: a benchmark that is not made of pairs, or what opening and embedding refuse.
    """
    name = parse_spec(text)[0]
    if name not in BENCHMARKS or name in DATASETS or Path(text).exists():
        data = open_dataset(text)
        check_enough(len(data.classes))
        stored = embed_dataset(data, embed, model, folder)
        photos = [data.path(sample) for sample in range(len(data))]
        return Probes(data.classes, data.labels, stored[np.arange(len(data))], photos, data.read)
    benchmark = BENCHMARKS.create(text)
    if not isinstance(benchmark, Verification):
        raise InputError(f"{text}: whose photos show whom is known of verification benchmarks and datasets only")
    names, labels = identities_of(benchmark)
    check_enough(len(names))
    locate = locator() if needs_locate(benchmark) else None
    embedded = Features(folder, model, detector)(benchmark, embed, locate)
    photos = [photo.name for photo in benchmark.photos]
    return Probes(names, labels, unit(embedded.embeddings), photos, lambda k: benchmark.photos[k].read())
