"""Transforms that move pixels: flip, crop, trim, affine."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from facezoo.data.transforms import Transform
from facezoo.registry import TRANSFORMS
from facezoo.types import Crop, FloatArray


@TRANSFORMS.register
@dataclass(frozen=True)
class Flip(Transform):
    """The mirror image, left and right exchanged."""

    probability: float = 0.5

    def apply(self, crop: Crop, rng: np.random.Generator) -> Crop:
        return cv2.flip(crop, 1)  # type: ignore[return-value]


@TRANSFORMS.register(name="crop")
@dataclass(frozen=True)
class RandomCrop(Transform):
    """A random part of the crop: scaled up to the whole size, or left in place on black.

    `area=(0.766,0.766),ratio=(1,1),probability=1` is the usual "resize to 128, crop 112";
    `area=(0.2,1),ratio=(0.75,1.33),outside=black,probability=0.2` is AdaFace's,
    https://arxiv.org/abs/2204.00964.

    Args:
        area: smallest and largest part of the area that is kept.
        ratio: smallest and largest width / height of the part, over that of the crop; drawn log-uniformly.
        outside: what becomes of the rest: `zoom` scales the part up over it, `black` blackens it.
    """

    area: tuple[float, float] = (0.8, 1.0)
    ratio: tuple[float, float] = (0.95, 1.05)
    outside: Literal["zoom", "black"] = "zoom"
    probability: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_range("area", 0.01, 1)
        self.require_range("ratio", 0.1, 10)

    def apply(self, crop: Crop, rng: np.random.Generator) -> Crop:
        area = rng.uniform(*self.area)
        ratio = math.exp(rng.uniform(math.log(self.ratio[0]), math.log(self.ratio[1])))
        # A part that is wider or higher than the crop is cut: with area 1 nothing is left to choose.
        across, down = min(1.0, math.sqrt(area * ratio)), min(1.0, math.sqrt(area / ratio))
        left, top = rng.uniform(0, 1 - across), rng.uniform(0, 1 - down)
        if self.outside == "zoom":
            return _zoom(crop, left, top, across, down)
        kept = np.zeros_like(crop)
        _box(kept, left, top, across, down)[:] = _box(crop, left, top, across, down)
        return kept


@TRANSFORMS.register
@dataclass(frozen=True)
class Trim(Transform):
    """A part cut off each of the four sides, and what is left scaled up to the whole size.

    Args:
        edge: up to this part of the width or height comes off a side; each side draws its own.
    """

    edge: float = 0.07
    probability: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(0 <= self.edge <= 0.45, "edge", self.edge, "between 0 and 0.45")

    def apply(self, crop: Crop, rng: np.random.Generator) -> Crop:
        left, right, top, bottom = rng.uniform(0, self.edge, 4)
        return _zoom(crop, left, top, 1 - left - right, 1 - top - bottom)


def _box(crop: Crop, left: float, top: float, across: float, down: float) -> Crop:
    """A part of the crop, given in shares of its width and height: a view that begins and ends with whole pixels."""
    height, width = crop.shape[:2]
    x0, y0 = min(round(left * width), width - 1), min(round(top * height), height - 1)
    x1, y1 = max(x0 + 1, round((left + across) * width)), max(y0 + 1, round((top + down) * height))
    return crop[y0:y1, x0:x1]


def _zoom(crop: Crop, left: float, top: float, across: float, down: float) -> Crop:
    """The part, scaled up to the whole size; a third of the time of a warp between pixels."""
    height, width = crop.shape[:2]
    return cv2.resize(_box(crop, left, top, across, down), (width, height), interpolation=cv2.INTER_LINEAR)  # type: ignore[return-value]


BORDERS = {"reflect": cv2.BORDER_REFLECT_101, "black": cv2.BORDER_CONSTANT}


@TRANSFORMS.register
@dataclass(frozen=True)
class Affine(Transform):
    """Turned, scaled and sheared about the centre, and shifted.

    Args:
        degrees: turned by up to this, either way.
        scale: smallest and largest factor of size, drawn uniformly.
        shift: moved by up to this part of width and height.
        border: what lies outside of the crop: its mirror image, or black.
        shear: rows slide sideways by up to this part of their distance from the centre, either way.
    """

    degrees: float = 10.0
    scale: tuple[float, float] = (0.95, 1.05)
    shift: float = 0.03
    border: Literal["reflect", "black"] = "reflect"
    shear: float = 0.0
    probability: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(0 <= self.degrees <= 180, "degrees", self.degrees, "between 0 and 180")
        self.require(0 <= self.shift <= 1, "shift", self.shift, "between 0 and 1")
        self.require(0 <= self.shear <= 1, "shear", self.shear, "between 0 and 1")
        self.require_range("scale", 0.1, 10)

    def apply(self, crop: Crop, rng: np.random.Generator) -> Crop:
        height, width = crop.shape[:2]
        angle = math.radians(rng.uniform(-self.degrees, self.degrees))
        scale = rng.uniform(*self.scale)
        shift = rng.uniform(-self.shift, self.shift, 2) * (width, height)
        slide = rng.uniform(-self.shear, self.shear) if self.shear else 0.0
        turned = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        linear = scale * turned @ np.array([[1, slide], [0, 1]])
        return move(crop, linear, shift, BORDERS[self.border])


def move(crop: Crop, linear: FloatArray, shift: FloatArray, border: int, fill: tuple[int, ...] = (0, 0, 0)) -> Crop:
    """A linear map (2, 2) about the centre, then a shift (2,) in pixels; `border` is OpenCV's."""
    height, width = crop.shape[:2]
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    matrix = np.column_stack([linear, centre - linear @ centre + shift])
    return cv2.warpAffine(  # type: ignore[return-value]
        crop, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=border, borderValue=fill
    )


TRANSFORMS.preset("crop@evolve", "crop:area=(0.765625,0.765625),ratio=(1,1),probability=1")
TRANSFORMS.preset("crop@adaface", "crop:area=(0.2,1),ratio=(0.75,1.3333),outside=black,probability=0.2")
TRANSFORMS.preset("trim@facexzoo", "trim:edge=0.0714,probability=0.5")
TRANSFORMS.preset("affine@facexzoo", "affine:degrees=10,scale=(1,1),shift=0,border=black,probability=0.5")
