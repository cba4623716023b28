"""The embeddings of a dataset on disk, in blocks: begun again after a kill, read back a few rows at a time."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facezoo import progress
from facezoo.align import recrop
from facezoo.data.ahead import ahead
from facezoo.data.dataset import Dataset
from facezoo.data.problems import Finding
from facezoo.evaluation.feature_file import (
    DONE,
    PENDING,
    UNREADABLE,
    FeatureFile,
    FeatureWriter,
    Header,
    begin,
    names_digest,
)
from facezoo.evaluation.run import Embed
from facezoo.types import Crop, FloatArray, InputError, unit

log = logging.getLogger(__name__)

BLOCK = 8192
"""Images whose rows are written at once; what a killed run may do again."""


class Embeddings:
    """Unit vectors (N, D) of a dataset's images, mapped from a folder of features; rows of unreadable images are 0.

    Attributes:
        dim: D.
        failed: (N,) images that could not be read.
    """

    def __init__(self, folder: Path) -> None:
        self._file = FeatureFile(folder)
        self.dim, self.failed = self._file.header.width, self._file.failed

    def __len__(self) -> int:
        return len(self.failed)

    def __getitem__(self, samples: NDArray[np.int64]) -> FloatArray:
        """Rows (K, D) of sample numbers (K,)."""
        return unit(self._file.embeddings[np.asarray(samples, np.int64)])


def embed_dataset(data: Dataset, embed: Embed, model: str, folder: Path) -> Embeddings:
    """Embed every image of a dataset into a folder of features, or go on with one that was begun, and open them.

    Images that cannot be read are named in one warning and get no embedding; they are tried again the next time.

    Args:
        data: crops as the model wants them; other sizes are fitted.
        embed: the model.
        model: digest of its weights.
        folder: of the features; it belongs to these images, as they are named by where they lie, and to this model.
            Labels may change.

    Raises:
        InputError: the folder belongs to other images or another model, or no image can be read.
    """
    contract, size = embed.contract, len(data)
    images = names_digest(data.name(sample) for sample in range(size))
    header = Header(size, contract, model, images, f"crops as they are, for template {contract.template}")
    begin(folder, header, (data.path(sample) for sample in range(size)))
    stored, writer = FeatureFile(folder), FeatureWriter(folder)
    left = np.flatnonzero(stored.state != DONE)
    problems: list[str] = []
    with progress.bar(size, "embed", "img", size - len(left)) as bar:
        for start in (np.unique(left // BLOCK) * BLOCK).tolist():
            samples = left[(left >= start) & (left < start + BLOCK)].tolist()
            readable: list[int] = []

            def crops(samples: list[int] = samples, readable: list[int] = readable) -> Iterator[Crop]:
                for sample, crop in zip(samples, ahead(lambda sample: _crop(data, sample), samples)):
                    if isinstance(crop, str):
                        problems.append(crop)
                    else:
                        readable.append(sample)
                        yield recrop(crop, contract.template, contract.input_size)
                    bar.update()

            found = embed(crops())
            rows, state = (np.array(part[start : start + BLOCK]) for part in (stored.embeddings, stored.state))
            state[state == PENDING] = UNREADABLE
            places = np.array(readable, np.int64) - start
            rows[places], state[places] = found, DONE
            writer.write(start, rows, state)
    if problems:
        log.warning("no embedding: %s", Finding.of(problems))
    embeddings = Embeddings(folder)
    if embeddings.failed.all():
        raise InputError(f"{folder}: none of {size:,} images can be read")
    return embeddings


def _crop(data: Dataset, sample: int) -> Crop | str:
    """The crop, or why it cannot be read."""
    try:
        return data.read(sample)
    except InputError as error:
        return str(error)
