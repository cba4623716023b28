"""A hand before the face."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from facezoo.mask.drawing import bell, chosen, clouds, emboss, rgba, step, varied, weave
from facezoo.mask.head import CHIN, head
from facezoo.mask.template import Part, Recipe, Template, Texture
from facezoo.mask.wearables.cloth import COLORS
from facezoo.registry import WEARABLES
from facezoo.types import FloatArray

SKIN = np.array([148, 147, 147], np.float32)
"""sRGB that the skin's own colour is multiplied with where the hand is as light as the face."""

FINGERS = (
    (-0.33, -0.06, 0.80, 0.104),
    (-0.115, 0.0, 0.95, 0.108),
    (0.105, -0.01, 0.90, 0.104),
    (0.31, -0.09, 0.70, 0.088),
)
"""Of index to little finger: place of the knuckle across the hand, how much further down than the middle one's it is,
length, half the width, between face places."""

JOINTS = (0.46, 0.74)
"""Where fingers bend, in their lengths."""

KNUCKLES = max(length for *_, length, _ in FINGERS)
"""How far below the tip of the middle finger the knuckles lie."""

THUMB = ((-0.20, -0.74), (-0.47, -0.43), (-0.62, 0.06))
"""Wrist end, joint and tip of the thumb over hand coordinates that begin at the knuckles."""

CORNER, EXTENT, PIXELS = (-3.2, -0.95), (6.4, 4.0), 125
"""Face place of the upper left corner of the sheet that hand and arm are drawn on, its size, and pixels of a unit."""

WRIST, SLEEVE = 0.85, (0.9, 1.2)
"""How far below the knuckles the wrist lies and the sleeve begins, between face places."""


@dataclass(eq=False)
class Drawing:
    """A part of a hand.

    Attributes:
        relief: (H, W), its height, about 1 in the middle of a finger.
        coverage: (H, W) 0..1.
        shade: (H, W), of creases and nails, about 1.
        red: (H, W) 0..1, where the blood shows.
    """

    relief: FloatArray
    coverage: FloatArray
    shade: FloatArray
    red: FloatArray

    def join(self, other: Drawing) -> None:
        """Add a part: the higher one is seen."""
        higher = other.relief > self.relief
        self.relief = np.maximum(self.relief, other.relief)
        self.coverage = np.maximum(self.coverage, other.coverage)
        self.shade = np.where(higher, other.shade, self.shade)
        self.red = np.where(higher, other.red, self.red)


@WEARABLES.register
@dataclass(frozen=True)
class Hand(Recipe):
    """Fingers, thumb and the back of the hand, in the colour of the face, and an arm in a sleeve.

    It does not turn with the head: from wherever the photo is taken, the hand is before the face.

    Args:
        over: the part of the face it hides; any draws one.
    """

    over: Literal["any", "mouth", "eyes", "side"] = "any"

    def draw(self, rng: np.random.Generator) -> Template:
        over = chosen(self.over, ("mouth", "eyes", "side"), rng)
        heights = {"mouth": (0.62, 0.78), "eyes": (0.0, 0.12), "side": (0.3, 0.6)}
        side = 1 if rng.random() < 0.5 else -1
        height, tip = rng.uniform(*heights[over]), rng.uniform(*((0.15, 0.4) if over == "side" else (-0.7, -0.4)))
        turn = rng.uniform(-0.3, 0.3) + {"mouth": 1.3, "eyes": 1.3, "side": 0.5}[over]
        cos, sin = math.cos(turn), math.sin(turn)
        a, b = np.meshgrid(
            *(
                np.float32(low) + (np.arange(round(size * PIXELS), dtype=np.float32) + 0.5) / PIXELS
                for low, size in zip(CORNER, EXTENT, strict=True)
            )
        )
        # Hand coordinates: y along the fingers to their tips, x across them; at turn 0 the fingers point up.
        right, up = a * side - tip, height - b
        across, along = cos * right + sin * up, cos * up - sin * right
        # The elbow hangs.
        below = np.maximum(-(along + KNUCKLES + WRIST), 0)
        across = across + 0.7 * sin * below**2 / (1 + below)
        drawn = _hand(across, along, rng)
        coverage = drawn.coverage
        relief = drawn.relief + 0.03 * clouds(rng, a.shape, (40, 60))
        shade = emboss(7.0 * relief, 0.5) * drawn.shade
        shade *= 0.58 + 0.42 * step(drawn.relief, 0.0, 0.62)
        redder = 0.7 * drawn.red + 0.12 * clouds(rng, a.shape, (12, 12))
        colors = SKIN * (1 + redder[..., None] * np.array([0.05, -0.05, -0.05], np.float32))
        sheet = _sheet()
        sleeve = _sleeve(across, along, rng)
        parts = [Part(sheet - (0, 0, 0.04), sleeve, shadow=0.35, faces=True)] if (sleeve[..., 3] > 127).any() else []
        # The arm ends within the sleeve, which lies below in the order of the parts.
        coverage = coverage * (sleeve[..., 3] < 250)
        parts.append(Part(sheet, rgba(colors, shade, coverage), shadow=0.6, skin=True, faces=True))
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


