"""Sewn masks of plain or patterned cloth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from facezoo.mask.drawing import (
    PIXEL,
    Color,
    area,
    bell,
    chosen,
    clouds,
    emboss,
    places,
    rgba,
    step,
    varied,
    weave,
    within,
)
from facezoo.mask.shell import Fit, shell, straps
from facezoo.mask.template import Recipe, Template
from facezoo.mask.wearables.surgical import outline, ribbon
from facezoo.registry import WEARABLES
from facezoo.types import FloatArray

COLORS: dict[str, Color] = {
    "black": (38, 38, 42),
    "white": (230, 229, 224),
    "grey": (132, 134, 140),
    "navy": (40, 50, 88),
    "red": (152, 46, 52),
    "green": (70, 108, 80),
    "beige": (202, 184, 156),
    "rose": (212, 162, 166),
    "purple": (102, 70, 118),
    "teal": (56, 120, 130),
    "mustard": (206, 160, 60),
}

PATTERNS = ("plain", "stripes", "dots", "checks", "flowers")

ColorName = Literal[
    "any", "black", "white", "grey", "navy", "red", "green", "beige", "rose", "purple", "teal", "mustard"
]


@WEARABLES.register
@dataclass(frozen=True)
class Cloth(Recipe):
    """Two curved halves with a seam, in a plain colour or a pattern.

    Args:
        pattern: any draws one.
        color: of the ground; any draws one.
    """

    pattern: Literal["any", "plain", "stripes", "dots", "checks", "flowers"] = "any"
    color: ColorName = "any"

    def draw(self, rng: np.random.Generator) -> Template:
        pattern = chosen(self.pattern, PATTERNS, rng)
        name = chosen(self.color, COLORS, rng)
        top, side, low = rng.uniform((0.13, 0.68, 1.04), (0.24, 0.80, 1.11))
        upper, lower = (side, top + 0.22), (side - 0.03, top + 0.42)
        coverage = area(outline(top, upper, lower, low))
        a, b = places()
        inner = within(coverage)
        height = -1.2 * bell(a, 0, 0.01) + 0.6 * bell(np.abs(a), 0.028, 0.014)
        height += 3.2 * clouds(rng, a.shape, (6, 5), 3) * step(inner, 0.05, 0.3)
        # The hem is folded over and sewn down.
        height += 1.6 * step(inner, 0.0, 0.03) - 0.5 * bell(inner, 0.075, 0.008)
        stitches = 0.5 + 0.5 * np.sin((a - b) * (2 * np.pi / 0.028))
        shade = emboss(height, 0.9) * weave(rng, a.shape, 0.03) * (1 - 0.18 * bell(inner, 0.075, 0.006) * stitches)
        shade *= 0.85 + 0.15 * step(inner, 0.0, 0.03)
        colors = patterned(pattern, name, a, b, rng)
        texture = rgba(colors, shade, coverage * step(inner, -0.5 * PIXEL, 1.2 * PIXEL))
        part = shell(texture, Fit(taut=rng.uniform(0.6, 0.9), bulge=rng.uniform(0.0, 0.05)))
        loop = ribbon(varied(COLORS["black" if sum(COLORS[name]) < 380 else "white"], rng), rng)
        ends = [(upper[0] - 0.04, upper[1] + 0.02), (lower[0] - 0.04, lower[1] - 0.02)]
        drops = [rng.uniform(-0.02, 0.03), rng.uniform(0.16, 0.26)]
        name = f"cloth:pattern={pattern},color={name}"
        return Template(name, (*straps(ends, drops, rng.uniform(0.05, 0.08), loop), part))


def patterned(pattern: str, name: str, a: FloatArray, b: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Colours (H, W, 3) of a cloth over face places a and b."""
    ground = np.array(varied(COLORS[name], rng), np.float32)
    bright = ground.mean() > 128
    other = np.array(varied(COLORS[("navy", "red", "black", "teal")[rng.integers(4)]], rng), np.float32)
    if not bright:
        other = np.array(varied(COLORS[("white", "beige", "mustard", "rose")[rng.integers(4)]], rng), np.float32)
    turn = rng.uniform(-0.6, 0.6) if pattern in ("stripes", "checks") else rng.uniform(0, 1.5)
    x, y = a * np.cos(turn) + b * np.sin(turn), b * np.cos(turn) - a * np.sin(turn)
    size = rng.uniform(0.09, 0.17)
    if pattern == "stripes":
        share = step(np.cos(2 * np.pi * x / size), -0.15, 0.15)
    elif pattern == "dots":
        row = np.floor(y / size)
        share = step(
            0.28 * size - np.hypot(_wrapped(x + 0.5 * size * (row % 2), size), _wrapped(y, size)), -0.008, 0.008
        )
    elif pattern == "checks":
        share = 0.5 * step(np.cos(2 * np.pi * x / size), -0.1, 0.1) + 0.5 * step(
            np.cos(2 * np.pi * y / size), -0.1, 0.1
        )
    elif pattern == "flowers":
        row = np.floor(y / size)
        across, down = _wrapped(x + 0.5 * size * (row % 2), size), _wrapped(y, size)
        petals = 0.26 * size * (1 + 0.45 * np.cos(5 * np.arctan2(down, across) + row))
        share = step(petals - np.hypot(across, down), -0.008, 0.008)
    else:
        share = np.zeros_like(a)
    return ground + (other - ground) * share[..., None]


def _wrapped(values: FloatArray, period: float) -> FloatArray:
    """The distance from the middle of a period."""
    return values - (np.floor(values / period) + 0.5) * period
