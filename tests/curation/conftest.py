"""A toy world: a face is a coarse pattern, an image of it the pattern with noise, the model an average of pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import cv2
import numpy as np
import pytest

from facezoo.types import Contract, Crop, FloatArray

SIDE = 32


class Coarse:
    """Embeds the coarse structure of a crop: 8 x 8 grey means, less their mean. Counts the crops."""

    contract = Contract(name="coarse", input_size=(SIDE, SIDE), embedding_dim=64, flip=False)

    def __init__(self) -> None:
        self.crops = 0

    def __call__(self, crops: Iterable[Crop]) -> FloatArray:
        rows = []
        for crop in crops:
            self.crops += 1
            small = cv2.resize(crop.mean(axis=2).astype(np.float32), (8, 8), interpolation=cv2.INTER_AREA).ravel()
            rows.append(small - small.mean())
        return np.array(rows, np.float32).reshape(-1, 64)


@pytest.fixture
def embed() -> Coarse:
    return Coarse()


@pytest.fixture
def paint() -> Callable[[int, int], Crop]:
    """Image `photo` of person `person`."""

    def paint(person: int, photo: int) -> Crop:
        face = np.random.default_rng(person).normal(128, 45, (8, 8)).astype(np.float32)
        noise = np.random.default_rng([person, photo]).normal(0, 25, (SIDE, SIDE, 1))
        coarse = np.random.default_rng([7, person, photo]).normal(0, 18, (8, 8)).astype(np.float32)
        pattern = cv2.resize(face + coarse, (SIDE, SIDE), interpolation=cv2.INTER_NEAREST)[..., None]
        return np.clip(pattern + noise, 0, 255).astype(np.uint8).repeat(3, axis=2)

    return paint


@pytest.fixture
def world(tmp_path, paint):
    """Sixty people with ten images each, as a folder of identities p00 to p59."""
    root = tmp_path / "world"
    for person in range(60):
        for photo in range(10):
            path = root / f"p{person:02d}" / f"{photo}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), paint(person, photo))
    return root
