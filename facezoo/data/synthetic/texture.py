"""The skin of an invented person as one picture: tone, lips, eyebrows, beard, hair, wrinkles."""

from __future__ import annotations

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


def smooth(low: float, high: float, x: Array) -> Array:
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def noise(rng: np.random.Generator, cells: int, shape: tuple[int, int] = TEXTURE_SIZE) -> Array:
    """Smooth noise (H, W) of mean 0 and deviation near 1, about `cells` bumps across the width."""
    height, width = shape
    grid = rng.standard_normal((max(2, cells * height // width), cells), np.float32)
    return cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)


def hair_field(traits: Traits, points: Array) -> Array:
    """How far points (..., 3) of the base shape lie inside the hair, decimetres; below 0 outside."""
    x, y, z = points[..., 0], points[..., 1], points[..., 2]
    turn = np.arctan2(np.abs(x), z - 0.1)
    line = np.interp(turn, HAIRLINE_TURN, HAIRLINE_HEIGHT) + traits.hairline
    # A fringe falls over the forehead, more on the side away from the parting.
    side = np.arctan2(x * np.sign(traits.parting or 1.0), z - 0.1)
    line = line - traits.fringe * (0.35 + 0.25 * np.tanh(2.5 * (side - 0.1))) * np.exp(-((turn / 0.75) ** 4))
    line = line - abs(traits.parting) * np.clip(side - 0.05, 0, 0.6) * (turn < 1.2)
    line = line + traits.recede * np.exp(-(((turn - 0.6) / 0.3) ** 2)) + 0.35 * traits.recede * (turn < 1.2)
    return y - line


def skin_texture(head: HeadModel, traits: Traits) -> Array:
    """Linear RGB and share of hair (H, W, 4) float32 over the head's texture box."""
    rng = np.random.default_rng([traits.seed, traits.number, 1])
    points = np.nan_to_num(head.positions, nan=0.0)
    x, y, z = np.abs(points[..., 0]), points[..., 1], points[..., 2]
    front = smooth(0.3, 0.9, z)

    color = np.broadcast_to(np.array(traits.skin, np.float32), (*TEXTURE_SIZE, 3)).copy()
    darkness = 1 - np.mean(traits.skin) / 255
    # Blood: cheeks, nose, ears and chin are redder; melanin is uneven at several scales.
    cheeks = np.exp(-(((x - 0.46) / 0.22) ** 2) - ((y - 6.95) / 0.2) ** 2)
    nose = np.exp(-((x / 0.16) ** 2) - ((y - 6.95) / 0.14) ** 2)
    red = front * (rng.uniform(0.2, 1) * cheeks + rng.uniform(0.2, 0.9) * nose) + 0.8 * head.ears
    color *= 1 + red[..., None] * np.array([0.02, -0.10, -0.10], np.float32)
    uneven = 0.030 * noise(rng, 5) + 0.022 * noise(rng, 14) + 0.02 * noise(rng, 50) + 0.02 * noise(rng, 200)
    color *= np.exp(uneven[..., None] * np.array([0.7, 1.0, 1.1], np.float32))
    spots = smooth(1.6, 2.6, noise(rng, 110)) * smooth(-0.5, 1, noise(rng, 9))
    color *= 1 - (0.5 * traits.freckles + 0.10 * traits.wrinkles) * (spots * front)[..., None]
    for _ in range(rng.poisson(0.6)):  # moles
        row, column = rng.integers(250, 520), rng.integers(160, 370)
        mole = cv2.circle(np.zeros(TEXTURE_SIZE, np.float32), (int(column), int(row)), int(rng.integers(1, 3)), 1.0, -1)
        color *= 1 - 0.45 * cv2.GaussianBlur(mole, (0, 0), 1.0)[..., None]
    color *= 1 - 0.55 * _wrinkles(rng, traits, x, y, front)[..., None]
    # The hollow around the eyes, and the edge of the lids where the lashes stand.
    hollow = np.exp(-(((x - EYE[0]) / 0.2) ** 2) - ((y - EYE[1] + 0.03) / 0.13) ** 2)
    color *= 1 - (0.05 + 0.10 * rng.random() + 0.05 * traits.wrinkles) * hollow[..., None] * (0.9, 1.0, 0.9)

    lips = cv2.GaussianBlur(head.lips, (0, 0), 1.5)
    tint = np.array(traits.skin) * (0.92 - 0.1 * darkness, 0.62 + 0.1 * darkness, 0.64 + 0.08 * darkness)
    tint = tint * (1 - 0.25 * traits.lips) + 0.25 * traits.lips * np.array([165, 52, 62])
    lips = (lips * (0.55 + 0.4 * traits.lips) * (1 + 0.06 * noise(rng, 160)))[..., None].clip(0, 1)
    color = color * (1 - lips) + tint * lips

    hair = np.array(traits.hair_color, np.float32)
    hair_color = hair * np.exp(0.28 * _strands(rng, points) + 0.1 * noise(rng, 30))[..., None]
    brow_color = np.minimum(hair_color * 0.6, np.array(traits.skin) * 0.55)
    color = _cover(color, brow_color, _brows(rng, traits, x, y, front))
    color = _cover(color, hair_color * 0.85, _beard(rng, traits, head, x, y, z))
    scalp = _scalp(rng, head, traits, points)
    color = _cover(color, hair_color, scalp)
    return np.dstack([linear(np.clip(color, 0, 255)), scalp]).astype(np.float32)


def _cover(color: Array, over: Array, share: Array) -> Array:
    return color + np.clip(share, 0, 1)[..., None] * (over - color)


def _strands(rng: np.random.Generator, points: Array) -> Array:
    """Noise drawn out along the hair: it runs over the head from the crown down and forward."""
    turn = np.arctan2(points[..., 0], points[..., 2] - 0.1)
    lines = rng.standard_normal(360).astype(np.float32)
    wave = 0.05 * np.sin(points[..., 1] * rng.uniform(4, 9) + rng.uniform(0, 6))
    return lines[((turn + wave) * 180 / np.pi).astype(np.int64) % 360]


def _brows(rng: np.random.Generator, traits: Traits, x: Array, y: Array, front: Array) -> Array:
    thickness, rise, slope, dark = traits.brows
    along = np.clip((x - 0.12) / 0.46, 0, 1)
    middle = 7.52 + rise + 0.045 * np.sin(np.pi * along**0.8) + slope * (along - 0.5) * 0.4 - 0.05 * along**4
    across = (y - middle) / (thickness * (1.05 - 0.6 * along**2))
    body = np.exp(-(across**2)) * smooth(0.09, 0.17, x) * (1 - smooth(0.52, 0.6, x))
    return dark * body * (0.9 + 0.2 * noise(rng, 190)).clip(0.4, 1.1) * front


def _beard(rng: np.random.Generator, traits: Traits, head: HeadModel, x: Array, y: Array, z: Array) -> Array:
    moustache, chin, cheeks = traits.beard
    above = np.exp(-((x / 0.3) ** 4) - ((y - 6.74) / 0.075) ** 2)
    below = smooth(5.95, 6.15, y) * (1 - smooth(6.42, 6.55, y)) * (1 - smooth(0.25, 0.45, x))
    jaw = smooth(5.95, 6.2, y) * (1 - smooth(6.68, 6.95, y - 0.5 * np.clip(x - 0.45, 0, 1))) * smooth(0.28, 0.5, x)
    share = np.maximum(np.maximum(moustache * above, chin * below), cheeks * jaw) * smooth(0.15, 0.45, z)
    share = share * (1 - cv2.GaussianBlur(head.lips, (0, 0), 2.0) * 1.3).clip(0, 1) * (1 - head.ears)
    return share * (0.8 + 0.35 * noise(rng, 195)).clip(0, 1.2)


def _scalp(rng: np.random.Generator, head: HeadModel, traits: Traits, points: Array) -> Array:
    if traits.style == "bald":
        depth = hair_field(traits, points) - 0.3 * smooth(7.2, 7.6, points[..., 1])
        return 0.16 * smooth(-0.05, 0.15, depth) * (1 - head.ears)
    field = hair_field(traits, points) + 0.02 * noise(rng, 12) + 0.025 * _strands(rng, points)
    edge = 0.12 if traits.style == "buzz" else 0.08
    share = smooth(-edge, edge, field) * (1 - smooth(0.2, 0.6, cv2.GaussianBlur(head.ears, (0, 0), 2.0)))
    return share * (0.82 if traits.style == "buzz" else 1.0) * (points[..., 1] > 0)


def _wrinkles(rng: np.random.Generator, traits: Traits, x: Array, y: Array, front: Array) -> Array:
    """Lines across the forehead, beside the mouth and at the outer corners of the eyes."""
    if traits.wrinkles == 0:
        return np.zeros_like(x)
    bend = 0.02 * noise(rng, 8)
    forehead = sum(
        rng.uniform(0.3, 1) * np.exp(-(((y - height + bend) / 0.012) ** 2)) for height in 7.68 + 0.085 * np.arange(3)
    ) * (1 - smooth(0.3, 0.5, x))
    fold = x - (0.17 + 0.25 * np.clip((6.98 - y) / 0.45, 0, 1) ** 0.8)
    mouth = np.exp(-((fold / 0.02) ** 2)) * smooth(6.5, 6.6, y) * (1 - smooth(6.9, 7.0, y))
    fan = np.cos((np.arctan2(y - EYE[1], x - 0.45) + bend) * 11) > 0.75
    crow = fan * smooth(0.52, 0.56, x) * (1 - smooth(0.6, 0.7, x)) * np.exp(-(((y - EYE[1]) / 0.12) ** 2))
    lines = 0.5 * forehead + 0.7 * mouth + 0.35 * cv2.GaussianBlur(crow.astype(np.float32), (0, 0), 1.0)
    return np.clip(lines * traits.wrinkles * front, 0, 1)
