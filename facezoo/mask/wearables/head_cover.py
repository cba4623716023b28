"""Hats and headscarves: cloth around the skull."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from facezoo.mask.drawing import Color, bell, chosen, clouds, emboss, rgba, step, varied, weave
from facezoo.mask.head import SKULL, SKULL_CENTRE, head
from facezoo.mask.template import Part, Recipe, Template, Texture
from facezoo.mask.wearables.cloth import COLORS, ColorName
from facezoo.registry import WEARABLES
from facezoo.types import FloatArray

TEXTURE = (256, 512)

AROUND, COLUMNS = 0.85 * np.pi, 49
"""Directions from the front, to either side, that hats reach, and columns of their grids."""

KINDS = ("beanie", "cap")


@WEARABLES.register
@dataclass(frozen=True)
class Hat(Recipe):
    """A knitted beanie with a turned-up cuff, or a cap with a peak.

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
        edge = rng.uniform(-0.62, -0.46)
        make = _beanie if kind == "beanie" else _cap
        return Template(f"hat:kind={kind},color={name}", make(edge, color, rng))


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
        grid = _scarf(rng.uniform(-0.50, -0.38), rng.uniform(0.9, 0.98), rng.uniform(1.01, 1.06), rng)
        out, around = _texels()
        # Folds run from the rim outwards, and around the neck.
        creased = clouds(rng, TEXTURE, (2.5, 26)) + 0.6 * clouds(rng, TEXTURE, (4, 11))
        relief = 4.5 * np.abs(creased) * step(out, 0.10, 0.5)
        draped = clouds(rng, TEXTURE, (15, 4), 2)
        relief += 3.0 * np.abs(draped) * bell(around, 0.5, 0.2) * step(out, 0.12, 0.3)
        relief += 1.5 * clouds(rng, TEXTURE, (4, 9)) + 2.0 * step(out, 0.0, 0.05)
        shade = emboss(relief, 0.8) * weave(rng, TEXTURE, 0.02) * (0.8 + 0.2 * step(out, 0.0, 0.06))
        # Under the chin little light comes in.
        shade *= 1 - 0.35 * bell(around, 0.5, 0.13) * bell(out, 0.25, 0.2)
        texture = rgba(color, shade, step(out, 0.0, 0.012) * np.ones(TEXTURE))
        return Template(f"headscarf:color={name}", (Part(grid, texture, shadow=0.4),))


def _texels() -> tuple[FloatArray, FloatArray]:
    """Places 0..1 down and across of a texture (TEXTURE)."""
    height, width = TEXTURE
    down, across = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    return down, across


def _skull(
    turn: FloatArray, lift: FloatArray, thick: FloatArray | float, taller: FloatArray | float = 1.0
) -> FloatArray:
    """(..., 3): `thick` above the skull, `turn` from the front to the right, `lift` from level to the top."""
    x, y, z = np.sin(turn) * np.cos(lift), -np.sin(lift) * taller, -np.cos(turn) * np.cos(lift)
    thick = np.asarray(thick)[..., None]
    return SKULL_CENTRE + (SKULL + thick) * np.stack(np.broadcast_arrays(x, y, z), axis=-1)


def _beanie(edge: float, color: Color, rng: np.random.Generator) -> tuple[Part, ...]:
    """A ribbed tube that is drawn together at the top, its lower end turned up."""
    thick, tilt, high = rng.uniform(0.16, 0.22), rng.uniform(0.35, 0.55), rng.uniform(0.30, 0.44)
    taller = rng.uniform(1.08, 1.28)
    lowest = _lift(edge, thick)
    top = np.linspace(np.pi / 2 - 0.02, lowest + 0.1, 17)[:, None]
    crown = _around(top, lowest, tilt, thick, taller)
    # The cuff stands off: it is rolled at both ends.
    across = np.linspace(1, 0, 7)[:, None]
    cuff = _around(
        lowest + across * high, lowest, tilt, thick + 0.075 * np.sqrt(np.sin(np.pi * (0.08 + 0.84 * across)))
    )
    return Part(crown, _ribbed(color, 60, 1.2, rng), shadow=0.3), Part(cuff, _ribbed(color, 52, 0.6, rng), shadow=0.6)


def _cap(edge: float, color: Color, rng: np.random.Generator) -> tuple[Part, ...]:
    """Panels around the head, a peak over the eyes."""
    thick, tilt = rng.uniform(0.10, 0.14), rng.uniform(0.18, 0.30)
    lowest = _lift(edge, thick)
    rows = np.linspace(np.pi / 2 - 0.02, lowest, 17)[:, None]
    turn = np.linspace(-AROUND, AROUND, COLUMNS)[None, :]
    # The front panels are stiff and stand up.
    stiff = 0.13 * np.maximum(np.cos(turn), 0) ** 2 * bell(rows, 0.75, 0.45)
    crown = _around(rows, lowest, tilt, thick + stiff, rng.uniform(0.96, 1.06))
    # The peak is sewn on within the rim.
    seam = 0.6 * crown[-1] + 0.4 * crown[-2] + (0, 0, -0.02)
    return Part(crown, _panels(color, rng), shadow=0.4), Part(_peak(seam), _stitched(color, rng), shadow=0.75)


def _lift(edge: float, thick: float) -> float:
    """Where a cloth `thick` above the skull meets the height of its edge on the forehead."""
    return float(np.arcsin(np.clip(-(edge - SKULL_CENTRE[1]) / (SKULL[1] + thick), -1, 1)))