def _hand(x: FloatArray, y: FloatArray, rng: np.random.Generator) -> Drawing:
    """A hand over hand coordinates; the middle finger's tip is at the origin."""
    spread, y = rng.uniform(0.0, 0.22), y + KNUCKLES
    made = _back(x, y)
    thumb = np.array(THUMB) * (rng.uniform(0.75, 1.1), 1)
    made.join(_finger(x, y, thumb[0], thumb[1], 0.17, 0.118, tip=False))
    made.join(_finger(x, y, thumb[1], thumb[2], 0.118, 0.102, joints=(0.5,)))
    for place, down, length, half in FINGERS:
        lean = spread * place + 0.025 * float(rng.standard_normal())
        base = np.array([place, down])
        end = base + length * np.array([np.sin(lean), np.cos(lean)])
        made.join(_finger(x, y, base, end, half, 0.82 * half, JOINTS))
    return made


def _back(x: FloatArray, y: FloatArray) -> Drawing:
    """The back of the hand and the arm; y = 0 at the knuckles."""
    wide = 0.42 - 0.15 * step(-y, 0.1, WRIST) + 0.03 * step(-y, WRIST, 2.0)
    away = np.maximum(np.abs(x + 0.01) - (wide - 0.17), 0) / 0.17
    away = np.hypot(away, np.maximum(y + 0.02, 0) / 0.14)
    relief = 0.9 * np.sqrt(np.clip(1 - away**2, 0, 1))
    red, lower = np.zeros_like(x), np.clip(-y / WRIST, 0, 1)
    for place, down, _, _ in FINGERS:
        knuckle = np.exp(-(((x - place) / 0.085) ** 2) - ((y - down + 0.02) / 0.10) ** 2)
        tendon = bell(x, place * (1 - 0.65 * lower), 0.03) * step(-y, 0.05, 0.25) * (1 - step(-y, 0.5, 0.9))
        relief = relief + 0.13 * knuckle + 0.05 * tendon
        red = np.maximum(red, knuckle)
    return Drawing(relief, step(1 - away, 0.0, 0.05), np.ones_like(x), red)


def _finger(
    x: FloatArray,
    y: FloatArray,
    base: FloatArray,
    end: FloatArray,
    half: float,
    last: float,
    joints: tuple[float, ...] = (),
    tip: bool = True,
) -> Drawing:
    """A finger, or a part of it, from its base to its end, `half` wide at its base and `last` at its end."""
    length = float(np.linalg.norm(end - base))
    right, ahead = ((end - base) / length).tolist()
    along = (x - float(base[0])) * right + (y - float(base[1])) * ahead
    aside = (x - float(base[0])) * ahead - (y - float(base[1])) * right
    share = along / length
    radius = half + (last - half) * np.clip(share, 0, 1)
    shade, red = np.ones_like(x), np.zeros_like(x)
    for joint in joints:
        radius = radius * (1 + 0.06 * bell(share, joint, 0.07))
        for line in (-0.022, 0.0, 0.02):
            bent = along - joint * length - line + 0.9 * (aside / half) ** 2 * line
            shade = shade - 0.13 * bell(bent, 0, 0.007) * (np.abs(aside) < 0.7 * half)
        red = np.maximum(red, bell(share, joint, 0.08))
    beyond = np.maximum(along - (length - last if tip else length), 0)
    away = np.hypot(np.hypot(aside, beyond), np.maximum(-along, 0)) / radius
    relief = np.sqrt(np.clip(1 - away**2, 0, 1)) * np.sqrt(radius / 0.108)
    if tip:
        nail = np.hypot(aside / (0.62 * last), (along - length + 0.95 * last) / (0.85 * last))
        shade = shade * (1 + 0.10 * step(1 - nail, 0.0, 0.2)) * (1 - 0.22 * bell(nail, 1.0, 0.10))
        red = np.maximum(red, 0.9 * step(share, 0.8, 1.0))
    return Drawing(relief, step(1 - away, 0.0, 0.06), shade, red)
