"""Transforms that lose something: resolution, focus, compression, noise, erased parts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import Literal

import cv2
import numpy as np

from facezoo.data.transforms import Transform
from facezoo.image import decode_image, encode_jpeg
from facezoo.registry import TRANSFORMS
from facezoo.types import Crop, FloatArray

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


@TRANSFORMS.register(name="motion_blur")
@dataclass(frozen=True)
class MotionBlur(Transform):
    """The camera or the head moved: the mean along a straight line in any direction.

    Args:
        length: smallest and largest length of the line in pixels of a crop 112 high; it grows with the crop.
    """

    length: tuple[float, float] = (3.0, 9.0)
    probability: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_range("length", 0, 56)

    def apply(self, crop: Crop, rng: np.random.Generator) -> Crop:
        length = rng.uniform(*self.length) * crop.shape[0] / 112
        angle = rng.uniform(0, math.pi)
        reach = math.ceil(length / 2)
        # A bilinear line: each of many points along it is shared between its four nearest pixels.
        steps = np.linspace(-length / 2, length / 2, 4 * reach + 1)
        columns, rows = steps * math.cos(angle), steps * math.sin(angle)
        places = np.arange(-reach, reach + 1)
        kernel = np.maximum(0, 1 - abs(rows - places[:, None])) @ np.maximum(0, 1 - abs(columns - places[:, None])).T
        return cv2.filter2D(crop, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT_101)  # type: ignore[return-value]


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
        table = np.rint(rng.uniform(*self.deviation) * _quantiles()).astype(np.int16)
        noise = table[rng.integers(len(table), size=crop.shape, dtype=np.uint16)]
        return cv2.add(crop, noise, dtype=cv2.CV_8U)  # type: ignore[return-value]


@lru_cache(maxsize=1)
def _quantiles() -> FloatArray:
    """The normal distribution at 4,096 equally likely values: a look-up costs less than half of a fresh draw."""
    normal = NormalDist()
    values = np.array([normal.inv_cdf((number + 0.5) / 4096) for number in range(4096)])
    return values / values.std()


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


TRANSFORMS.preset("low_resolution@adaface", "low_resolution:scale=(0.2,1),probability=0.2")
TRANSFORMS.preset("low_resolution@insightface", "low_resolution:scale=(0.5,0.8),probability=0.1")
# Windows of 3 and 5 pixels, which have these deviations in DALI.
TRANSFORMS.preset("blur@insightface", "blur:sigma=(0.8,1.1),probability=0.2")
TRANSFORMS.preset("erase@tface", "erase:area=(0,0.046),ratio=(1,1),probability=0.5")
