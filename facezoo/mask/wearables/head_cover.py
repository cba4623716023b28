"""Hats and headscarves: cloth around the skull."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from facezoo.mask.drawing import bell, chosen, clouds, emboss, rgba, step, varied, weave
from facezoo.mask.head import SKULL, SKULL_CENTRE, head
from facezoo.mask.template import Part, Recipe, Template, Texture
from facezoo.mask.wearables.cloth import COLORS, ColorName
from facezoo.registry import WEARABLES
from facezoo.types import FloatArray

TEXTURE = (256, 512)

KINDS = ("beanie", "cap")


@WEARABLES.register
@dataclass(frozen=True)
class Hat(Recipe):
    """A knitted beanie, or a cap with a peak.

    Args:
        kind: any draws one.
        color: any draws one.
    """

    kind: Literal["any", "beanie", "cap"] = "any"
    color: ColorName = "any"

    def draw(self, rng: np.random.Generator) -> Template:
        kind = chosen(self.kind, KINDS, rng)
        name = chosen(self.color, COLORS, rng)
        color = varied(COLORS[name], rng)
        edge = rng.uniform(-0.64, -0.48)
        thick = 0.14 if kind == "beanie" else 0.09
        parts = [Part(_dome(edge, thick, 1.12 if kind == "beanie" else 1.0), _felt(kind, color, rng), shadow=0.5)]
        if kind == "cap":
            parts.append(Part(_peak(edge, thick), _peak_texture(color, rng), shadow=0.55))
        return Template(f"hat:kind={kind},color={name}", tuple(parts))


@WEARABLES.register
@dataclass(frozen=True)
class Headscarf(Recipe):
    """A scarf around the face: over hair and ears, under the chin, down to the shoulders.

    Args:
        color: any draws one.
    """

    color: ColorName = "any"

    def draw(self, rng: np.random.Generator) -> Template:
        name = chosen(self.color, COLORS, rng)
        color = varied(COLORS[name], rng)
        grid = _scarf(rng.uniform(-0.46, -0.36), rng.uniform(0.9, 0.98), rng.uniform(1.01, 1.06))
        height, width = TEXTURE
        out, around = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
        relief = 3.5 * clouds(rng, TEXTURE, (3, 22)) * step(out, 0.05, 0.35)
        relief += 2.0 * clouds(rng, TEXTURE, (4, 9)) * step(out, 0.1, 0.5) + 2.0 * step(out, 0.0, 0.05)
        shade = emboss(relief, 0.8) * weave(rng, TEXTURE, 0.02) * (0.8 + 0.2 * step(out, 0.0, 0.06))
        # Under the chin little light comes in.
        shade *= 1 - 0.35 * bell(around, 0.5, 0.13) * bell(out, 0.25, 0.3)
        texture = rgba(color, shade, step(out, 0.0, 0.012) * np.ones(TEXTURE))
        return Template(f"headscarf:color={name}", (Part(grid, texture, shadow=0.4),))


def _skull(turn: FloatArray, lift: FloatArray, thick: float, taller: float = 1.0) -> FloatArray:
    """(..., 3): `thick` above the skull, `turn` from the front to the right, `lift` from level to the top."""
    radii = (SKULL + thick) * (1, taller, 1)
    x, y = np.sin(turn) * np.cos(lift), -np.sin(lift)
    z = -np.cos(turn) * np.cos(lift)
    return SKULL_CENTRE + radii * np.stack(np.broadcast_arrays(x, y, z), axis=-1)


def _dome(edge: float, thick: float, taller: float) -> FloatArray:
    """(R, C, 3): from the top down to a level edge, three quarters around."""
    lowest = np.arcsin(np.clip(-(edge - SKULL_CENTRE[1]) / ((SKULL[1] + thick) * taller), -1, 1))
    turn = np.linspace(-0.8 * np.pi, 0.8 * np.pi, 41)[None, :]
    lift = np.linspace(np.pi / 2 - 0.02, lowest, 15)[:, None]
    # Behind it sits lower.
    lift = lift - (0.35 * (1 - np.cos(turn)) / 2) * (np.pi / 2 - lift) / (np.pi / 2 - lowest)
    return _skull(turn, lift, thick, taller)


def _felt(kind: str, color: tuple[float, float, float], rng: np.random.Generator) -> Texture:
    height, width = TEXTURE
    down, around = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    if kind == "beanie":
        ribs = np.sin(around * 2 * np.pi * 70)
        relief = 1.1 * ribs + 3.0 * step(down, 0.74, 0.77) + 1.5 * clouds(rng, TEXTURE, (4, 10), 2)
        shade = emboss(relief, 0.8) * (1 + 0.13 * ribs) * (1 - 0.25 * bell(down, 0.745, 0.012))
    else:
        seams = sum(bell(around, place, 0.004) for place in (0.2, 0.35, 0.5, 0.65, 0.8))
        relief = -1.5 * seams + 1.2 * clouds(rng, TEXTURE, (4, 8), 2)
        shade = emboss(relief, 0.8) * (1 - 0.2 * seams)
    shade = shade * weave(rng, TEXTURE, 0.03) * (0.8 + 0.2 * step(1 - down, 0.0, 0.03))
    return rgba(color, shade, step(1 - down, 0.0, 0.01) * np.ones(TEXTURE))


def _peak(edge: float, thick: float) -> FloatArray:
    """(R, C, 3): the peak of a cap, from its rim forwards and a little down."""
    turn = np.linspace(-0.36 * np.pi, 0.36 * np.pi, 25)
    lowest = np.arcsin(np.clip(-(edge - SKULL_CENTRE[1]) / (SKULL[1] + thick), -1, 1))
    start = _skull(turn, np.full_like(turn, lowest), thick)
    out = np.linspace(0, 1, 7)[:, None, None]
    reach = 0.95 * np.cos(turn * 1.25) ** 0.8
    forward = np.stack([0.15 * np.sin(turn), 0.30 * reach + 0.12 * np.abs(np.sin(turn)) ** 2, -reach], axis=-1)
    grid = start[None] + out * forward[None]
    grid[..., 1] += 0.12 * (np.sin(turn) ** 2)[None] * out[..., 0]
    return grid


def _peak_texture(color: tuple[float, float, float], rng: np.random.Generator) -> Texture:
    out, _ = np.mgrid[0:1:96j, 0:1:256j]
    rows = bell(np.abs((out * 6) % 1 - 0.5), 0.5, 0.06)
    shade = (0.92 + 0.08 * out) * (1 - 0.1 * rows) * weave(rng, out.shape, 0.03)
    return rgba(np.array(color) * 0.92, shade, step(1 - out, 0.0, 0.03))


def _scarf(brow: float, side: float, chin: float) -> FloatArray:
    """(R, C, 3): rows from the rim around the face outwards, columns once around it, the ends at the top.

    Each column is a bent line over three points: on the face, on the head's silhouette, and behind or on the chest.
    """
    angle = np.linspace(2 * np.pi, 0, 65)
    up, down = np.maximum(np.cos(angle), 0), np.maximum(-np.cos(angle), 0)
    middle = (brow + chin) / 2
    b = middle + up * (brow - middle) + down * (chin - middle)
    rim = head().skin(np.stack([side * np.sin(angle), b], axis=1))
    rim[:, 2] -= 0.05
    round_ = np.stack(
        [1.22 * np.sin(angle), SKULL_CENTRE[1] - 1.42 * up + 2.62 * down, 1.1 - 0.25 * up - 0.5 * down], axis=1
    )
    last = np.stack([(0.8 + 1.1 * down) * np.sin(angle), 0.2 - 1.1 * up + 2.9 * down, 2.5 - 1.9 * down], axis=1)
    share = np.linspace(0, 1, 13)[:, None, None]
    bent = 2 * round_ - (rim + last) / 2  # through the point on the silhouette in the middle
    return (1 - share) ** 2 * rim + 2 * share * (1 - share) * bent + share**2 * last
