"""A hand before the face."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from facezoo.mask.drawing import bell, clouds, emboss, places, rgba, step
from facezoo.mask.shell import Fit, shell
from facezoo.mask.template import Part, Recipe, Template
from facezoo.registry import WEARABLES
from facezoo.types import FloatArray

SKIN = np.array([148.0, 147.0, 147.0])
"""sRGB that the skin's own colour is multiplied with where the hand is as light as the face."""

FINGERS = ((-0.30, 0.86, 0.115), (-0.10, 0.98, 0.125), (0.11, 0.95, 0.122), (0.30, 0.76, 0.10))
"""Of index to little finger: place across the hand, length, half the width, between face places."""


@WEARABLES.register
@dataclass(frozen=True)
class Hand(Recipe):
    """Four fingers and the back of the hand, in the colour of the face.

    Args:
        over: the part of the face it hides; any draws one.
    """

    over: Literal["any", "mouth", "eyes", "side"] = "any"

    def draw(self, rng: np.random.Generator) -> Template:
        over = ("mouth", "eyes", "side")[rng.integers(3)] if self.over == "any" else self.over
        heights = {"mouth": (0.62, 0.78), "eyes": (0.0, 0.12), "side": (0.3, 0.6)}
        side = 1 if rng.random() < 0.5 else -1
        height, tip = rng.uniform(*heights[over]), rng.uniform(*((0.15, 0.4) if over == "side" else (-0.5, -0.25)))
        turn = rng.uniform(-0.3, 0.3) + {"mouth": 1.3, "eyes": 1.3, "side": 0.5}[over]
        a, b = places()
        # Hand coordinates: y along the fingers to their tips, x across them; at turn 0 the fingers point up.
        right, up = a * side - tip, height - b
        across, along = np.cos(turn) * right + np.sin(turn) * up, np.cos(turn) * up - np.sin(turn) * right
        relief, coverage, nails = _hand(across, along, rng)
        shade = emboss(7 * relief + 0.5 * clouds(rng, a.shape, (14, 14)), 0.45)
        shade *= 0.72 + 0.28 * step(relief, 0.0, 0.7)
        colors = np.broadcast_to(SKIN, (*a.shape, 3)) * (1 + nails[..., None] * np.array([0.08, 0.06, 0.1]))
        redder = 1 + 0.012 * clouds(rng, a.shape, (6, 6))[..., None] * np.array([0.6, -0.4, -0.5])
        lying = shell(rgba(colors * redder, shade, coverage), Fit(gap=0.07, taut=1.0, bulge=0.06))
        return Template(f"hand:over={over}", (Part(lying.grid, lying.texture, shadow=0.45, skin=True),))


def _hand(x: FloatArray, y: FloatArray, rng: np.random.Generator) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Relief 0..1, coverage and nails (H, W) over hand coordinates; the middle finger's tip is at the origin."""
    longest = max(length for _, length, _ in FINGERS)
    spread = rng.uniform(0.0, 0.16)
    relief, coverage, nails = np.zeros_like(x), np.zeros_like(x), np.zeros_like(x)
    for place, length, half in FINGERS:
        tip = length - longest
        # Fingers spread from the knuckles.
        centre = place + spread * place * np.clip((y + longest) / longest, 0, 1)
        down = np.maximum(y - (tip - half), 0)
        away = np.hypot(x - centre, down) / (half * (1 - 0.12 * np.clip((y - tip + 0.5) / 0.5, 0, 1)))
        round_ = np.sqrt(np.clip(1 - away**2, 0, 1)) * (1 + 0.06 * bell(y, tip - 0.42, 0.06))
        relief = np.maximum(relief, round_)
        coverage = np.maximum(coverage, step(1 - away, 0.0, 0.06))
        nails = np.maximum(nails, step(1 - np.hypot((x - centre) / (half * 0.6), (y - tip + 0.09) / 0.10), 0.0, 0.25))
    palm = np.hypot(np.maximum(np.abs(x) - 0.26, 0), np.maximum(y + longest - 0.12, 0)) / 0.18
    relief = np.maximum(relief, 0.9 * np.sqrt(np.clip(1 - palm**2, 0, 1)))
    return relief, np.maximum(coverage, step(1 - palm, 0.0, 0.06)), nails
