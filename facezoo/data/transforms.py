"""Random changes of a crop, each from a spec string: `flip`, `blur:sigma=(0.5,2),probability=0.2`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from facezoo.registry import TRANSFORMS
from facezoo.types import Crop, Image, InputError


class Transform(ABC):
    """With some probability, another crop of the same size and type; the given crop is not touched.

    All randomness comes from the generator that is handed in: the same generator state gives the same crop.
    Subclasses are frozen dataclasses of their options.
    """

    probability: float

    def __call__(self, crop: Crop, rng: np.random.Generator) -> Crop:
        """uint8 RGB (H, W, 3) to the same."""
        return self.apply(crop, rng) if rng.random() < self.probability else crop

    @abstractmethod
    def apply(self, crop: Crop, rng: np.random.Generator) -> Crop:
        """The changed crop, whatever the probability."""

    def __post_init__(self) -> None:
        self.require(0 <= self.probability <= 1, "probability", self.probability, "between 0 and 1")

    def require(self, good: bool, option: str, value: object, wanted: str) -> None:
        """Refuse an option's value."""
        if not good:
            names = [name for name in TRANSFORMS.names() if TRANSFORMS.factory(name) is type(self)]
            name = names[0] if names else type(self).__name__
            raise InputError(f"transform {name}: {option} is {value}, it must be {wanted}")

    def require_range(self, option: str, low: float, high: float) -> None:
        """Refuse a (smallest, largest) pair that is not in order and within low..high."""
        smallest, largest = getattr(self, option)
        wanted = f"(smallest, largest) between {low:g} and {high:g}"
        self.require(low <= smallest <= largest <= high, option, (smallest, largest), wanted)


@dataclass(frozen=True)
class Compose:
    """Transforms, one after the other."""

    transforms: tuple[Transform, ...]

    def __call__(self, crop: Crop, rng: np.random.Generator) -> Crop:
        for transform in self.transforms:
            crop = transform(crop, rng)
        return np.ascontiguousarray(crop)


def create_transforms(specs: Sequence[str]) -> Compose:
    """Transforms from their spec strings, applied in this order; no specs leave crops as they are."""
    return Compose(tuple(TRANSFORMS.create(spec) for spec in specs))


CAPTION = 14
"""Height of a caption, pixels."""


def preview(crops: Sequence[Crop], specs: Sequence[str], seed: int = 0) -> Image:
    """A sheet to look at: a row for the crops as they are, then one for each transform, always applied.

    Args:
        crops: of one size; one column each.
        specs: spec strings of transforms.
    """
    if len({crop.shape for crop in crops}) != 1:
        raise InputError("preview: give one crop or more, all of one size")
    rows = [_row("as read", crops)]
    for spec in specs:
        transform = create_transforms([spec]).transforms[0]
        rng = np.random.default_rng(seed)
        rows.append(_row(spec, [transform.apply(crop, rng) for crop in crops]))
    return np.concatenate(rows)


def _row(caption: str, crops: Sequence[Crop]) -> Image:
    pictures = np.concatenate(crops, axis=1)
    strip = np.full((CAPTION, pictures.shape[1], 3), 255, np.uint8)
    cv2.putText(strip, caption, (2, CAPTION - 4), cv2.FONT_HERSHEY_SIMPLEX, 0.35, (0, 0, 0), 1, cv2.LINE_AA)
    return np.concatenate([strip, pictures])
