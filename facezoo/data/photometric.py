"""Transforms that change pixel values: grey, colour, resolution, blur, JPEG, noise, erased parts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from facezoo.data.transforms import Transform
from facezoo.image import decode_image, encode_jpeg
from facezoo.registry import TRANSFORMS
from facezoo.types import Crop

LUMA = np.array([0.299, 0.587, 0.114])
"""Weights of R, G, B in grey; ITU-R BT.601."""


@TRANSFORMS.register
@dataclass(frozen=True)
class Grey(Transform):
    """Grey in all three channels."""

    probability: float = 0.2

    def apply(self, crop: Crop, rng: np.random.Generator) -> Crop:
        return cv2.cvtColor(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)  # type: ignore[return-value]


@TRANSFORMS.register(name="color_jitter")
@dataclass(frozen=True)
class ColorJitter(Transform):
    """Brightness, contrast and saturation, each multiplied by a factor drawn from 1 - x .. 1 + x.

    Contrast is about the crop's mean grey, saturation about each pixel's grey. Values are clipped once, at
    the end, so the three commute and are one 3 x 4 matrix.

    Args:
        brightness, contrast, saturation: x of each.
    """

    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.4
    probability: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        for option in ("brightness", "contrast", "saturation"):
            self.require(0 <= getattr(self, option) <= 1, option, getattr(self, option), "between 0 and 1")

    def apply(self, crop: Crop, rng: np.random.Generator) -> Crop:
        reach = np.array([self.brightness, self.contrast, self.saturation])
        brightness, contrast, saturation = 1 + rng.uniform(-reach, reach)
        grey = np.dot(cv2.mean(crop)[:3], LUMA)
        colors = brightness * contrast * (saturation * np.eye(3) + (1 - saturation) * LUMA)
        offset = np.full((3, 1), brightness * (1 - contrast) * grey)
        return cv2.transform(crop, np.hstack([colors, offset]))  # type: ignore[return-value]


INTERPOLATIONS = (cv2.INTER_NEAREST, cv2.INTER_LINEAR, cv2.INTER_AREA, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4)


@TRANSFORMS.register(name="low_resolution")
@dataclass(frozen=True)
class LowResolution(Transform):
    """Scaled down and back up, each way with a random interpolation; as in AdaFace,
    https://arxiv.org/abs/2204.00964.

    Args:
        scale: smallest and largest factor of the side.
    """

    scale: tuple[float, float] = (0.2, 1.0)
    probability: float = 0.2

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_range("scale", 0.01, 1)

    def apply(self, crop: Crop, rng: np.random.Generator) -> Crop:
        height, width = crop.shape[:2]
        scale = rng.uniform(*self.scale)
        down, up = rng.integers(len(INTERPOLATIONS), size=2)
        small = (max(1, round(width * scale)), max(1, round(height * scale)))
        reduced = cv2.resize(crop, small, interpolation=INTERPOLATIONS[down])
        return cv2.resize(reduced, (width, height), interpolation=INTERPOLATIONS[up])  # type: ignore[return-value]


@TRANSFORMS.register
@dataclass(frozen=True)
class Blur(Transform):
    """Out of focus: a Gaussian.

    Args:
        sigma: smallest and largest standard deviation in pixels of a crop 112 high; it grows with the crop.
    """

    sigma: tuple[float, float] = (0.3, 2.0)
    probability: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_range("sigma", 0, 20)

    def apply(self, crop: Crop, rng: np.random.Generator) -> Crop:
        sigma = rng.uniform(*self.sigma) * crop.shape[0] / 112
        width = 2 * math.ceil(3 * sigma) + 1
        return cv2.GaussianBlur(crop, (width, width), sigma) if width > 1 else crop.copy()  # type: ignore[return-value]


@TRANSFORMS.register
@dataclass(frozen=True)
class Jpeg(Transform):
    """Stored as JPEG and read back.

    Args:
        quality: smallest and largest quality, 1 to 100.
    """

    quality: tuple[int, int] = (20, 90)
    probability: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_range("quality", 1, 100)

    def apply(self, crop: Crop, rng: np.random.Generator) -> Crop:
        quality = int(rng.integers(self.quality[0], self.quality[1], endpoint=True))
        return decode_image(encode_jpeg(crop, quality))


@TRANSFORMS.register
@dataclass(frozen=True)
class Noise(Transform):
    """Independent Gaussian noise on every value.

    Args:
        deviation: smallest and largest standard deviation, on the 0..255 scale.
    """

    deviation: tuple[float, float] = (0.0, 12.0)
    probability: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_range("deviation", 0, 255)

    def apply(self, crop: Crop, rng: np.random.Generator) -> Crop:
        deviation = rng.uniform(*self.deviation)
        noise = rng.standard_normal(crop.shape, np.float32)
        return np.clip(np.rint(crop + np.float32(deviation) * noise), 0, 255).astype(np.uint8)


@TRANSFORMS.register
@dataclass(frozen=True)
class Erase(Transform):
    """One rectangle erased, as if something covered the face; https://arxiv.org/abs/1708.04896.

    Args:
        area: smallest and largest part of the area.
        ratio: smallest and largest width / height; drawn log-uniformly.
        fill: black, or random values.
    """

    area: tuple[float, float] = (0.02, 0.2)
    ratio: tuple[float, float] = (0.3, 3.3)
    fill: Literal["black", "noise"] = "black"
    probability: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_range("area", 0, 1)
        self.require_range("ratio", 0.1, 10)

    def apply(self, crop: Crop, rng: np.random.Generator) -> Crop:
        height, width = crop.shape[:2]
        pixels = rng.uniform(*self.area) * height * width
        ratio = math.exp(rng.uniform(math.log(self.ratio[0]), math.log(self.ratio[1])))
        across, down = min(width, round(math.sqrt(pixels * ratio))), min(height, round(math.sqrt(pixels / ratio)))
        left, top = int(rng.integers(width - across + 1)), int(rng.integers(height - down + 1))
        erased = crop.copy()
        hole = erased[top : top + down, left : left + across]
        hole[:] = 0 if self.fill == "black" else rng.integers(256, size=hole.shape, dtype=np.uint8)
        return erased
