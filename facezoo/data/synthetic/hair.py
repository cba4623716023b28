"""Hair as shape: the volume on the scalp and what hangs from it."""

from __future__ import annotations

import cv2
import numpy as np

from facezoo.data.synthetic.head_model import SKIN, Array, HeadModel
from facezoo.data.synthetic.kernels import kernels
from facezoo.data.synthetic.texture import hair_field, smooth
from facezoo.data.synthetic.traits import Traits

DEPTH = {"bald": 0.0, "buzz": 0.02, "short": 0.12, "medium": 0.18, "long": 0.16}
"""How far the hair of a style stands off the head at most, decimetres."""
END = {"medium": (6.0, 6.7), "long": (4.6, 5.8)}
"""Between which heights of the base shape the hair of a style ends; a style that is not here does not hang."""

COLUMNS, RINGS, HANGING = 60, (8.1, 7.9, 7.7, 7.5, 7.3, 7.1), 8
"""Points of the hanging sheet: columns around the head, heights at which it lies on the head, rows below them."""
BINS = 40
AXIS = 0.1
"""z of the vertical axis about which hair is laid out, decimetres."""


def lift_scalp(head: HeadModel, traits: Traits, shape: Array) -> Array:
    """The shape (V, 3) with the hair's volume: the scalp is moved outwards where hair grows."""
    depth = DEPTH[traits.style] * (0.5 + 0.7 * traits.hair)
    skin = head.faces[head.material == SKIN]
    grows = np.zeros(len(shape), np.float32)
    at = head.uv[head.material == SKIN].reshape(-1, 2)
    rows = np.clip((at[:, 1] * head.ears.shape[0]).astype(int), 0, head.ears.shape[0] - 1)
    columns = np.clip((at[:, 0] * head.ears.shape[1]).astype(int), 0, head.ears.shape[1] - 1)
    grows[skin.reshape(-1)] = 1 - smooth(0.1, 0.5, head.ears[rows, columns])
    top = 0.55 + 0.45 * smooth(7.4, 8.3, head.vertices[:, 1])
    lift = depth * grows * top * smooth(0.0, 0.3, hair_field(traits, head.vertices))
    return shape + (lift[:, None] * kernels().normals(shape, skin)).astype(np.float32)


def hanging_sheet(
    head: HeadModel, traits: Traits, shape: Array, rng: np.random.Generator
) -> tuple[Array, Array, Array]:
    """Long hair as one sheet around the back of the head, from cheek to cheek.

    Returns:
        Points (S, 3) on a shape, the same points on the base shape (S, 3), and triangles (n, 3) into them.
    """
    end = rng.uniform(*END[traits.style])
    # It falls before the ears or is tucked behind them.
    first = rng.uniform(0.95, 1.2) if rng.random() < 0.7 else rng.uniform(1.7, 1.85)
    turns = np.linspace(first, 2 * np.pi - first, COLUMNS)
    heights = np.linspace(RINGS[-1], end, HANGING + 1)[1:]
    flare, curl, phase = rng.uniform(-0.05, 0.2), rng.uniform(0, 0.05), rng.uniform(0, 2 * np.pi)
    wave = curl * np.sin(6 * turns + phase + 3 * np.array([*RINGS, *heights])[:, None])

    def lay(points: Array) -> Array:
        around = np.stack([_outline(head, points, turns, height) for height in RINGS])  # radius, y
        fall = np.maximum(around[-1, 0], around[-2, 0]) * (1 + flare * (RINGS[-1] - heights[:, None]) / 2.5)
        radius = np.concatenate([around[:, 0], fall]) + 0.05 + wave
        radius[:2] -= np.array([[0.3], [0.06]])  # the upper edge lies under the hair of the crown
        y = np.concatenate([around[:, 1], around[-1, 1] - (RINGS[-1] - heights[:, None]) + 0 * fall])
        grid = np.stack([radius * np.sin(turns), y, AXIS + radius * np.cos(turns)], axis=-1)
        return grid.reshape(-1, 3).astype(np.float32)

    row, column = np.mgrid[0 : len(wave) - 1, 0 : COLUMNS - 1]
    a = (row * COLUMNS + column).reshape(-1)
    faces = np.concatenate([[a, a + COLUMNS, a + 1], [a + 1, a + COLUMNS, a + COLUMNS + 1]], axis=1).T
    return lay(shape), lay(head.vertices), faces.astype(np.int32)


def _outline(head: HeadModel, shape: Array, turns: Array, height: float) -> Array:
    """Radius and y (2, C) of the head's outermost points near a height of the base shape, by turn from the front."""
    skin = np.unique(head.faces[head.material == SKIN])
    near = skin[np.abs(head.vertices[skin, 1] - height) < 0.2]
    x, y, z = shape[near, 0], shape[near, 1], shape[near, 2] - AXIS
    turn = np.arctan2(np.abs(x), z)
    radius = np.zeros(BINS, np.float32)
    np.maximum.at(radius, np.minimum((turn / np.pi * BINS).astype(int), BINS - 1), np.hypot(x, z))
    around = cv2.dilate(np.concatenate([radius, radius[::-1]])[None].repeat(3, axis=0), np.ones((1, 5)))[1]
    around = cv2.GaussianBlur(np.tile(around, 3)[None], (7, 1), 1.0)[0, 2 * BINS : 4 * BINS]
    centres = (np.arange(2 * BINS) + 0.5) / BINS * np.pi
    rise = float((y - head.vertices[near, 1]).mean())
    return np.stack([np.interp(turns, centres, around), np.full(len(turns), height + rise)])
