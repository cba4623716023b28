"""Masks over mouth and nose: pleated surgical ones, folded respirators, cloth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import cv2
import numpy as np

from facezoo.data.accessories import Accessory
from facezoo.data.canvas import MIDDLE, Canvas, Color, bell, curve, mirrored, stroke
from facezoo.registry import TRANSFORMS
from facezoo.types import FloatArray

KINDS = ("surgical", "ffp2", "cloth")
PLEATS = 3
STRAP = (215, 215, 212)


@TRANSFORMS.register
@dataclass(frozen=True)
class Mask(Accessory):
    """A mask over mouth and nose, drawn from the landmarks, in the face's light.

    Args:
        kind: the cut; any draws one.
        color: one of its colours; any draws one.
        jitter: deviation of the points it is fitted to, in pixels of a crop 112 high.
        template: the alignment template of the crops.
    """

    kind: Literal["any", "surgical", "ffp2", "cloth"] = "any"
    color: Literal["any", "blue", "white", "black", "green", "pink", "grey"] = "any"
    jitter: float = 1.0
    template: str = "arcface"
    probability: float = 0.1

    rows: ClassVar[tuple[float, float]] = (42, 130)
    colors: ClassVar[dict[str, Color]] = {
        "blue": (150, 196, 226),
        "white": (232, 232, 230),
        "black": (38, 38, 42),
        "green": (160, 198, 182),
        "pink": (228, 178, 190),
        "grey": (140, 142, 148),
    }

    def draw(self, canvas: Canvas, rng: np.random.Generator) -> None:
        kind = KINDS[rng.integers(len(KINDS))] if self.kind == "any" else self.kind
        color = self.pick_color(self.color, rng)
        top, side, low = rng.uniform((58, -2, 108), (65, 2, 114))
        outline, corners = _outline(kind, top, side, low)
        cloth = canvas.shape_of(outline, soft=0.55)
        straps = canvas.shape_of(*_straps(corners, rng), soft=0.45)
        canvas.shadow(cv2.max(cloth, straps), 0.3, 1.2, 1.6, 0.35)  # type: ignore[arg-type]
        canvas.lay(straps, STRAP if kind != "cloth" and min(color) > 60 else color, 0.85, 0.8)
        # The hem is sewn double and bends away from the light.
        hem = 0.7 + canvas.blurred(cloth, 1.0) * np.float32(0.3 / 255)
        canvas.lay(cloth, color, canvas.shade_of(_shade(kind, canvas, top, low, rng)) * hem)


def _outline(kind: str, top: float, side: float, low: float) -> tuple[FloatArray, tuple[tuple[float, float], ...]]:
    """The closed outline, and the two left corners, for the straps."""
    left = 22 + side
    if kind == "surgical":
        upper = [(left, top + 9), (34, top + 6), (48, top + 1), (MIDDLE, top)]
        lower = [(left + 1, top + 18), (left + 6, low - 12), (38, low), (MIDDLE, low + 2)]
    elif kind == "ffp2":
        upper = [(left + 1, top + 17), (36, top + 8), (49, top - 3), (MIDDLE, top - 5)]
        lower = [(left + 2, top + 22), (left + 7, low - 14), (40, low - 1), (MIDDLE, low + 3)]
    else:
        upper = [(left - 2, top + 12), (34, top + 8), (47, top), (MIDDLE, top - 3)]
        lower = [(left - 2, top + 22), (left + 4, low - 15), (37, low - 1), (MIDDLE, low + 3)]
    over = curve(*upper, *((2 * MIDDLE - x, y) for x, y in upper[-2::-1]), closed=False)
    under = curve(*lower, *((2 * MIDDLE - x, y) for x, y in lower[-2::-1]), closed=False)
    return np.concatenate([over, under[::-1]]), (upper[0], lower[0])


def _straps(corners: tuple[tuple[float, float], ...], rng: np.random.Generator) -> list[FloatArray]:
    """From the corners towards the ears, both sides."""
    (x0, y0), (x1, y1) = corners
    ear = rng.uniform(10, 15)
    width = rng.uniform(0.8, 1.3)
    upper = stroke(curve((x0 + 2, y0), (x0 - 4, y0 - 4), (ear, y0 - 12), closed=False, steps=4), width)
    lower = stroke(curve((x1 + 2, y1), (x1 - 4, y1 - 4), (ear - 1, y1 - 14), closed=False, steps=4), width)
    return [upper, lower, mirrored(upper), mirrored(lower)]


def _shade(kind: str, canvas: Canvas, top: float, low: float, rng: np.random.Generator) -> FloatArray:
    """Brightness of the cloth over `canvas.x` and `canvas.y`: round over the cheeks, with pleats, a seam or folds."""
    x, y = canvas.x, canvas.y
    across, down = (x - MIDDLE) / 36, (y - top) / (low - top)
    aside = np.abs(across)
    shade = (1.03 - 0.3 * np.minimum(aside, 1.3) ** 2.5) - 0.22 * np.maximum(down - 0.62, 0) ** 1.2
    shade += 0.07 * bell(across, 0, 0.22) * bell(down, 0.2, 0.2)
    shade -= 0.06 * bell(aside, 0.3, 0.13) * bell(down, 0.22, 0.25)
    if kind == "surgical":
        first, gap = rng.uniform(0.3, 0.36), rng.uniform(0.15, 0.19)
        for pleat in range(PLEATS):
            height = down - (first + gap * pleat + 0.06 * across**2 * (pleat - 0.6))
            shade += 0.05 * bell(height, -0.03, 0.026) - 0.17 * bell(height, 0.005, 0.022)
        shade -= 0.06 * bell(down - 0.16 * across**2, 0.06, 0.025)
    elif kind == "ffp2":
        shade -= 0.2 * bell(across, 0, 0.036) + 0.05 * bell(across, 0.06, 0.042) + 0.05 * aside
    else:
        shade -= 0.08 * bell(aside - 0.05 * (down - 0.4) ** 2, 0.02, 0.038)
        slope, phase = rng.uniform(0.5, 1.1), rng.uniform(0, 6.3)
        shade += 0.05 * aside * np.sin(14 * down + (14 * slope * aside + phase))
    return shade
