"""Tubes of cloth over nose, chin and neck."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from facezoo.mask.drawing import bell, chosen, clouds, emboss, rgba, step, varied, weave
from facezoo.mask.head import NECK_BACK, NECK_RADIUS, head
from facezoo.mask.shell import hull_above, normals
from facezoo.mask.template import Part, Recipe, Template
from facezoo.mask.wearables.cloth import COLORS, ColorName
from facezoo.registry import WEARABLES
from facezoo.types import FloatArray

ROWS, COLUMNS = 22, 31
"""Of the grid: from the nose down to the collar, and around the front half of the neck."""

TEXTURE = 384
"""Side of the texture, pixels."""

COLLAR = 2.4
"""Height of the lower edge, head coordinates."""


@WEARABLES.register
@dataclass(frozen=True)
class Gaiter(Recipe):
    """A thin tube, pulled up over the nose, in folds around the neck.

    Args:
        color: any draws one.
    """

    color: ColorName = "any"

    def draw(self, rng: np.random.Generator) -> Template:
        name = chosen(self.color, COLORS, rng)
        color = varied(COLORS[name], rng)
        top = rng.uniform(0.14, 0.32)
        down, _ = np.mgrid[0 : 1 : TEXTURE * 1j, -1 : 1 : TEXTURE * 1j]
        height = 5.0 * clouds(rng, down.shape, (9, 2.5), 2) * step(down, 0.05, 0.5)
        height += 3.5 * clouds(rng, down.shape, (13, 2.5), 2) * step(down, 0.45, 0.7)
        height += 1.5 * step(down, 0.0, 0.02) - 1.0 * bell(down, 0.035, 0.006)
        shade = emboss(height, 0.8) * weave(rng, down.shape, 0.025) * (0.85 + 0.15 * step(down, 0, 0.015))
        edge = step(down, 0.0, 0.008) * step(1 - down, 0.0, 0.03)
        texture = rgba(color, shade, np.broadcast_to(edge, down.shape))
        return Template(f"gaiter:color={name}", (Part(_tube(top), texture),))


def _tube(top: float) -> FloatArray:
    """(ROWS, COLUMNS, 3) head coordinates."""
    around = np.linspace(-1, 1, COLUMNS)
    face_rows = ROWS // 2
    grid = np.zeros((ROWS, COLUMNS, 3))
    # Over the face it follows a smoothed skin, wider than the mesh at the sides.
    side = np.clip(around, -1, 1) * 0.98
    for row, share in enumerate(np.linspace(0, 1, face_rows)):
        b = top + share * (1.06 - top) + 0.14 * (1 - share) * np.abs(around) ** 1.5
        grid[row] = head().skin(np.stack([side, b], axis=1))
    # A tube is taut over the nose and the chin.
    face = grid[:face_rows]
    outward = normals(np.asarray(cv2.GaussianBlur(face, (0, 0), 1.5), float))
    rise = hull_above(face, outward, np.ones(face.shape[:2], bool))
    grid[:face_rows] = face + (cv2.GaussianBlur(rise, (0, 0), 1.0) + 0.03)[..., None] * outward
    chin = grid[face_rows - 1].copy()
    angle = around * np.pi * 0.55
    for row in range(face_rows, ROWS):
        share = (row - face_rows + 1) / (ROWS - face_rows)
        level = chin[:, 1].max() + share * (COLLAR - chin[:, 1].max())
        neck = np.stack(
            [NECK_RADIUS * np.sin(angle), np.full(COLUMNS, level), NECK_BACK - NECK_RADIUS * np.cos(angle)], axis=1
        )
        blend = step(np.array(share), 0.0, 0.55)
        grid[row] = chin * (1 - blend) + neck * blend
        grid[row][:, 1] = chin[:, 1] * (1 - share) + level * share
    smooth = grid.copy()
    for _ in range(3):
        smooth[1:-1] = (smooth[:-2] + 2 * smooth[1:-1] + smooth[2:]) / 4
        smooth[:, 1:-1] = (smooth[:, :-2] + 2 * smooth[:, 1:-1] + smooth[:, 2:]) / 4
    smooth[:face_rows] = grid[:face_rows]
    return smooth
