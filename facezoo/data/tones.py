"""Tone operations as transforms and as functions of a crop: autocontrast, invert, equalize, solarize, ..."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np

from facezoo.data.transforms import Transform
from facezoo.registry import TRANSFORMS
from facezoo.types import Crop

RAMP = np.arange(256)
SMOOTH = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]]) / 13
"""The filter from which sharpness leads away."""


def autocontrast(crop: Crop, cutoff: float = 0.0) -> Crop:
    """Each channel stretched to 0..255, after the darkest and brightest `cutoff` share of its pixels is let go."""
    table = np.empty((256, 1, 3), np.uint8)
    for channel in range(3):
        counts = np.cumsum(cv2.calcHist([crop], [channel], None, [256], [0, 256]).ravel())
        low = int(np.searchsorted(counts, cutoff * counts[-1], side="right"))
        high = int(np.searchsorted(counts, (1 - cutoff) * counts[-1]))
        stretched = (RAMP - low) * (255 / (high - low)) if high > low else RAMP
        table[:, 0, channel] = np.clip(np.rint(stretched), 0, 255)
    return cast(Crop, cv2.LUT(crop, table))


def invert(crop: Crop) -> Crop:
    """The negative."""
    return cast(Crop, cv2.bitwise_not(crop))


def equalize(crop: Crop) -> Crop:
    """Each channel's histogram made as flat as it goes."""
    return cast(Crop, cv2.merge([cv2.equalizeHist(channel) for channel in cv2.split(crop)]))


def solarize(crop: Crop, threshold: float) -> Crop:
    """Values from the threshold up inverted; 256 inverts none, 0 all."""
    return cast(Crop, cv2.LUT(crop, np.where(threshold <= RAMP, 255 - RAMP, RAMP).astype(np.uint8)))


def posterize(crop: Crop, bits: int) -> Crop:
    """Only the highest `bits` bits of each value kept."""
    return cast(Crop, cv2.LUT(crop, (RAMP & (0xFF00 >> bits & 0xFF)).astype(np.uint8)))


def sharpness(crop: Crop, factor: float) -> Crop:
    """Between smoothed (0), as it is (1), and sharpened (above 1)."""
    smooth = cv2.filter2D(crop, -1, SMOOTH, borderType=cv2.BORDER_REFLECT_101)
    return cast(Crop, cv2.addWeighted(crop, factor, smooth, 1 - factor, 0))


@TRANSFORMS.register
@dataclass(frozen=True)
class Autocontrast(Transform):
    """Each channel stretched to the full range.

    Args:
        cutoff: smallest and largest share of the darkest, and of the brightest, pixels that is let go.
    """

    cutoff: tuple[float, float] = (0.0, 0.05)
    probability: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_range("cutoff", 0, 0.49)

    def apply(self, crop: Crop, rng: np.random.Generator) -> Crop:
        return autocontrast(crop, rng.uniform(*self.cutoff))


@TRANSFORMS.register
@dataclass(frozen=True)
class Invert(Transform):
    """The negative."""

    probability: float = 0.1

    def apply(self, crop: Crop, rng: np.random.Generator) -> Crop:
        return invert(crop)


@TRANSFORMS.register
@dataclass(frozen=True)
class Equalize(Transform):
    """Each channel's histogram made as flat as it goes."""

    probability: float = 0.1

    def apply(self, crop: Crop, rng: np.random.Generator) -> Crop:
        return equalize(crop)


@TRANSFORMS.register
@dataclass(frozen=True)
class Solarize(Transform):
    """Bright values inverted.

    Args:
        threshold: smallest and largest value from which on; 256 changes nothing.
    """

    threshold: tuple[float, float] = (128.0, 256.0)
    probability: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_range("threshold", 0, 256)

    def apply(self, crop: Crop, rng: np.random.Generator) -> Crop:
        return solarize(crop, rng.uniform(*self.threshold))


@TRANSFORMS.register
@dataclass(frozen=True)
class Posterize(Transform):
    """Fewer levels in each channel.

    Args:
        bits: smallest and largest number of bits kept; 8 changes nothing.
    """

    bits: tuple[int, int] = (4, 7)
    probability: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_range("bits", 1, 8)

    def apply(self, crop: Crop, rng: np.random.Generator) -> Crop:
        return posterize(crop, int(rng.integers(self.bits[0], self.bits[1], endpoint=True)))


@TRANSFORMS.register
@dataclass(frozen=True)
class Sharpness(Transform):
    """Smoothed or sharpened.

    Args:
        factor: smallest and largest; 0 is smooth, 1 changes nothing, above 1 sharpens.
    """

    factor: tuple[float, float] = (0.1, 1.9)
    probability: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_range("factor", 0, 10)

    def apply(self, crop: Crop, rng: np.random.Generator) -> Crop:
        return sharpness(crop, rng.uniform(*self.factor))


TRANSFORMS.preset("autocontrast@tface", "autocontrast:cutoff=(0,0.49),probability=0.5")
TRANSFORMS.preset("solarize@tface", "solarize:threshold=(0,255),probability=0.5")
TRANSFORMS.preset("posterize@tface", "posterize:bits=(1,8),probability=0.5")
TRANSFORMS.preset("sharpness@tface", "sharpness:factor=(0,10),probability=0.5")
