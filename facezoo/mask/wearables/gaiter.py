"""Tubes of cloth over nose, chin and neck."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from facezoo.mask.drawing import bell, chosen, clouds, emboss, rgba, step, varied, weave
from facezoo.mask.head import AXIS, CHIN, NECK_BACK, NECK_RADIUS, head, occluder
from facezoo.mask.template import Part, Recipe, Template
from facezoo.mask.wearables.cloth import COLORS, ColorName
from facezoo.registry import WEARABLES
from facezoo.types import FloatArray

ROWS, COLUMNS = 29, 49
"""Of the grid: from the rim over the nose to the collar, and from behind one ear around the face to the other."""

AROUND = 0.85 * np.pi
"""Directions from the head's axis, to either side of the nose, that the grid reaches."""

TEXTURE = (384, 512)

LOBE, COLLAR = 0.6, 2.32
"""Heights of the rim below the ears and of the lower edge, head coordinates."""

GAP, FOLD = 0.035, 0.022
"""Of the cloth over what it is taut on, and deviation of its folds on the neck, head coordinates."""


@WEARABLES.register
@dataclass(frozen=True)
class Gaiter(Recipe):
    """A thin tube, pulled up over the nose and back below the ears, in folds around the neck.

    Args:
        color: any draws one.
    """

    color: ColorName = "any"

    def draw(self, rng: np.random.Generator) -> Template:
        name = chosen(self.color, COLORS, rng)
        color = varied(COLORS[name], rng)
        grid = _tube(rng.uniform(0.14, 0.30), rng)
        down, around = np.mgrid[0 : 1 : TEXTURE[0] * 1j, -1 : 1 : TEXTURE[1] * 1j]
        # Folds hang between nose and ears, and lie around the neck.
        height = 3.0 * clouds(rng, TEXTURE, (5, 7), 2) * step(down, 0.03, 0.4)
        slanting = clouds(rng, TEXTURE, (16, 3), 2)
        height += 4.5 * slanting * (step(down, 0.4, 0.62) + 0.35 * step(np.abs(around), 0.25, 0.6))
        height += 1.5 * step(down, 0.0, 0.018) - 1.0 * bell(down, 0.03, 0.005)
        shade = emboss(height, 0.8) * weave(rng, TEXTURE, 0.025) * (0.85 + 0.15 * step(down, 0, 0.015))
        # Little light comes in below the chin.
        shade *= 1 - 0.25 * bell(down, 0.58, 0.09) * bell(around, 0, 0.4)
        edge = step(down, 0.0, 0.006) * step(1 - down, 0.0, 0.012)
        return Template(f"gaiter:color={name}", (Part(grid, rgba(color, shade, edge)),))


def _tube(top: float, rng: np.random.Generator) -> FloatArray:
    """(ROWS, COLUMNS, 3) head coordinates; `top` is the rim's place on the nose."""
    turn = np.linspace(-AROUND, AROUND, COLUMNS)
    side = np.minimum(np.abs(turn) / (np.pi / 2), 1.3)
    chin = head().points[CHIN, 1]
    start = top * chin + (LOBE - top * chin) * step(side, 0.1, 1.0)
    jaw = chin + 0.03 - 0.25 * step(side, 0.3, 1.0)
    collar = COLLAR + 0.1 * np.cos(turn)
    share = np.linspace(0, 1, ROWS)[:, None]
    y = np.where(share < 0.5, start + 2 * share * (jaw - start), jaw + (2 * share - 1) * (collar - jaw))
    ahead = np.stack([np.sin(turn), np.zeros(COLUMNS), -np.cos(turn)], axis=-1)
    taut = _taut(y, ahead) + GAP
    # The neck's axis lies behind the head's.
    shift = NECK_BACK - AXIS
    neck = 1.07 * NECK_RADIUS - shift * np.cos(turn)
    loose = step(2 * share - 1, -0.04, 0.45)
    radius = taut + loose * (neck - taut)
    folds = clouds(rng, (ROWS, COLUMNS), (13, 4), 2) * step(share, 0.42, 0.6)
    radius = np.asarray(cv2.GaussianBlur(radius, (0, 0), 0.7), float) + FOLD * folds
    return np.array([0, 0, AXIS]) + radius[..., None] * ahead + y[..., None] * np.array([0.0, 1.0, 0.0])


def _taut(y: FloatArray, ahead: FloatArray) -> FloatArray:
    """(R, C): how far from the axis, at heights (R, C) in directions (C, 3), a cloth stretched over all lies."""
    planes = _planes()
    out = ahead @ planes[:, :3].T
    inside = -(y[..., None] * planes[:, 1] + AXIS * planes[:, 2] + planes[:, 3])
    away = np.where(out > 1e-3, np.maximum(inside, 0) / np.maximum(out, 1e-3), np.inf)
    return away.min(axis=-1)


@lru_cache(maxsize=1)
def _planes() -> FloatArray:
    """(P, 4): the convex hull of the lower head and of the neck."""
    from scipy.spatial import ConvexHull

    points = occluder()[0]
    turn, level = np.meshgrid(np.linspace(0, 2 * np.pi, 24), np.linspace(1.2, COLLAR + 0.2, 4))
    neck = np.stack([NECK_RADIUS * np.sin(turn), level, NECK_BACK - NECK_RADIUS * np.cos(turn)], axis=-1)
    return np.asarray(ConvexHull(np.concatenate([points[points[:, 1] > 0.1], neck.reshape(-1, 3)])).equations)
