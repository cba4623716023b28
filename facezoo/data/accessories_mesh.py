"""Masks and other things on aligned crops, in three dimensions, while training."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from facezoo.align import template_points
from facezoo.data.masked import TEMPLATES
from facezoo.data.transforms import Transform
from facezoo.registry import TRANSFORMS
from facezoo.types import Crop, FloatArray

if TYPE_CHECKING:
    from facezoo.mask.outfit import Outfit

SMALLEST = 16
"""Crops with fewer pixels a side stay as they are: nothing would be seen."""


@TRANSFORMS.register
@dataclass(frozen=True)
class Wear(Transform):
    """Something from `facezoo.mask` on the mean face, which lies where the template's five points do.

    Crops say nothing of the head's pose: a turned face gets its mask as a frontal one. Data with meshes do better, see
    the dataset `masked`.

    Args:
        templates: spec strings of what is worn, each as likely: `templates=["surgical:color=blue","hat"]`.
        pieces: different pieces drawn of each.
        jitter: deviation of the mesh's points, in pixels of a crop 112 high: as if landmarks were off by it.
        template: the alignment template of the crops.
    """

    templates: tuple[str, ...] = TEMPLATES
    pieces: int = 16
    jitter: float = 1.0
    template: str = "arcface"
    probability: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(0 <= self.jitter <= 10, "jitter", self.jitter, "between 0 and 10")
        template_points(self.template, (112, 112))
        _outfit(self.templates, self.pieces)

    def apply(self, crop: Crop, rng: np.random.Generator) -> Crop:
        if min(crop.shape[:2]) < SMALLEST:
            return crop.copy()
        mesh = _shaken(_mesh(self.template, crop.shape[0], crop.shape[1]), self.jitter, crop.shape[0], rng)
        return _outfit(self.templates, self.pieces).put_on(crop, mesh[None], rng)[0]


@lru_cache(maxsize=16)
def _outfit(templates: tuple[str, ...], pieces: int) -> Outfit:
    from facezoo.mask.outfit import Outfit

    return Outfit(templates, pieces)


@lru_cache(maxsize=16)
def _mesh(template: str, height: int, width: int) -> FloatArray:
    from facezoo.mask.fit import fit_mesh

    return fit_mesh(template_points(template, (height, width)))


def _shaken(mesh: FloatArray, jitter: float, height: int, rng: np.random.Generator) -> FloatArray:
    """The mesh moved, turned and scaled about its middle."""
    right, down, angle, growth = (jitter * rng.standard_normal(4)).tolist()
    angle, growth = angle / 56, max(1 + growth / 56, 0.5)
    turn = growth * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    middle = mesh[:, :2].mean(axis=0)
    moved = mesh * growth
    moved[:, :2] = (mesh[:, :2] - middle) @ turn.T + middle + np.array([right, down]) * (height / 112)
    return moved
