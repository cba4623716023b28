"""What the tests of formats share: a small set with awkward names, and a format's writer run part by part; and a
picture for transforms."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from facezoo.data.dataset import Dataset
from facezoo.data.transforms import create_transforms
from facezoo.data.writer import Encoded, Part
from facezoo.image import encode_jpeg
from facezoo.registry import DATASETS, WRITERS
from facezoo.types import Image


@pytest.fixture
def people(tmp_path: Path) -> Dataset:
    """Three people with four, three and one image."""
    rng = np.random.default_rng(0)
    for name, count in (("Eve Ä", 4), ("ada", 3), ("bob", 1)):
        (tmp_path / "people" / name).mkdir(parents=True)
        for k in range(count):
            image = rng.integers(256, size=(24, 24, 3), dtype=np.uint8)
            (tmp_path / "people" / name / f"{k} x.jpg").write_bytes(encode_jpeg(image))
    return DATASETS.create(f"folder:root={tmp_path / 'people'}")


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., list[Path]]:
    """Writes a dataset by a writer's spec, in parts of some samples, and gives the files."""

    def write(spec: str, data: Dataset, size: int = 3) -> list[Path]:
        writer, parts = WRITERS.create(spec), []
        for number, first in enumerate(range(0, len(data), size)):
            file = tmp_path / f"part-{number}{writer.suffix}"
            chosen = range(first, min(len(data), first + size))
            samples = [Encoded(k, int(data.labels[k]), data.path(k), data.encoded(k)) for k in chosen]
            parts.append(Part(number, first, len(samples), file, writer.write(samples, file)))
        return writer.finish(parts, data.classes)

    return write


@pytest.fixture
def same() -> Callable[[Dataset, Dataset], bool]:
    """Whether two datasets hold the same bytes under the same labels and names."""

    def same(a: Dataset, b: Dataset) -> bool:
        images = all(a.encoded(k) == b.encoded(k) for k in range(len(a)))
        return a.labels.tolist() == b.labels.tolist() and a.classes == b.classes and images

    return same


@pytest.fixture
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEZOO_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def open_shards() -> Callable[..., Dataset]:
    def open_shards(path: str | Path, **options: Any) -> Dataset:
        return DATASETS.create(f"webdataset:path='{path}'", **options)

    return open_shards


@pytest.fixture(scope="session")
def picture() -> Callable[..., Image]:
    """Gives a smooth random picture, in which interpolation does not dominate."""

    def picture(height: int = 112, width: int = 112, seed: int = 0) -> Image:
        noise = np.random.default_rng(seed).integers(256, size=(8, 8, 3), dtype=np.uint8)
        return np.asarray(cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)

    return picture


@pytest.fixture(scope="session")
def create() -> Callable[[str], Any]:
    """Makes a transform from its spec."""
    return lambda spec: create_transforms([spec]).transforms[0]
