"""What is worn on the head: headscarf and hats."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import cv2
import numpy as np

from facezoo.data.accessories import Accessory
from facezoo.data.canvas import MIDDLE, Canvas, Color, bell, curve
from facezoo.registry import TRANSFORMS
from facezoo.types import FloatArray

HATS = ("cap", "beanie", "brim")

FABRICS: dict[str, Color] = {
    "black": (34, 34, 38),
    "white": (226, 224, 218),
    "grey": (128, 130, 136),
    "navy": (38, 48, 84),
    "red": (146, 44, 50),
    "green": (64, 98, 74),
    "beige": (198, 178, 150),
    "rose": (204, 156, 160),
    "purple": (98, 66, 112),
    "teal": (52, 112, 122),
}

FabricName = Literal["any", "black", "white", "grey", "navy", "red", "green", "beige", "rose", "purple", "teal"]


def _both_sides(*left: tuple[float, float]) -> tuple[tuple[float, float], ...]:
    """Points of the image-left half, ending on the centre line, and their mirror images."""
    return (*left, *((2 * MIDDLE - x, y) for x, y in left[-2::-1]))


@TRANSFORMS.register
@dataclass(frozen=True)
class Headscarf(Accessory):
    """A scarf around the face: over hair and ears, under the chin, in folds.

    Args:
        color: of the cloth; any draws one.
        jitter: deviation of the points it is fitted to, in pixels of a crop 112 high.
        template: the alignment template of the crops.
    """

    color: FabricName = "any"
    jitter: float = 1.0
    template: str = "arcface"
    probability: float = 0.05

    rows: ClassVar[tuple[float, float]] = (-1e3, 1e3)
    colors: ClassVar[dict[str, Color]] = FABRICS

    def draw(self, canvas: Canvas, rng: np.random.Generator) -> None:
        color = self.pick_color(self.color, rng)
        brow, wide, chin = rng.uniform(20, 29), rng.uniform(33, 37.5), rng.uniform(108, 114)
        peak = rng.uniform(0, 3)
        face = curve(
            *_both_sides((MIDDLE - 0.62 * wide, chin - 16), (MIDDLE - wide, 74), (MIDDLE - wide, 52))[:3],
            (MIDDLE - 0.72 * wide, brow + 8),
            (MIDDLE, brow - peak),
            (MIDDLE + 0.72 * wide, brow + 8),
            (MIDDLE + wide, 52),
            (MIDDLE + wide, 74),
            (MIDDLE + 0.62 * wide, chin - 16),
            (MIDDLE, chin),
        )
        room = rng.uniform(9, 15)
        head = curve(
            *((MIDDLE - wide - room - 22, 150), (MIDDLE - wide - room, 96), (MIDDLE - wide - room, 50)),
            *((MIDDLE - 0.7 * wide - 0.7 * room, brow - 19), (MIDDLE, brow - 34)),
            *((MIDDLE + 0.7 * wide + 0.7 * room, brow - 19), (MIDDLE + wide + room, 50)),
            *((MIDDLE + wide + room, 96), (MIDDLE + wide + room + 22, 150)),
        )
        cloth = canvas.shape_of((head, face), soft=0.6)
        canvas.shadow(cloth, 0, 2.0, 2.4, 0.4)
        canvas.lay(cloth, color, canvas.shade_of(self._folds(canvas, brow, wide, rng)))

    @staticmethod
    def _folds(canvas: Canvas, brow: float, wide: float, rng: np.random.Generator) -> FloatArray:
        x, y = canvas.x, canvas.y
        across, down = (x - MIDDLE) / wide, (y - 66) / (66 - brow)
        distance = np.sqrt(across**2 + down**2)
        # Rolled inwards at the hem, round the head, falling back at its side.
        shade = 1.02 - 0.35 * bell(distance, 0.96, 0.07) - 0.5 * np.maximum(distance - 1.12, 0)
        waves = rng.uniform(15, 24)
        drawn = waves * distance + rng.uniform(2, 5) * np.sin(across * rng.uniform(0.8, 1.6) + rng.uniform(0, 6.3))
        return shade + rng.uniform(0.06, 0.13) * np.sin(drawn + 1.6 * down)


@TRANSFORMS.register
@dataclass(frozen=True)
class Hat(Accessory):
    """A cap with a peak, a knitted beanie or a hat with a brim, and its shadow on the forehead.

    Args:
        kind: any draws one.
        color: of the cloth; any draws one.
        jitter: deviation of the points it is fitted to, in pixels of a crop 112 high.
        template: the alignment template of the crops.
    """

    kind: Literal["any", "cap", "beanie", "brim"] = "any"
    color: FabricName = "any"
    jitter: float = 1.0
    template: str = "arcface"
    probability: float = 0.05

    rows: ClassVar[tuple[float, float]] = (-1e3, 66)
    colors: ClassVar[dict[str, Color]] = FABRICS

    def draw(self, canvas: Canvas, rng: np.random.Generator) -> None:
        color = self.pick_color(self.color, rng)
        kind = HATS[rng.integers(len(HATS))] if self.kind == "any" else self.kind
        draw = {"cap": _cap, "beanie": _beanie, "brim": _brim}[kind]
        draw(canvas, color, rng)


def _crown(low: float, side: float, sag: float, high: float) -> FloatArray:
    """The part around the skull: from its lower edge up; face coordinates."""
    edge = curve(*_both_sides((side, low), (side + 16, low - sag * 0.7), (MIDDLE, low - sag)), closed=False)
    dome = _both_sides((side, low), (side - 1, low - 18), (side + 10, high + 12), (MIDDLE, high))
    return np.concatenate([edge, curve(*dome, closed=False)[::-1]])


def _round(canvas: Canvas, half: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    """`canvas.x`, `canvas.y` and the brightness of something round of this half width."""
    x, y = canvas.x, canvas.y
    return x, y, 1.04 - 0.34 * np.minimum(np.abs((x - MIDDLE) / half), 1.2) ** 2.4


def _cap(canvas: Canvas, color: Color, rng: np.random.Generator) -> None:
    low, side, drop = rng.uniform(28, 33), rng.uniform(10, 15), rng.uniform(5, 10)
    crown = canvas.shape_of(_crown(low, side, 7, -26), soft=0.6)
    upper = curve(*_both_sides((side + 6, low + 1), (side + 18, low - 8), (MIDDLE, low - 11)), closed=False)
    under = _both_sides((side + 6, low + 1), (side + 13, low + drop * 0.7), (MIDDLE, low + drop - 2))
    peak = canvas.shape_of(np.concatenate([upper, curve(*under, closed=False)[::-1]]), soft=0.6)
    canvas.shadow(cv2.max(crown, peak), 0, 6, 3.2, 0.5)  # type: ignore[arg-type]
    x, y, shade = _round(canvas, MIDDLE - side)
    seams = bell(x, MIDDLE, 0.9) + bell(np.abs(x - MIDDLE) - 0.2 * y, 24, 0.9)
    canvas.lay(crown, color, canvas.shade_of(shade - 0.12 * seams - 0.25 * np.clip((y - low + 16) / 12, 0, 1)))
    bent = (y - low) / 10 + 0.5 * ((x - MIDDLE) / 36) ** 2
    stitches = 0.05 * np.sin(bent * 12)
    lit = 1.1 - 0.18 * np.clip(bent, -1, 1.2) - 0.3 * bell(bent, -1.05, 0.16) + stitches
    canvas.lay(peak, color, canvas.shade_of(lit))


def _beanie(canvas: Canvas, color: Color, rng: np.random.Generator) -> None:
    low, side = rng.uniform(27, 35), rng.uniform(10, 14)
    fold = rng.uniform(13, 18)
    whole = canvas.shape_of(_crown(low, side, 5, -24), soft=0.7)
    canvas.shadow(whole, 0, 2.5, 2.2, 0.45)
    x, y, shade = _round(canvas, MIDDLE - side)
    across = np.clip((x - MIDDLE) / (MIDDLE - side + 2), -1, 1)
    # Ribs are evenly spaced around the head, so they crowd at its sides.
    ribs = np.sin(rng.uniform(24, 34) * np.arcsin(across))
    edge = low - 5 + 5 * across**2
    above = edge - fold
    band = np.clip((y - above) / 1.5, 0, 1)
    knit = 0.1 * ribs * (0.5 + 0.5 * band) - 0.22 * bell(y - above, -0.8, 1.3)
    canvas.lay(whole, color, canvas.shade_of(shade + knit - 0.12 * bell(y - edge, 0, 1.6)))


def _brim(canvas: Canvas, color: Color, rng: np.random.Generator) -> None:
    low, side = rng.uniform(21, 27), rng.uniform(12, 17)
    droop, reach = rng.uniform(-4, 6), rng.uniform(12, 30)
    crown = canvas.shape_of(_crown(low, side, 5, -34), soft=0.6)
    upper = curve(*_both_sides((side - reach, low - 3 + droop), (side + 4, low - 7), (MIDDLE, low - 10)), closed=False)
    under = _both_sides((side - reach, low - 1 + droop), (side + 6, low + 4), (MIDDLE, low + 5))
    brim = canvas.shape_of(np.concatenate([upper, curve(*under, closed=False)[::-1]]), soft=0.6)
    canvas.shadow(cv2.max(crown, brim), 0, 8, 4.0, 0.5)  # type: ignore[arg-type]
    x, y, shade = _round(canvas, MIDDLE - side)
    ribbon = np.clip((y - low + 18) / 1.2, 0, 1)
    canvas.lay(crown, color, canvas.shade_of(shade - 0.5 * ribbon * shade))
    inside = bell(y, low + 3, 3)
    canvas.lay(brim, color, canvas.shade_of(1.08 - 0.004 * np.abs(x - MIDDLE) - 0.25 * inside))
