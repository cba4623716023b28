"""A hand before the face."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from facezoo.mask.drawing import bell, chosen, clouds, emboss, rgba, step, varied, weave
from facezoo.mask.head import CHIN, head
from facezoo.mask.template import Part, Recipe, Template, Texture
from facezoo.mask.wearables.cloth import COLORS
from facezoo.registry import WEARABLES
from facezoo.types import FloatArray

SKIN = np.array([148.0, 147.0, 147.0])
"""sRGB that the skin's own colour is multiplied with where the hand is as light as the face."""

FINGERS = ((-0.30, 0.86, 0.115), (-0.10, 0.98, 0.125), (0.11, 0.95, 0.122), (0.30, 0.76, 0.10))
"""Of index to little finger: place across the hand, length, half the width, between face places."""

KNUCKLES = max(length for _, length, _ in FINGERS)
"""How far below the tip of the middle finger the knuckles lie."""

CORNER, EXTENT, PIXELS = (-3.2, -0.95), (6.4, 4.0), 125
"""Face place of the upper left corner of the sheet that hand and arm are drawn on, its size, and pixels of a unit."""

WRIST, SLEEVE = 0.85, (0.9, 1.2)
"""How far below the knuckles the wrist lies and the sleeve begins, between face places."""


@WEARABLES.register
@dataclass(frozen=True)
class Hand(Recipe):
    """Four fingers and the back of the hand, in the colour of the face, and an arm in a sleeve.

    Args:
        over: the part of the face it hides; any draws one.
    """

    over: Literal["any", "mouth", "eyes", "side"] = "any"

    def draw(self, rng: np.random.Generator) -> Template:
        over = chosen(self.over, ("mouth", "eyes", "side"), rng)
        heights = {"mouth": (0.62, 0.78), "eyes": (0.0, 0.12), "side": (0.3, 0.6)}
        side = 1 if rng.random() < 0.5 else -1
        height, tip = rng.uniform(*heights[over]), rng.uniform(*((0.15, 0.4) if over == "side" else (-0.5, -0.25)))
        turn = rng.uniform(-0.3, 0.3) + {"mouth": 1.3, "eyes": 1.3, "side": 0.5}[over]
        a, b = np.meshgrid(
            *(low + (np.arange(round(size * PIXELS)) + 0.5) / PIXELS for low, size in zip(CORNER, EXTENT, strict=True))
        )
        # Hand coordinates: y along the fingers to their tips, x across them; at turn 0 the fingers point up.
        right, up = a * side - tip, height - b
        across, along = np.cos(turn) * right + np.sin(turn) * up, np.cos(turn) * up - np.sin(turn) * right
        # The elbow hangs.
        below = np.maximum(-(along + KNUCKLES + WRIST), 0)
        across = across + 0.7 * np.sin(turn) * below**2 / (1 + below)
        relief, coverage, nails = _hand(across, along, rng)
        shade = emboss(4.5 * relief + 0.4 * clouds(rng, a.shape, (28, 28)), 0.45)
        shade *= 0.72 + 0.28 * step(relief, 0.0, 0.7)
        colors = np.broadcast_to(SKIN, (*a.shape, 3)) * (1 + nails[..., None] * np.array([0.08, 0.06, 0.1]))
        redder = 1 + 0.012 * clouds(rng, a.shape, (12, 12))[..., None] * np.array([0.6, -0.4, -0.5])
        sheet = _sheet()
        sleeve = _sleeve(across, along, rng)
        parts = [Part(sheet - (0, 0, 0.04), sleeve, shadow=0.35)] if (sleeve[..., 3] > 127).any() else []
        # The arm ends within the sleeve, which lies below in the order of the parts.
        coverage *= sleeve[..., 3] < 250
        parts.append(Part(sheet, rgba(colors * redder, shade, coverage), shadow=0.45, skin=True))
        return Template(f"hand:over={over}", tuple(parts))


def _sheet() -> FloatArray:
    """(R, C, 3) head coordinates: before the nose, bent around the face."""
    a, b = np.meshgrid(*(np.linspace(low, low + size, 41) for low, size in zip(CORNER, EXTENT, strict=True)))
    side = np.abs(a)
    back = np.where(side < 1, 0.55 * side**2, 0.55 + 0.3 * (side - 1))
    return np.stack([a, b * head().points[CHIN, 1], head().points[4, 2] - 0.08 + back], axis=-1)


def _sleeve(x: FloatArray, y: FloatArray, rng: np.random.Generator) -> Texture:
    """Cloth around the arm, over hand coordinates."""
    start, half = KNUCKLES + rng.uniform(*SLEEVE), rng.uniform(0.42, 0.5)
    down = -(y + start)
    wide = half + 0.06 * np.clip(down, 0, 2)
    round_ = np.sqrt(np.clip(1 - (x / wide) ** 2, 0, 1))
    coverage = step(1 - np.abs(x) / wide, 0.0, 0.04) * step(down, 0.0, 0.012)
    relief = 9 * round_ + 3.5 * clouds(rng, x.shape, (14, 8), 2) * step(down, 0.05, 0.4) + 1.5 * step(down, 0.0, 0.04)
    shade = emboss(relief, 0.7) * weave(rng, x.shape, 0.03) * (0.6 + 0.4 * step(round_, 0.0, 0.8))
    color = varied(COLORS[list(COLORS)[rng.integers(len(COLORS))]], rng)
    return rgba(color, shade, coverage)


def _hand(x: FloatArray, y: FloatArray, rng: np.random.Generator) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Relief 0..1, coverage and nails (H, W) over hand coordinates; the middle finger's tip is at the origin."""
    spread = rng.uniform(0.0, 0.16)
    relief, coverage, nails = np.zeros_like(x), np.zeros_like(x), np.zeros_like(x)
    for place, length, half in FINGERS:
        tip = length - KNUCKLES
        # Fingers spread from the knuckles.
        centre = place + spread * place * np.clip((y + KNUCKLES) / KNUCKLES, 0, 1)
        down = np.maximum(y - (tip - half), 0)
        away = np.hypot(x - centre, down) / (half * (1 - 0.12 * np.clip((y - tip + 0.5) / 0.5, 0, 1)))
        round_ = np.sqrt(np.clip(1 - away**2, 0, 1)) * (1 + 0.06 * bell(y, tip - 0.42, 0.06))
        relief = np.maximum(relief, round_)
        coverage = np.maximum(coverage, step(1 - away, 0.0, 0.06))
        nails = np.maximum(nails, step(1 - np.hypot((x - centre) / (half * 0.6), (y - tip + 0.09) / 0.10), 0.0, 0.25))
    # Towards the wrist it becomes narrower.
    wide = 0.26 - 0.12 * step(-(y + KNUCKLES), 0.35, WRIST)
    palm = np.hypot(np.maximum(np.abs(x) - wide, 0), np.maximum(y + KNUCKLES - 0.12, 0)) / 0.18
    relief = np.maximum(relief, 0.9 * np.sqrt(np.clip(1 - palm**2, 0, 1)))
    return relief, np.maximum(coverage, step(1 - palm, 0.0, 0.06)), nails
