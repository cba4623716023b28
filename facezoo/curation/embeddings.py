"""The embeddings of a dataset on disk, in blocks: begun again after a kill, read back a few rows at a time."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import asdict
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facezoo import progress
from facezoo.align import fit
from facezoo.data.ahead import ahead
from facezoo.data.dataset import Dataset
from facezoo.data.problems import Finding
from facezoo.evaluation.run import Embed
from facezoo.files import whole_file, write_text
from facezoo.types import Crop, FloatArray, InputError, unit

log = logging.getLogger(__name__)

BLOCK = 8192
"""Images in one file; what a killed run may do again."""

OPEN = 64
"""Blocks that are mapped at a time."""

STATE = "state.json"


class Embeddings:
    """Unit vectors (N, D) of a dataset's images, mapped from the blocks of a folder; rows of unreadable images are 0.

    Attributes:
        failed: (N,) images that could not be read.
    """

    def __init__(self, folder: Path, images: int, dim: int) -> None:
        self.folder, self.images, self.dim = folder, images, dim
        self._block = lru_cache(maxsize=OPEN)(self._map)
        self.failed = np.concatenate([~self._block(k).any(axis=1) for k in range(-(-images // BLOCK))])

    def __len__(self) -> int:
        return self.images

    def __getitem__(self, samples: NDArray[np.int64]) -> FloatArray:
        """Rows (K, D) of sample numbers (K,)."""
        samples = np.asarray(samples, np.int64)
        rows = np.empty((len(samples), self.dim), np.float32)
        blocks = samples // BLOCK
        for number in np.unique(blocks):
            inside = blocks == number
            rows[inside] = self._block(int(number))[samples[inside] % BLOCK]
        return rows

    def _map(self, number: int) -> FloatArray:
        path = _file(self.folder, number)
        try:
            block = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise InputError(
                f"{path}: not a readable block of embeddings ({error}); remove it and start again"
            ) from None
        if block.shape != (min(BLOCK, self.images - number * BLOCK), self.dim) or block.dtype != np.float32:
            raise InputError(f"{path}: holds {block.dtype} {block.shape}, another run wrote it; remove the folder")
        return block


def embed_dataset(data: Dataset, embed: Embed, model: str, folder: Path) -> Embeddings:
    """Embed every image of a dataset into a folder, or go on with one that was begun, and open them.

    Images that cannot be read are named in one warning and get no embedding.

    Args:
        data: crops as the model wants them; other sizes are fitted.
        embed: the model.
        model: digest of its weights.
        folder: of the blocks; it belongs to these images and this model, labels may change.

    Raises:
        InputError: the folder belongs to other images or another model, or no image can be read.
    """
    contract = embed.contract
    key = {"images": len(data), "names": _names(data), "model": model, "contract": asdict(contract)}
    key = json.loads(json.dumps(key))  # tuples become lists, as they come back
    state = folder / STATE
    if not state.is_file():
        write_text(state, json.dumps(key, indent=1))
    elif _state(state) != key:
        raise InputError(f"{folder}: holds the embeddings of other images or of another model; give another folder")
    starts = [start for start in range(0, len(data), BLOCK) if not _file(folder, start // BLOCK).is_file()]
    left = sum(min(BLOCK, len(data) - start) for start in starts)
    problems: list[str] = []
    with progress.bar(len(data), "embed", "img", len(data) - left) as bar:
        for start in starts:
            samples = range(start, min(start + BLOCK, len(data)))
            rows = np.zeros((len(samples), contract.embedding_dim), np.float32)
            readable: list[int] = []

            def crops(samples: range = samples, readable: list[int] = readable) -> Iterator[Crop]:
                for place, crop in enumerate(ahead(lambda sample: _crop(data, sample), samples)):
                    if isinstance(crop, str):
                        problems.append(crop)
                    else:
                        readable.append(place)
                        yield fit(crop, contract.input_size)
                    bar.update()

            found = embed(crops())
            rows[readable] = unit(found)
            with whole_file(_file(folder, start // BLOCK)) as temporary, temporary.open("wb") as file:
                np.save(file, rows)
    if problems:
        log.warning("no embedding: %s", Finding.of(problems))
    embeddings = Embeddings(folder, len(data), contract.embedding_dim)
    if embeddings.failed.all():
        raise InputError(f"{folder}: none of {len(data):,} images can be read")
    return embeddings


def _crop(data: Dataset, sample: int) -> Crop | str:
    """The crop, or why it cannot be read."""
    try:
        return data.read(sample)
    except InputError as error:
        return str(error)


def _names(data: Dataset) -> str:
    """Tells these images from any other by where they lie; their labels may change."""
    digest = sha256()
    for sample in range(len(data)):
        digest.update(data.name(sample).encode("utf-8", "surrogateescape") + b"\0")
    return digest.hexdigest()


def _state(path: Path) -> object:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not readable ({error}); remove the folder") from None


def _file(folder: Path, block: int) -> Path:
    return folder / f"{block:06d}.npy"
