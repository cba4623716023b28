"""Respirators: a stiff cup of two halves, some with a valve."""

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
from facezoo.mask.template import Recipe, Template
from facezoo.mask.wearables.surgical import ribbon
from facezoo.registry import WEARABLES
from facezoo.types import FloatArray

COLORS: dict[str, Color] = {
    "white": (236, 236, 233),
    "black": (42, 42, 46),
    "grey": (150, 153, 158),
    "beige": (222, 208, 188),
}

STRAP: Color = (222, 214, 190)


@WEARABLES.register(name="n95")
@dataclass(frozen=True)
class Respirator(Recipe):
    """N95, KN95 or FFP2: folded halves with a seam down the middle, standing off before the mouth.

    Args:
        color: any draws one.
        valve: any draws whether there is one.
    """

    color: Literal["any", "white", "black", "grey", "beige"] = "any"
    valve: Literal["any", "yes", "no"] = "any"

    def draw(self, rng: np.random.Generator) -> Template:
        name = chosen(self.color, COLORS, rng)
        valve = rng.random() < 0.25 if self.valve == "any" else self.valve == "yes"
        color = varied(COLORS[name], rng)
        top, side, low = rng.uniform((0.11, 0.60, 1.05), (0.20, 0.70, 1.11))
        corner = (side, top + 0.30)
        half = [(0.0, top), (0.14, top + 0.05), (0.30, top + 0.14), corner, (side - 0.02, top + 0.48)]
        half += [(side * 0.62, low - 0.08), (0.20, low), (0.0, low + 0.01)]
        right = curve(*half, closed=False)
        coverage = area(np.concatenate([right, right[::-1] * (-1, 1)]))
        a, b = places()
        inner = within(coverage)
        height = 2.4 * step(inner, 0.0, 0.05) - 1.2 * bell(a, 0, 0.010) + 0.8 * bell(np.abs(a), 0.024, 0.012)
        # The halves' seams along the rim, and the wire.
        height += 1.0 * bell(inner, 0.06, 0.02) - 0.7 * bell(inner, 0.095, 0.01)
        height += 1.3 * clouds(rng, a.shape, (7, 6), 2)
        if valve:
            height += _valve(a, b)
        shade = emboss(height, 0.8) * weave(rng, a.shape, 0.02) * (1 - 0.14 * bell(a, 0, 0.009))
        shade *= 0.88 + 0.12 * step(inner, 0.0, 0.035)
        colors = np.broadcast_to(np.asarray(color, np.float32), (*a.shape, 3)).copy()
        if valve:
            colors[np.hypot(a - 0.26, (b - 0.66) * 1.05) < 0.15] = (206, 207, 210)
        texture = rgba(colors, shade, coverage * step(inner, -0.5 * PIXEL, 1.2 * PIXEL))
        part = shell(texture, Fit(taut=1.0, bulge=rng.uniform(0.10, 0.2)), shadow=0.45)
        strap = ribbon(STRAP if name in ("white", "beige") else varied((70, 70, 74), rng), rng)
        drops = [rng.uniform(-0.1, 0.0), rng.uniform(0.22, 0.34)]
        ends = [(corner[0] - 0.05, corner[1] + 0.02), (side - 0.06, top + 0.46)]
        return Template(f"n95:color={name}", (*straps(ends, drops, rng.uniform(0.05, 0.09), strap), part))


def _valve(a: FloatArray, b: FloatArray) -> FloatArray:
    """Relief of a round valve with ribs, on one half."""
    away = np.hypot(a - 0.26, (b - 0.66) * 1.05)
    ribs = 0.5 * np.sin((b - 0.66) * 2 * np.pi / 0.05) * (away < 0.1)
    return 3.5 * step(0.15 - away, 0.0, 0.03) - 1.2 * bell(away, 0.11, 0.012) + ribs
