"""RandAugment: some of fourteen operations, drawn at random, all at one magnitude."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from facezoo.data.geometric import move
from facezoo.data.photometric import adjust_color
from facezoo.data.tones import autocontrast, equalize, invert, posterize, sharpness, solarize
from facezoo.data.transforms import Transform
from facezoo.registry import TRANSFORMS
from facezoo.types import Crop, FloatArray

LARGEST = 9.0
"""The magnitude at which an operation is at its strongest."""

SHEAR, TRANSLATE, DEGREES = 0.3, 0.2, 30.0
"""The strongest shear, the part of the side moved by, the turn."""

BITS = (8, 4)
COLOR, CONTRAST, BRIGHTNESS, SHARPNESS = 0.9, 0.5, 0.3, 0.9
"""How far the factors go from 1 at most."""

Operation = Callable[[Crop, float, tuple[int, ...]], Crop]
"""From a crop, a strength in -1..1 and the fill colour to the changed crop; the larger |strength|, the more changes."""


def _moved(
    linear: Callable[[float], list[list[float]]], shift: Callable[[float], tuple[float, float]] = lambda s: (0, 0)
) -> Operation:
    def operate(crop: Crop, strength: float, fill: tuple[int, ...]) -> Crop:
        pixels: FloatArray = np.array(shift(strength)) * crop.shape[1::-1]
        return move(crop, np.array(linear(strength), float), pixels, cv2.BORDER_CONSTANT, fill)

    return operate


def _turn(strength: float) -> list[list[float]]:
    angle = math.radians(DEGREES * strength)
    return [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]


def _bits(strength: float) -> int:
    return round(BITS[0] + (BITS[1] - BITS[0]) * abs(strength))


STAY = [[1.0, 0.0], [0.0, 1.0]]

OPERATIONS: dict[str, Operation] = {
    "shear_x": _moved(lambda s: [[1, SHEAR * s], [0, 1]]),
    "shear_y": _moved(lambda s: [[1, 0], [SHEAR * s, 1]]),
    "translate_x": _moved(lambda s: STAY, lambda s: (TRANSLATE * s, 0)),
    "translate_y": _moved(lambda s: STAY, lambda s: (0, TRANSLATE * s)),
    "rotate": _moved(_turn),
    "color": lambda crop, s, fill: adjust_color(crop, saturation=1 + COLOR * s),
    "contrast": lambda crop, s, fill: adjust_color(crop, contrast=1 + CONTRAST * s),
    "brightness": lambda crop, s, fill: adjust_color(crop, brightness=1 + BRIGHTNESS * s),
    "sharpness": lambda crop, s, fill: sharpness(crop, 1 + SHARPNESS * s),
    "posterize": lambda crop, s, fill: posterize(crop, _bits(s)),
    "solarize": lambda crop, s, fill: solarize(crop, 256 * (1 - abs(s))),
    "autocontrast": lambda crop, s, fill: autocontrast(crop),
    "equalize": lambda crop, s, fill: equalize(crop),
    "invert": lambda crop, s, fill: invert(crop),
}
"""The last three have no strength: they are done or not."""


@TRANSFORMS.register
@dataclass(frozen=True)
class RandAugment(Transform):
    """A few of fourteen operations, drawn with replacement, at one magnitude; https://arxiv.org/abs/1909.13719.

    Args:
        count: N, operations applied one after the other.
        magnitude: M, from 0 (only autocontrast, equalize and invert change anything) to 9.
        fill: RGB of what comes in from outside when the crop is moved.
        operations: those to draw from; none named means all fourteen.
    """

    count: int = 2
    magnitude: float = 5.0
    fill: tuple[int, int, int] = (128, 128, 128)
    operations: tuple[str, ...] = ()
    probability: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(1 <= self.count <= 100, "count", self.count, "between 1 and 100")
        self.require(0 <= self.magnitude <= LARGEST, "magnitude", self.magnitude, f"between 0 and {LARGEST:g}")
        self.require(min(self.fill) >= 0 and max(self.fill) <= 255, "fill", self.fill, "three values between 0 and 255")
        for name in self.operations:
            self.require(name in OPERATIONS, "operations", name, f"among {', '.join(OPERATIONS)}")

    def apply(self, crop: Crop, rng: np.random.Generator) -> Crop:
        names = self.operations or tuple(OPERATIONS)
        for choice in rng.integers(len(names), size=self.count):
            strength = self.magnitude / LARGEST * (1 if rng.random() < 0.5 else -1)
            crop = OPERATIONS[names[choice]](crop, strength, self.fill)
        return crop


TRANSFORMS.preset("randaugment@evolve", "randaugment:count=6,magnitude=9,probability=1")
