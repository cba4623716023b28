"""Glasses and sunglasses: a frame before the eyes, lenses, temples to the ears."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from facezoo.data.accessories_eyes import SHAPES
from facezoo.data.canvas import curve
from facezoo.mask.drawing import Color, bell, chosen, rgba, step, varied
from facezoo.mask.head import EAR, head
from facezoo.mask.template import Part, Recipe, Template, Texture
from facezoo.registry import WEARABLES
from facezoo.types import FloatArray

COLORS: dict[str, Color] = {
    "black": (26, 26, 28),
    "brown": (78, 50, 32),
    "tortoise": (108, 66, 34),
    "grey": (96, 98, 104),
    "silver": (180, 182, 188),
    "gold": (180, 146, 88),
    "red": (126, 32, 40),
    "blue": (38, 52, 100),
}

TINTS: tuple[Color, ...] = ((24, 24, 27), (48, 34, 24), (26, 36, 30), (28, 32, 48))

Shape = Literal["any", "round", "square", "aviator", "cat"]
ColorName = Literal["any", "black", "brown", "tortoise", "grey", "silver", "gold", "red", "blue"]

WIDE, HIGH = 1.06, 0.46
"""Half the width and half the height of the surface that is drawn on, head coordinates."""

PER_UNIT = 200
"""Pixels of the texture for a unit of head coordinates."""

FINE = 4


@WEARABLES.register
@dataclass(frozen=True)
class Glasses(Recipe):
    """A frame with clear lenses that mirror a little.

    Args:
        shape: of the lenses; any draws one.
        color: of the frame; any draws one.
    """

    shape: Shape = "any"
    color: ColorName = "any"

    def draw(self, rng: np.random.Generator) -> Template:
        parts, name = _eyewear(self.shape, self.color, None, rng)
        return Template(f"glasses:{name}", parts)


@WEARABLES.register
@dataclass(frozen=True)
class Sunglasses(Recipe):
    """A frame with dark lenses that mirror sky and ground.

    Args:
        shape: of the lenses; any draws one.
        color: of the frame; any draws one.
    """

    shape: Shape = "any"
    color: ColorName = "any"

    def draw(self, rng: np.random.Generator) -> Template:
        tint = TINTS[rng.integers(len(TINTS))]
        parts, name = _eyewear(self.shape, self.color, tint, rng)
        return Template(f"sunglasses:{name}", parts)


def _eyewear(shape: str, color: str, tint: Color | None, rng: np.random.Generator) -> tuple[tuple[Part, ...], str]:
    kind = chosen(shape, SHAPES, rng)
    name = chosen(color, COLORS, rng)
    paint = varied(COLORS[name], rng)
    thick = rng.uniform(0.03, 0.05) if kind == "aviator" else rng.uniform(0.035, 0.10)
    eye, drop = _eye(), rng.uniform(0.0, 0.05)
    size = rng.uniform(0.95, 1.12) * 0.0295
    lens = curve(*SHAPES[kind]) * (size, size) + (-eye[0] - 0.02, drop)
    rim = (lens - lens.mean(axis=0)) * (1 + thick / 0.38) + lens.mean(axis=0)
    inner = float(lens[:, 0].max())
    level, arch = drop - 0.06, rng.uniform(0.02, 0.07)
    x = np.linspace(inner - 0.02, -inner + 0.02, 24)
    over = level - arch * np.cos(x / inner * np.pi / 2)
    bridge = np.concatenate([np.stack([x, over], 1), np.stack([x, over + max(thick, 0.04)], 1)[::-1]])
    hinge = (float(rim[:, 0].min()), level - 0.04)
    ends = np.array([(hinge[0] + 0.12, hinge[1]), (-WIDE, hinge[1] - 0.02)])
    ends = np.concatenate([ends, ends[::-1] + np.array([0, max(thick, 0.05) + 0.01])])
    mirrored = [outline * (-1, 1) for outline in (lens, rim, ends)]
    lenses = _filled([lens], [mirrored[0]])
    wire = _filled([rim, lens], [mirrored[1], mirrored[0]], [bridge], [ends], [mirrored[2]])
    front = _front(eye)
    glass = Part(front + np.array([0, 0, 0.02]), _glass(lenses, tint, rng), shadow=0.35 if tint else 0.05, gloss=0.0)
    y = np.linspace(-HIGH, HIGH, wire.shape[0])[:, None]
    edge = np.asarray(cv2.GaussianBlur(wire, (0, 0), 2.0), np.float32)
    shade = 0.8 + 0.35 * step(edge, 0.3, 1.0) + 0.15 * bell(y, -0.2, 0.2)
    frame = Part(front, rgba(paint, shade, wire), shadow=0.5, gloss=0.25)
    arms = [_temple(side, front, hinge[1] + 0.03, paint, max(thick, 0.05)) for side in (-1, 1)]
    return (*arms, glass, frame), f"shape={kind},color={name}"


def _eye() -> FloatArray:
    """Place of the right eye in the picture, head coordinates."""
    return head().points[[263, 362]].mean(axis=0)


def _front(eye: FloatArray) -> FloatArray:
    """(R, C, 3): a gently bent surface before the eyes, resting on the nose."""
    x, y = np.meshgrid(np.linspace(-WIDE, WIDE, 25), np.linspace(-HIGH, HIGH, 9))
    nearest = float(head().points[[6, 197], 2].min())
    z = nearest - 0.06 + 0.30 * (np.abs(x) / WIDE) ** 2.2 + 0.10 * y
    return np.stack([x, y + eye[1], z], axis=-1)


def _filled(*groups: list[FloatArray]) -> FloatArray:
    """Coverage of outlines on the front's texture; where two of a group overlap is a hole."""
    size = round(2 * WIDE * PER_UNIT), round(2 * HIGH * PER_UNIT)
    filled = np.zeros((size[1] * FINE, size[0] * FINE), np.uint8)
    for group in groups:
        rings = [np.rint((ring + np.array([WIDE, HIGH])) * PER_UNIT * FINE).astype(np.int32) for ring in group]
        cv2.fillPoly(filled, rings, 255)
    return cv2.resize(filled, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255


def _glass(lenses: FloatArray, tint: Color | None, rng: np.random.Generator) -> Texture:
    """The lenses: what they keep back and what they mirror."""
    height, width = lenses.shape
    x, y = np.meshgrid(np.linspace(-WIDE, WIDE, width), np.linspace(-HIGH, HIGH, height))
    along = x - np.sign(x) * 0.45 + 0.6 * y + rng.uniform(-0.3, 0.3)
    streak = bell(along, 0, rng.uniform(0.06, 0.2))
    if tint is None:
        return rgba((235, 240, 246), 1.0, lenses * (0.03 + rng.uniform(0.0, 0.30) * streak))
    down = np.clip(y / 0.7 + 0.5, 0, 1)
    shade = 0.8 + rng.uniform(0.3, 1.0) * down + rng.uniform(0.3, 2.0) * streak
    return rgba(tint, shade, lenses * rng.uniform(0.82, 0.98))


def _temple(side: int, front: FloatArray, height: float, paint: Color, thick: float) -> Part:
    """The arm from the frame's end to the ear."""
    row = int(np.clip(round((height + HIGH) / (2 * HIGH) * (front.shape[0] - 1)), 0, front.shape[0] - 1))
    start = front[row, -1] + np.array([0, height - (front[row, -1, 1] - _eye()[1]), 0])
    end = EAR + np.array([0.06, -0.16, 0.1])
    share = np.linspace(0, 1, 8)[:, None]
    line = start + share * (end - start)
    grid = np.stack([line - np.array([0, thick / 2, 0]), line + np.array([0, thick / 2, 0])])
    if side < 0:
        grid = grid[:, ::-1] * (-1, 1, 1)
    texture = rgba(paint, 1.0, np.ones((8, 64)))
    return Part(np.ascontiguousarray(grid), texture, shadow=0.3, gloss=0.1)
