"""Random changes of a crop, each from a spec string: `flip`, `blur:sigma=(0.5,2),probability=0.2`."""

from __future__ import annotations

import textwrap
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from facezoo.align import fit
from facezoo.data.dataset import Dataset
from facezoo.registry import TRANSFORMS, without_option
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


@dataclass(frozen=True)
class Row:
    """Crops of one size, side by side, and what was done to them."""

    caption: str
    crops: list[Crop]


def draw_samples(data: Dataset, count: int, seed: int = 0) -> list[int]:
    """Numbers of samples drawn at random, none twice, in rising order; all if there are no more than `count`."""
    if count < 1:
        raise InputError(f"preview: {count} images are asked for, it must be 1 or more")
    drawn = np.random.default_rng(seed).choice(len(data), min(count, len(data)), replace=False)
    return [int(sample) for sample in np.sort(drawn)]


def draw_crops(data: Dataset, count: int, size: int, seed: int = 0) -> list[Crop]:
    """Crops drawn at random from a dataset, fitted to `size` x `size` as in training.

    Raises:
        InputError: one cannot be read, or there is nothing to draw.
    """
    if not SMALLEST <= size <= LARGEST:
        raise InputError(f"preview: the crops' size is {size}, it must be between {SMALLEST} and {LARGEST}")
    return [fit(data.read(sample), (size, size)) for sample in draw_samples(data, count, seed)]


SMALLEST, LARGEST = 32, 1024
"""Side of a crop in a preview, pixels."""


def preview_rows(crops: Sequence[Crop], specs: Sequence[str], draws: int = 0, seed: int = 0) -> list[Row]:
    """The crops as they are, a row for each transform, always applied, and `draws` rows of all of them in order.

    Args:
        crops: of one size.
        specs: spec strings of transforms.
    """
    if len({crop.shape for crop in crops}) != 1:
        raise InputError("preview: give one crop or more, all of one size")
    rows = [Row("as read", list(crops))]
    for spec in specs:
        transform = create_transforms([spec]).transforms[0]
        rng = np.random.default_rng(seed)
        caption = f"{without_option(spec, 'probability')}, always applied"
        rows.append(Row(caption, [transform.apply(crop, rng) for crop in crops]))
    together, rng = create_transforms(specs), np.random.default_rng(seed)
    for number in range(draws):
        drawn = [together(crop, rng) for crop in crops]
        rows.append(Row(f"all in order as in training, draw {number + 1}", drawn))
    return rows


LINE, GAP = 17, 6
"""Height of a caption's line, and of the room above it, pixels."""

FONT = (cv2.FONT_HERSHEY_SIMPLEX, 0.42)


def sheet(rows: Sequence[Row]) -> Image:
    """One picture of all rows, each below its caption."""
    width = sum(crop.shape[1] for crop in rows[0].crops)
    parts = ((_caption(row.caption, width), np.concatenate(row.crops, axis=1)) for row in rows)
    return np.concatenate([part for row in parts for part in row])


def _caption(text: str, width: int) -> Image:
    """The text on white, on as many lines as it needs."""
    letter = cv2.getTextSize("0" * 20, *FONT, 1)[0][0] / 20
    text = text.replace(",", ", ").replace(",  ", ", ")  # lines break at blanks
    lines = textwrap.wrap(text, max(4, int((width - 4) / letter)))
    paper = np.full((GAP + LINE * len(lines), width, 3), 255, np.uint8)
    for number, line in enumerate(lines):
        cv2.putText(paper, line, (3, GAP + LINE * (number + 1) - 6), *FONT, (0, 0, 0), 1, cv2.LINE_AA)
    return paper
