"""Pleated masks with ear loops."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from facezoo.data.canvas import curve
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
from facezoo.mask.template import Recipe, Template, Texture
from facezoo.registry import WEARABLES
from facezoo.types import FloatArray

COLORS: dict[str, Color] = {
    "blue": (152, 196, 224),
    "white": (234, 235, 234),
    "black": (40, 41, 45),
    "green": (160, 203, 186),
    "pink": (232, 184, 196),
}

LOOP: Color = (226, 226, 222)


@WEARABLES.register
@dataclass(frozen=True)
class Surgical(Recipe):
    """Three pleats, a wire over the nose, a welded rim, ear loops.

    Args:
        color: any draws one.
    """

    color: Literal["any", "blue", "white", "black", "green", "pink"] = "any"

    def draw(self, rng: np.random.Generator) -> Template:
        name = chosen(self.color, COLORS, rng)
        color = varied(COLORS[name], rng)
        top, side, low = rng.uniform((0.13, 0.66, 1.05), (0.24, 0.75, 1.12))
        upper, lower = (side, top + 0.17), (side - 0.05, top + 0.47)
        coverage = area(outline(top, upper, lower, low))
        a, b = places()
        inner = within(coverage)
        height = _pleats(a, b, top, low, rng)
        height += 2.2 * clouds(rng, a.shape, (9, 7), 2) * step(inner, 0.0, 0.08)
        height += 1.1 * bell(inner, 0.07, 0.018) * bell(a, 0, 0.34) * (b < top + 0.3)
        # The layers are welded along the rim, which is thinner and has a row of dents.
        height += 1.5 * step(inner, 0.0, 0.05)
        dents = 0.5 + 0.5 * np.sin((a + b) * (2 * np.pi / 0.03))
        shade = emboss(height, 0.8) * weave(rng, a.shape, 0.012) * (1 - 0.10 * bell(inner, 0.035, 0.012) * dents)
        shade *= 0.86 + 0.14 * step(inner, 0.0, 0.03)
        shade *= 1 + 0.015 * clouds(rng, a.shape, (5, 5))
        texture = rgba(color, shade, coverage * step(inner, -0.5 * PIXEL, 1.2 * PIXEL))
        part = shell(texture, Fit(taut=rng.uniform(0.8, 1.0), bulge=rng.uniform(0.01, 0.05)), gloss=0.03)
        loop = ribbon(LOOP if name != "black" else varied(color, rng), rng)
        drops = [rng.uniform(-0.02, 0.03), rng.uniform(0.22, 0.32)]
        ends = [(upper[0] - 0.04, upper[1] + 0.03), (lower[0] - 0.04, lower[1] - 0.03)]
        return Template(f"surgical:color={name}", (*straps(ends, drops, rng.uniform(0.045, 0.07), loop), part))


def outline(top: float, upper: tuple[float, float], lower: tuple[float, float], low: float) -> FloatArray:
    """Rim (N, 2) of a mask, face places: over the nose, to the upper and lower corner of a side, under the chin."""
    half = [
        (0.0, top),
        (0.16, top + 0.05),
        (0.36, top + 0.13),
        upper,
        (upper[0] + 0.01, (upper[1] + lower[1]) / 2),
        lower,
        (lower[0] * 0.66, (lower[1] + 2 * low) / 3),
        (0.22, low),
        (0.0, low + 0.01),
    ]
    right = curve(*half, closed=False)
    return np.concatenate([right, right[::-1] * (-1, 1)])


def ribbon(color: Color, rng: np.random.Generator) -> Texture:
    """A knitted strap, 16 x 128, its length from left to right."""
    across = np.linspace(-1, 1, 16)[:, None] * np.ones((1, 128))
    shade = (1.0 - 0.35 * across**2) * weave(rng, across.shape, 0.04)
    return rgba(color, shade, step(1 - np.abs(across), 0.0, 0.3))


def _pleats(a: FloatArray, b: FloatArray, top: float, low: float, rng: np.random.Generator) -> FloatArray:
    """Relief in pixels: three folds that open downwards, drawn together at the sides."""
    middle, gap = top + rng.uniform(0.40, 0.48) * (low - top), rng.uniform(0.16, 0.20) * (low - top)
    height = np.zeros_like(a)
    for number in (-1, 0, 1):
        centre = middle + number * gap * (1 - 0.35 * a * a) + 0.05 * a * a
        centre = centre + 0.008 * clouds(rng, a.shape, (2, 5))
        # A pleat's layer lies on the one below it: it ends in an edge that faces down.
        away = b - centre
        height += np.where(away < 0, 2.2 * np.exp(away / 0.06), 2.2 * np.exp(-away / 0.014))
    return height
