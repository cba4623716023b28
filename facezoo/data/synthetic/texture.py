"""The skin of an invented person as one picture: tone, lips, eyebrows, beard, hair, wrinkles."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import cv2
import numpy as np

from facezoo.data.synthetic.head_model import TEXTURE_SIZE, Array, HeadModel
from facezoo.data.synthetic.traits import Traits

# Where things lie on the base shape, decimetres.
EYE = (0.31, 7.285)
HAIRLINE_TURN = (0.0, 0.3, 0.5, 0.66, 0.8, 0.93, 1.06, 1.3, 1.7, 2.2, np.pi)
HAIRLINE_HEIGHT = (8.04, 8.02, 7.95, 7.82, 7.6, 7.36, 7.0, 6.88, 6.7, 6.5, 6.35)
"""Height of the hairline by the angle from straight ahead, seen from above."""


def linear(srgb: Array) -> Array:
    """sRGB 0..255 to linear 0..1 (IEC 61966-2-1)."""
    x = np.asarray(srgb, np.float32) / 255
    return np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4).astype(np.float32)


LINEAR = linear(np.arange(256))
"""Linear light of every 8-bit sRGB level."""


def smooth(low: float, high: float, x: Array) -> Array:
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def hair_field(traits: Traits, points: Array) -> Array:
    """How far points (..., 3) of the base shape lie inside the hair, decimetres; below 0 outside."""
    x, y, z = points[..., 0], points[..., 1], points[..., 2]
    turn = np.arctan2(np.abs(x), z - 0.1)
    line = np.interp(turn, HAIRLINE_TURN, HAIRLINE_HEIGHT).astype(np.float32) + traits.hairline
    # A fringe falls over the forehead, more on the side away from the parting.
    side = turn * np.sign(x) * (1 if traits.parting >= 0 else -1)
    line = line - traits.fringe * (0.35 + 0.25 * np.tanh(2.5 * (side - 0.1))) * np.exp(-((turn / 0.75) ** 4))
    line = line - abs(traits.parting) * np.clip(side - 0.05, 0, 0.6) * (turn < 1.2)
    line = line + traits.recede * np.exp(-(((turn - 0.6) / 0.3) ** 2)) + 0.35 * traits.recede * smooth(1.25, 1.15, turn)
    return y - line


@dataclass(frozen=True, eq=False)
class Texels:
    """A part of the texture: where its texels lie on the base shape, and what is the same for everybody.

    Attributes:
        box: rows and columns of the texture.
        points: (h, w, 3) on the base shape, 0 where there is none.
        x: (h, w) distance from the middle of the face; y: height; z: forward.
        front: 1 on the face, 0 on the sides.
        lips, lids, ears: softened maps, 0..1.
    """

    box: tuple[slice, slice]
    points: Array
    x: Array
    y: Array
    z: Array
    front: Array
    lips: Array
    lids: Array
    ears: Array

    def noise(self, rng: np.random.Generator, cells: int) -> Array:
        """Smooth noise of mean 0 and deviation near 1, about `cells` bumps across the whole texture's width."""
        height, width = self.x.shape
        grid = (max(2, cells * height // TEXTURE_SIZE[1]), max(2, cells * width // TEXTURE_SIZE[1]))
        return cv2.resize(rng.standard_normal(grid, np.float32), (width, height), interpolation=cv2.INTER_CUBIC)


@functools.lru_cache(maxsize=2)
def texels(head: HeadModel) -> tuple[Texels, Texels]:
    """The whole texture, and the part that holds the face."""
    x, y, z = np.moveaxis(head.positions, -1, 0)
    rows, columns = np.nonzero((z > 0.15) & (np.abs(x) < 0.8) & (y > 5.9) & (y < 8.25))
    face = (slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1))
    lips, lids, ears = (cv2.GaussianBlur(grey, (0, 0), 1.3) for grey in (head.lips, head.lids, head.ears))

    def part(box: tuple[slice, slice]) -> Texels:
        points = np.ascontiguousarray(np.nan_to_num(head.positions[box], nan=0.0), np.float32)
        x, y, z = (np.ascontiguousarray(axis) for axis in np.moveaxis(points, -1, 0))
        return Texels(box, points, np.abs(x), y, z, smooth(0.3, 0.9, z), lips[box], lids[box], ears[box])

    return part((slice(None), slice(None))), part(face)


def skin_texture(head: HeadModel, traits: Traits) -> Array:
    """Linear RGB and share of hair (H, W, 4) float32 over the head's texture box."""
    rng = np.random.default_rng([traits.seed, traits.number, 1])
    whole, face = texels(head)
    skin, hair = np.array(traits.skin, np.float32), np.array(traits.hair_color, np.float32)

    # Melanin is uneven at several scales.
    uneven = 0.030 * whole.noise(rng, 5) + 0.022 * whole.noise(rng, 14) + 0.02 * whole.noise(rng, 50)
    uneven += 0.02 * whole.noise(rng, 200)
    color = skin * (1 + uneven[..., None] * np.array([0.7, 1.0, 1.1], np.float32))
    color *= 1 - whole.ears[..., None] * np.array([-0.016, 0.08, 0.08], np.float32)
    color[face.box] = _face(rng, traits, face, color[face.box])

    hair_color = hair * (1 + 0.22 * _strands(rng, whole.points) + 0.1 * whole.noise(rng, 30)).clip(0.3)[..., None]
    brow_color = np.minimum(hair * 0.6, skin * 0.5)
    brows, beard = _brows(rng, traits, face), _beard(rng, traits, face)
    part = _cover(color[face.box], brow_color, brows)
    color[face.box] = _cover(part, hair_color[face.box] * 0.85, beard)
    scalp = _scalp(rng, traits, whole)
    color = _cover(color, hair_color, scalp)
    scalp[face.box] = np.maximum(scalp[face.box], np.maximum(brows, 0.7 * beard).clip(0, 1))
    texture = np.empty((*TEXTURE_SIZE, 4), np.float32)
    texture[..., :3], texture[..., 3] = cv2.LUT(np.clip(color, 0, 255).astype(np.uint8), LINEAR), scalp
    return texture


def _face(rng: np.random.Generator, traits: Traits, at: Texels, color: Array) -> Array:
    """Blood, spots, wrinkles, the hollows of the eyes and the lips, laid over the skin's color."""
    x, y = at.x, at.y
    cheeks = np.exp(-(((x - 0.46) / 0.22) ** 2) - ((y - 6.95) / 0.2) ** 2)
    nose = np.exp(-((x / 0.16) ** 2) - ((y - 6.95) / 0.14) ** 2)
    red = at.front * (rng.uniform(0.2, 1) * cheeks + rng.uniform(0.2, 0.9) * nose)
    spots = smooth(1.6, 2.6, at.noise(rng, 110)) * smooth(-0.5, 1, at.noise(rng, 9))
    dark = (0.5 * traits.freckles + 0.10 * traits.wrinkles) * spots * at.front + 0.55 * _wrinkles(rng, traits, at)
    hollow = np.exp(-(((x - EYE[0]) / 0.2) ** 2) - ((y - EYE[1] + 0.03) / 0.13) ** 2)
    dark += (0.05 + 0.10 * rng.random() + 0.05 * traits.wrinkles) * hollow + traits.lids * at.lids
    for _ in range(rng.poisson(0.6)):
        dark += 0.45 * _mole(rng, at)
    color = (
        color * (1 + red[..., None] * np.array([0.02, -0.10, -0.10], np.float32)) * (1 - dark[..., None].clip(0, 0.9))
    )

    darkness = 1 - float(np.mean(traits.skin)) / 255
    tint = np.array(traits.skin) * (0.92 - 0.1 * darkness, 0.62 + 0.1 * darkness, 0.64 + 0.08 * darkness)
    tint = tint * (1 - 0.25 * traits.lips) + 0.25 * traits.lips * np.array([165, 52, 62])
    share = at.lips * (0.55 + 0.4 * traits.lips) * (1 + 0.06 * at.noise(rng, 160))
    return _cover(color, tint.astype(np.float32), share)


def _mole(rng: np.random.Generator, at: Texels) -> Array:
    """One dark spot somewhere on the face."""
    height, width = at.x.shape
    spot = np.zeros((height, width), np.float32)
    place = (int(width * rng.uniform(0.25, 0.95)), int(height * rng.uniform(0.25, 0.75)))
    cv2.circle(spot, place, int(rng.integers(0, 3)), 1.0, -1)
    return cv2.GaussianBlur(spot, (0, 0), 0.8)


def _cover(color: Array, over: Array, share: Array) -> Array:
    return color + np.clip(share, 0, 1)[..., None] * (over - color)


def _strands(rng: np.random.Generator, points: Array) -> Array:
    """Noise drawn out along the hair: it runs over the head from the crown down and forward."""
    turn = np.arctan2(points[..., 0], points[..., 2] - 0.1)
    lines = rng.standard_normal(360).astype(np.float32).clip(-1.5, 1.5)
    wave = 0.05 * np.sin(points[..., 1] * rng.uniform(4, 9) + rng.uniform(0, 6))
    return lines[((turn + wave) * 180 / np.pi).astype(np.int64) % 360]


def _brows(rng: np.random.Generator, traits: Traits, at: Texels) -> Array:
    thickness, rise, slope, dark = traits.brows
    x = at.x
    along = np.clip((x - 0.12) / 0.46, 0, 1)
    middle = 7.52 + rise + 0.045 * np.sin(np.pi * along) + slope * (along - 0.5) * 0.4 - 0.05 * along**4
    across = (at.y - middle) / (thickness * (1.05 - 0.6 * along**2))
    body = np.exp(-(across**2)) * smooth(0.09, 0.17, x) * (1 - smooth(0.52, 0.6, x))
    return dark * body * (0.9 + 0.2 * at.noise(rng, 190)).clip(0.4, 1.1) * at.front


def _beard(rng: np.random.Generator, traits: Traits, at: Texels) -> Array:
    moustache, chin, cheeks = traits.beard
    x, y = at.x, at.y
    above = np.exp(-((x / 0.3) ** 4) - ((y - 6.74) / 0.075) ** 2)
    below = smooth(5.95, 6.15, y) * (1 - smooth(6.42, 6.55, y)) * (1 - smooth(0.25, 0.45, x))
    jaw = smooth(5.95, 6.2, y) * (1 - smooth(6.68, 6.95, y - 0.5 * np.clip(x - 0.45, 0, 1))) * smooth(0.28, 0.5, x)
    share = np.maximum(np.maximum(moustache * above, chin * below), cheeks * jaw) * smooth(0.15, 0.45, at.z)
    share = share * (1 - at.lips * 1.3).clip(0, 1) * (1 - at.ears)
    return share * (0.8 + 0.35 * at.noise(rng, 195)).clip(0, 1.2)


def _scalp(rng: np.random.Generator, traits: Traits, at: Texels) -> Array:
    field = hair_field(traits, at.points)
    if traits.style == "bald":
        return 0.16 * smooth(-0.05, 0.15, field - 0.3 * smooth(7.2, 7.6, at.y)) * (1 - at.ears)
    field = field + 0.02 * at.noise(rng, 12) + 0.025 * _strands(rng, at.points)
    edge = 0.12 if traits.style == "buzz" else 0.08
    share = smooth(-edge, edge, field) * (1 - smooth(0.2, 0.6, at.ears))
    return share * (0.82 if traits.style == "buzz" else 1.0) * (at.y > 0)


def _wrinkles(rng: np.random.Generator, traits: Traits, at: Texels) -> Array:
    """Lines across the forehead, beside the mouth and at the outer corners of the eyes."""
    x, y = at.x, at.y
    if traits.wrinkles == 0:
        return np.zeros_like(x)
    bend = 0.02 * at.noise(rng, 8)
    forehead = np.zeros_like(x)
    for height in (7.68, 7.765, 7.85):
        forehead += float(rng.uniform(0.3, 1)) * np.exp(-(((y - height + bend) / 0.012) ** 2))
    forehead *= 1 - smooth(0.3, 0.5, x)
    fold = x - (0.17 + 0.25 * np.clip((6.98 - y) / 0.45, 0, 1) ** 0.8)
    mouth = np.exp(-((fold / 0.02) ** 2)) * smooth(6.5, 6.6, y) * (1 - smooth(6.9, 7.0, y))
    fan = np.cos((np.arctan2(y - EYE[1], x - 0.45) + bend) * 11) > 0.75
    crow = fan * smooth(0.52, 0.56, x) * (1 - smooth(0.6, 0.7, x)) * np.exp(-(((y - EYE[1]) / 0.12) ** 2))
    lines = 0.5 * forehead + 0.7 * mouth + 0.35 * cv2.GaussianBlur(crow.astype(np.float32), (0, 0), 1.0)
    return np.clip(lines * traits.wrinkles * at.front, 0, 1)
