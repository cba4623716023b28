"""Meshes to pixels by a z-buffer; the kernel is that of the synthetic faces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from facezoo.data.synthetic.kernels import kernels
from facezoo.types import FloatArray, InputError

Triangles: TypeAlias = NDArray[np.int32]
"""(T, 3) indices of vertices."""

MAX_PIXELS = 80_000_000


@dataclass(frozen=True, eq=False)
class Fragments:
    """What is seen at the centre of each pixel.

    Attributes:
        triangle: (H, W) int32, -1 where there is none.
        weights: (H, W, 3) float32 barycentric, of the triangle's three corners; 0 where there is none.
        depth: (H, W) float32, z of the nearest surface; infinite where there is none.
    """

    triangle: NDArray[np.int32]
    weights: FloatArray
    depth: FloatArray


def rasterise(points: FloatArray, triangles: Triangles, size: tuple[int, int]) -> Fragments:
    """The nearest triangle of every pixel, seen along z; both sides of a triangle are seen.

    Args:
        points: (V, 3), x and y in pixels, (0, 0) the centre of the upper left one; z in any unit, smaller is nearer.
        triangles: (T, 3) indices of points.
        size: height and width.
    """
    screen, back = to_screen(points, size)
    return Fragments(*kernels().fragments(screen, np.ascontiguousarray(triangles, np.int32), back, *size))


def to_screen(points: FloatArray, size: tuple[int, int]) -> tuple[FloatArray, np.float32]:
    """What the kernel takes, x, y, w with larger w nearer and above 0, and the number that w is counted back from."""
    points = np.asarray(points)
    if points.ndim != 2 or points.shape[1] != 3 or not np.isfinite(points).all():
        raise InputError(f"mesh: points have shape {points.shape}; they must be finite numbers (V, 3)")
    if min(size) < 1 or size[0] * size[1] > MAX_PIXELS:
        raise InputError(f"mesh: {size[0]} x {size[1]} pixels are asked for; 1 to {MAX_PIXELS:,} are drawn")
    far = points[:, 2].max(initial=0)
    back = np.float32(far + max(1.0, 1e-3 * abs(far)))
    # The kernel counts from the corner of the first pixel.
    return np.column_stack([points[:, :2] + 0.5, back - points[:, 2]]).astype(np.float32), back
