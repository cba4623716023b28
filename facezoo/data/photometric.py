"""Transforms of colour: grey, jitter, hue and saturation, noise along the main axes of colour."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np

from facezoo.data.transforms import Transform
from facezoo.registry import TRANSFORMS
from facezoo.types import Crop, FloatArray, InputError

LUMA = np.array([0.299, 0.587, 0.114])
"""Weights of R, G, B in grey; ITU-R BT.601."""

TO_YIQ = np.array([LUMA, [0.595716, -0.274453, -0.321263], [0.211456, -0.522591, 0.311135]])
"""RGB to luma and NTSC's two axes of colour."""

FACE_VALUES = (0.1903, 0.01027, 0.00109)
FACE_VECTORS = ((0.6365, 0.5678, 0.522), (-0.7147, 0.1799, 0.6759), (-0.2899, 0.8033, -0.5203))
"""`principal_colors` of 2,560 aligned crops of CelebA."""


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
        return adjust_color(crop, brightness, contrast, saturation)


def adjust_color(crop: Crop, brightness: float = 1, contrast: float = 1, saturation: float = 1) -> Crop:
    """Brightness, contrast about the crop's mean grey, and saturation times their factors; clipped at the end."""
    grey = np.dot(cv2.mean(crop)[:3], LUMA)
    colors = brightness * contrast * (saturation * np.eye(3) + (1 - saturation) * LUMA)
    offset = np.full((3, 1), brightness * (1 - contrast) * grey)
    return cv2.transform(crop, np.hstack([colors, offset]))  # type: ignore[return-value]


@TRANSFORMS.register
@dataclass(frozen=True)
class Hsv(Transform):
    """Hue turned, saturation and value multiplied.

    Done as one 3 x 3 matrix in YIQ, where hue is an angle about the grey axis and saturation the distance from
    it: no round trip through whole-numbered HSV, and grey stays grey.

    Args:
        hue: smallest and largest turn, degrees.
        saturation: smallest and largest factor.
        value: smallest and largest factor.
    """

    hue: tuple[float, float] = (-10.0, 10.0)
    saturation: tuple[float, float] = (0.8, 1.2)
    value: tuple[float, float] = (0.8, 1.2)
    probability: float = 0.2

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_range("hue", -180, 180)
        self.require_range("saturation", 0, 10)
        self.require_range("value", 0, 10)

    def apply(self, crop: Crop, rng: np.random.Generator) -> Crop:
        hue = math.radians(rng.uniform(*self.hue))
        saturation, value = rng.uniform(*self.saturation), rng.uniform(*self.value)
        turn = np.eye(3)
        # In YIQ hue runs the other way round than in HSV.
        turn[1:, 1:] = [[math.cos(hue), math.sin(hue)], [-math.sin(hue), math.cos(hue)]]
        turn[1:] *= saturation
        return cv2.transform(crop, value * np.linalg.inv(TO_YIQ) @ turn @ TO_YIQ)  # type: ignore[return-value]


@TRANSFORMS.register(name="pca_noise")
@dataclass(frozen=True)
class PcaNoise(Transform):
    """One random colour added to the whole crop, along the main axes of the data's colours;
    https://papers.nips.cc/paper/4824-imagenet-classification-with-deep-convolutional-neural-networks.

    RGB in 0..1 gets sum_k p_k a_k l_k with unit eigenvectors p_k, eigenvalues l_k of the pixels' covariance and
    a_k ~ N(0, deviation^2). `facezoo data colors DATA` prints both for a dataset.

    Args:
        deviation: of the a_k.
        values: the three eigenvalues, for RGB in 0..1.
        vectors: the three eigenvectors, a row each.
    """

    deviation: float = 0.1
    values: tuple[float, float, float] = FACE_VALUES
    vectors: tuple[tuple[float, float, float], tuple[float, float, float], tuple[float, float, float]] = FACE_VECTORS
    probability: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(0 <= self.deviation <= 10, "deviation", self.deviation, "between 0 and 10")
        self.require(min(self.values) >= 0 and max(self.values) <= 1, "values", self.values, "between 0 and 1 each")
        product = np.array(self.vectors) @ np.transpose(self.vectors)
        self.require(
            bool(abs(product - np.eye(3)).max() < 0.02), "vectors", self.vectors, "three orthogonal rows of length 1"
        )

    def apply(self, crop: Crop, rng: np.random.Generator) -> Crop:
        weights = rng.normal(0, self.deviation, 3) * self.values
        added = 255 * weights @ np.array(self.vectors)
        return cv2.transform(crop, np.column_stack([np.eye(3), added]))  # type: ignore[return-value]


def principal_colors(crops: Iterable[Crop]) -> tuple[FloatArray, FloatArray]:
    """Eigenvalues (3,), falling, and eigenvectors (3, 3), a row each, of the covariance of all pixels' RGB in 0..1.

    Raises:
        InputError: there is no crop.
    """
    count, total, products = 0, np.zeros(3), np.zeros((3, 3))
    for crop in crops:
        pixels = crop.reshape(-1, 3) / 255
        count, total, products = count + len(pixels), total + pixels.sum(axis=0), products + pixels.T @ pixels
    if not count:
        raise InputError("the colours of no crops at all: give a dataset that has images")
    values, vectors = np.linalg.eigh(products / count - np.outer(total, total) / count**2)
    rows = vectors.T[::-1]
    # An eigenvector's sign is free: green, which all three have in plenty, is made positive.
    return np.maximum(values[::-1], 0), rows * np.where(rows[:, 1:2] < 0, -1, 1)


TRANSFORMS.preset("grey@facexzoo", "grey:probability=0.2")
TRANSFORMS.preset("grey@insightface", "grey:probability=0.1")
TRANSFORMS.preset("hsv@insightface", "hsv:hue=(0,20),saturation=(1,1.2),value=(1,1),probability=0.2")
TRANSFORMS.preset("color_jitter@evolve", "color_jitter:brightness=0.4,contrast=0.4,saturation=0.4,probability=0.5")
TRANSFORMS.preset("color_jitter@adaface", "color_jitter:brightness=0.5,contrast=0.5,saturation=0.5,probability=0.2")
