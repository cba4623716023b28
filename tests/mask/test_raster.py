"""The rasteriser against a slow search in double precision."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba")

from facezoo.mask.raster import rasterise
from facezoo.types import InputError


def slow(points, triangles, size):
    """One pixel at a time: the nearest triangle, its weights and depth."""
    nearest, weights, depth = np.full(size, -1), np.zeros((*size, 3)), np.full(size, np.inf)
    for row in range(size[0]):
        for column in range(size[1]):
            for t, corners in enumerate(triangles):
                p = points[corners].astype(float)
                system = np.vstack([p[:, :2].T, np.ones(3)])
                if abs(np.linalg.det(system)) < 1e-12:
                    continue
                share = np.linalg.solve(system, (column, row, 1))
                if share.min() >= 0 and share @ p[:, 2] < depth[row, column]:
                    nearest[row, column], weights[row, column] = t, share
                    depth[row, column] = share @ p[:, 2]
    return nearest, weights, depth


@pytest.mark.parametrize("seed", range(3))
def test_the_nearest_triangle_is_seen(seed):
    rng = np.random.default_rng(seed)
    points = np.column_stack([rng.uniform(-5, 25, (45, 2)), rng.uniform(-50, 50, 45)]).astype(np.float32)
    triangles = rng.integers(45, size=(30, 3)).astype(np.int32)

    found = rasterise(points, triangles, (18, 22))
    nearest, weights, depth = slow(points, triangles, (18, 22))

    same = found.triangle == nearest
    assert same.mean() > 0.99  # single precision on the edges
    assert np.abs(found.weights - weights)[same].max() < 1e-4
    there = same & (nearest >= 0)
    assert np.abs(found.depth[there] - depth[there]).max() < 1e-2
    assert np.isinf(found.depth[found.triangle < 0]).all() and not found.weights[found.triangle < 0].any()


def test_a_mesh_without_a_gap_is_drawn_without_a_gap():
    rng = np.random.default_rng(3)
    grid = np.stack(np.meshgrid(np.arange(12.0), np.arange(12.0)), axis=-1) * 9 - 8
    grid[1:-1, 1:-1] += rng.uniform(-3, 3, (10, 10, 2))
    points = np.column_stack([grid.reshape(-1, 2), rng.uniform(0, 5, 144)]).astype(np.float32)
    corner = (np.arange(11)[:, None] * 12 + np.arange(11)).ravel()
    triangles = np.concatenate(
        [np.stack([corner, corner + 1, corner + 12], 1), np.stack([corner + 1, corner + 13, corner + 12], 1)]
    )

    assert (rasterise(points, triangles, (80, 80)).triangle >= 0).all()


def test_a_mesh_beside_the_image_is_not_seen():
    points = np.array([[-9, -9, 0], [-2, -9, 0], [-9, -2, 0]], np.float32)

    assert (rasterise(points, np.array([[0, 1, 2]]), (5, 5)).triangle == -1).all()


@pytest.mark.parametrize(
    ("points", "size", "why"),
    [
        (np.zeros((3, 2)), (5, 5), "points have shape"),
        (np.full((3, 3), np.nan), (5, 5), "finite"),
        (np.zeros((3, 3)), (0, 5), "0 x 5 pixels"),
        (np.zeros((3, 3)), (10**6, 10**6), "pixels are asked for"),
    ],
)
def test_what_cannot_be_drawn_is_refused(points, size, why):
    with pytest.raises(InputError, match=why):
        rasterise(points, np.array([[0, 1, 2]]), size)