def _around(lift: FloatArray, lowest: float, tilt: float, thick: FloatArray | float, taller: float = 1.0) -> FloatArray:
    """(R, COLUMNS, 3): rows (R, 1) at a lift on the forehead, which sit lower the further behind."""
    turn = np.linspace(-AROUND, AROUND, COLUMNS)[None, :]
    lower = tilt * (1 - np.cos(turn)) / 2 * np.minimum((np.pi / 2 - lift) / (np.pi / 2 - lowest), 1)
    # Only what is above the rim is drawn out.
    above = 1 + (taller - 1) * step((lift - lowest) / (np.pi / 2 - lowest), 0.0, 1.0)
    return _skull(turn, lift - lower, thick, above)


def _ribbed(color: Color, ribs: int, clouded: float, rng: np.random.Generator) -> Texture:
    """Knitted cloth, its ribs from the top down."""
    down, around = _texels()
    wander = 0.25 * clouds(rng, TEXTURE, (5, 12))
    wave = np.cos(2 * np.pi * ribs * around + wander)
    knots = np.cos(2 * np.pi * 46 * down + np.pi * np.floor(ribs * around + wander / (2 * np.pi)))
    relief = 2.5 * clouded * clouds(rng, TEXTURE, (3, 9), 2) + 1.2 * step(down, 0.0, 0.05)
    shade = emboss(relief, 0.8) * (1 + 0.12 * wave + 0.04 * knots * (wave > 0)) * weave(rng, TEXTURE, 0.03)
    shade *= 0.75 + 0.25 * step(1 - down, 0.0, 0.06)
    return rgba(color, shade, step(1 - down, 0.0, 0.012) * np.ones(TEXTURE))


def _panels(color: Color, rng: np.random.Generator) -> Texture:
    """Six panels with seams, and stitches above the rim."""
    down, around = _texels()
    places = 0.5 + np.arange(-2, 3) * (np.pi / 3) / (2 * AROUND)
    seams = np.maximum.reduce([bell(around, place, 0.003) for place in places])
    beside = np.maximum.reduce([bell(np.abs(around - place), 0.009, 0.0018) for place in places])
    relief = 1.6 * clouds(rng, TEXTURE, (4, 9), 2) * step(down, 0.1, 0.6) - 1.2 * seams
    shade = emboss(relief, 0.7) * (1 - 0.16 * seams) * (1 - 0.08 * beside)
    shade *= (
        weave(rng, TEXTURE, 0.025) * (1 - 0.12 * bell(down, 0.93, 0.006)) * (0.85 + 0.15 * step(1 - down, 0.0, 0.05))
    )
    return rgba(color, shade, step(1 - down, 0.0, 0.01) * np.ones(TEXTURE))


def _peak(seam: FloatArray) -> FloatArray:
    """(R, C, 3): the peak of a cap, from the crown's seam (COLUMNS, 3) forwards, arched from side to side."""
    turn = np.linspace(-AROUND, AROUND, COLUMNS)
    angle = np.linspace(-0.40 * np.pi, 0.40 * np.pi, 33)
    start = np.stack([np.interp(angle, turn, seam[:, axis]) for axis in range(3)], axis=-1)
    out = np.linspace(0, 1, 9)[:, None]
    reach = 0.92 * np.maximum(np.cos(1.25 * angle), 0) ** 0.55
    aside = np.abs(np.sin(angle))
    x = start[:, 0] * (1 + 0.04 * out)
    y = start[:, 1] + reach * out * (0.36 + 0.50 * aside**2)
    z = start[:, 2] - reach * out
    return np.stack(np.broadcast_arrays(x, y, z), axis=-1)


def _stitched(color: Color, rng: np.random.Generator) -> Texture:
    """Cloth over a stiff board, sewn in rows; dark where it meets the crown."""
    out, _ = np.mgrid[0:1:128j, 0:1:384j]
    rows = bell((out * 6) % 1, 0.5, 0.06) * (out > 0.12)
    shade = (0.66 + 0.34 * step(out, 0.0, 0.3)) * (1 - 0.10 * rows) * (1 + 0.10 * bell(out, 0.975, 0.012))
    return rgba(np.array(color) * 0.95, shade * weave(rng, out.shape, 0.025), step(1 - out, 0.0, 0.012))


def _scarf(brow: float, side: float, chin: float, rng: np.random.Generator) -> FloatArray:
    """(R, C, 3): rows from the rim around the face outwards, columns once around it, the ends at the top.

    Each column is a bent line over three points: on the face, on the head's silhouette, and behind or on the chest.
    """
    angle = np.linspace(2 * np.pi, 0, 65)
    up, down = np.maximum(np.cos(angle), 0), np.maximum(-np.cos(angle), 0)
    middle = (brow + chin) / 2
    b = middle + up * (brow - middle) + down * (chin - middle)
    rim = head().skin(np.stack([side * np.sin(angle), b], axis=1))
    rim[:, 2] -= 0.05
    # Below the jaw it falls on the shoulders.
    fall, aside = step(down, 0.0, 0.6), np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** 0.8
    wide = (1.28 + 0.1 * fall) * aside
    round_ = np.stack(
        [wide, SKULL_CENTRE[1] - 1.46 * up + 2.45 * (0.5 * down + 0.5 * fall), 1.1 - 0.25 * up - 0.55 * fall], 1
    )
    last = np.stack([(0.8 + 1.5 * fall) * aside, 0.2 - 1.1 * up + 3.2 * fall, 2.5 - 1.7 * fall], axis=1)
    share = np.linspace(0, 1, 17)[:, None, None]
    bent = 2 * round_ - (rim + last) / 2  # through the point on the silhouette in the middle
    grid = (1 - share) ** 2 * rim + 2 * share * (1 - share) * bent + share**2 * last
    loose = 0.035 * step(share[..., 0], 0.15, 0.6)
    return grid + (loose * clouds(rng, grid.shape[:2], (4, 14)))[..., None] * np.stack(
        [np.sin(angle), -np.cos(angle), 0 * angle], 1
    )
