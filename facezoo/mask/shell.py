"""Surfaces that lie on the face: cloth that is taut over nose and chin and touches the skin at its rim; straps."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from facezoo.mask import drawing
from facezoo.mask.head import EAR, head
from facezoo.mask.template import Part, Texture
from facezoo.types import FloatArray, InputError

CELL = 12
"""Pixels of the layout for a cell of the grid."""

GAP = 0.015
"""Cloth lies so far above the skin, head coordinates."""

TAUT = 0.22
"""Distance from the rim, between face places, from which on the cloth spans what lies below it."""


@dataclass(frozen=True)
class Fit:
    """How a mask sits.

    Attributes:
        gap: of the rim above the skin, head coordinates.
        taut: how much of the way from the skin to a cloth stretched over nose and chin it goes.
        bulge: how far it stands off beyond that in its middle, head coordinates.
    """

    gap: float = GAP
    taut: float = 0.9
    bulge: float = 0.0


def shell(texture: Texture, fit: Fit, shadow: float = 0.35, gloss: float = 0.0) -> Part:
    """The part of a texture in the layout, cut to what is drawn on.

    Raises:
        InputError: nothing is.
    """
    drawn = np.argwhere(texture[..., 3] > 0)
    if not len(drawn):
        raise InputError("mask template: nothing is drawn on it, all pixels are transparent")
    (top, left), (bottom, right) = drawn.min(axis=0), drawn.max(axis=0) + 1
    rows, columns = (max(3, -(-int(end - start) // CELL) + 1) for start, end in ((top, bottom), (left, right)))
    across, down = np.linspace(left, right - 1, columns), np.linspace(top, bottom - 1, rows)
    pixels = np.stack(np.meshgrid(across, down), axis=-1)
    coverage = np.clip(texture[..., 3] / np.float32(255), 0, 1)
    filled = _filled(coverage)
    inner = cv2.remap(drawing.within(filled), pixels.astype(np.float32), None, cv2.INTER_LINEAR)  # type: ignore[call-overload]
    grid = _stretched(drawing.from_pixels(pixels), inner, fit)
    return Part(grid, np.ascontiguousarray(texture[top:bottom, left:right]), shadow, gloss=gloss)


def _filled(coverage: FloatArray) -> FloatArray:
    """The coverage with its holes closed."""
    contours, _ = cv2.findContours((coverage > 0.3).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = np.zeros(coverage.shape, np.uint8)
    cv2.drawContours(filled, contours, -1, 1, -1)
    return filled.astype(np.float32)


def _stretched(places: FloatArray, inner: FloatArray, fit: Fit) -> FloatArray:
    """(R, C, 3) head coordinates of a cloth over face places (R, C, 2), `inner` (R, C) from its rim."""
    rows, columns = places.shape[:2]
    skin = head().skin(places.reshape(-1, 2)).reshape(rows, columns, 3)
    smooth = cv2.GaussianBlur(skin, (0, 0), 2.0, borderType=cv2.BORDER_REPLICATE)
    outward = normals(np.asarray(smooth, float))
    share = drawing.step(inner, 0.0, TAUT)
    rise = hull_above(skin, outward, inner > 0)
    lift = fit.gap + share * (fit.taut * rise + fit.bulge * np.sqrt(share))
    return skin + cv2.GaussianBlur(lift, (0, 0), 1.2)[..., None] * outward


def hull_above(skin: FloatArray, outward: FloatArray, inside: NDArray[np.bool_]) -> FloatArray:
    """(R, C): how far above the skin the convex hull of the covered skin lies, along the normals."""
    from scipy.spatial import ConvexHull

    points = skin[inside]
    if len(points) < 8:
        return np.zeros(inside.shape)
    planes = ConvexHull(points).equations
    facing = outward.reshape(-1, 3) @ planes[:, :3].T
    below = -(skin.reshape(-1, 3) @ planes[:, :3].T + planes[:, 3])
    ahead = np.where(facing > 0.05, np.maximum(below, 0) / np.maximum(facing, 0.05), np.inf)
    return np.minimum(ahead.min(axis=1), 0.6).reshape(inside.shape)


def normals(grid: FloatArray) -> FloatArray:
    """Unit normals (R, C, 3) of a grid (R, C, 3), to the side from which its columns run to the right."""
    normal = np.cross(np.gradient(grid, axis=0), np.gradient(grid, axis=1))
    return normal / np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-12)


def straps(
    corners: list[tuple[float, float]], ear: list[float], width: float, texture: Texture, rise: float = 0.03
) -> list[Part]:
    """Ribbons from corners of a mask over the cheek to the ears, on both sides.

    Args:
        corners: face places on the right side of the image.
        ear: for each, how far below the strap's usual place on the ear it ends, head coordinates.
        width: head coordinates.
        texture: of a ribbon, its length from left to right.
        rise: above the skin.
    """
    found = []
    for corner, drop in zip(corners, ear, strict=True):
        for side in (-1, 1):
            grid = _ribbon(corner, drop, width, rise, side)
            found.append(Part(grid, texture if side > 0 else texture[:, ::-1].copy(), 0.2))
    return found


@lru_cache(maxsize=256)
def _ribbon(corner: tuple[float, float], drop: float, width: float, rise: float, side: int) -> FloatArray:
    """(2, N, 3) head coordinates, columns to the right of the image."""
    start = head().skin(np.array([[corner[0], corner[1]]]))[0]
    end = EAR + np.array([0, drop, 0])
    share = np.linspace(0, 1, 12)[:, None]
    line = start + share * (end - start)
    # Over the cheek it bends around the head instead of cutting through it.
    line[:, 0] += 0.04 * np.sin(np.pi * share[:, 0])
    outward = np.cross(np.gradient(line, axis=0), (0.0, 1.0, 0.0))
    outward *= -np.sign(outward[:, :1]) / np.linalg.norm(outward, axis=1, keepdims=True)
    outward = np.where(outward[:, :1] > 0, outward, -outward)
    line = line + rise * outward
    upward = np.cross(np.gradient(line, axis=0), outward)
    upward /= np.linalg.norm(upward, axis=1, keepdims=True)
    upward *= np.where(upward[:, 1:2] > 0, -1, 1)
    grid = np.stack([line + upward * width / 2, line - upward * width / 2])
    if side < 0:
        grid = grid[:, ::-1] * (-1, 1, 1)
    return np.ascontiguousarray(grid)
