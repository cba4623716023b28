"""The compiled kernels against slow formulas; nothing is fetched."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba")

from facezoo.data.synthetic.kernels import kernels


def brute_force(screen, faces, two_sided, height, width):
    """One pixel at a time: the triangle that holds its centre and lies nearest, in double precision."""
    nearest = np.full((height, width), -1)
    for row in range(height):
        for column in range(width):
            best = 0.0
            for t, corners in enumerate(faces):
                (ax, ay, aw), (bx, by, bw), (cx, cy, cw) = screen[corners].astype(float)
                area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
                if area == 0 or (area > 0 and not two_sided[t]):
                    continue
                x, y = column + 0.5, row + 0.5
                inside = np.array(
                    [
                        (bx - x) * (cy - y) - (by - y) * (cx - x),
                        (cx - x) * (ay - y) - (cy - y) * (ax - x),
                        (ax - x) * (by - y) - (ay - y) * (bx - x),
                    ]
                )
                weights = inside / area
                depth = weights @ (aw, bw, cw)
                if weights.min() >= 0 and depth > best:
                    best, nearest[row, column] = depth, t
    return nearest


def random_triangles(seed, count=25, size=24):
    rng = np.random.default_rng(seed)
    screen = np.column_stack([rng.uniform(-6, size + 6, (3 * count, 2)), rng.uniform(0.1, 1, 3 * count)])
    return screen.astype(np.float32), np.arange(3 * count, dtype=np.int32).reshape(-1, 3), rng.random(count) < 0.5


@pytest.mark.parametrize("seed", range(4))
def test_the_nearest_triangle_wins_as_in_a_slow_search(seed):
    screen, faces, two_sided = random_triangles(seed)

    nearest, weights, depth = kernels().zbuffer(screen, faces, two_sided, 24, 24)

    assert (nearest == brute_force(screen, faces, two_sided, 24, 24)).mean() > 0.995  # single precision on the edges
    assert ((depth > 0) == (nearest >= 0)).all()
    assert weights[nearest >= 0].min() >= 0 and weights.sum(axis=2).max() <= 1


def test_a_triangle_that_faces_away_is_seen_only_when_two_sided():
    screen = np.array([[0, 0, 1], [10, 0, 1], [0, 10, 1]], np.float32)
    faces = np.array([[0, 1, 2]], np.int32)

    hidden, _, _ = kernels().zbuffer(screen, faces, np.array([False]), 10, 10)
    shown, _, _ = kernels().zbuffer(screen, faces, np.array([True]), 10, 10)
    turned, _, _ = kernels().zbuffer(screen, faces[:, ::-1].copy(), np.array([False]), 10, 10)

    assert (hidden == -1).all() and (shown == turned).all() and (shown == 0).sum() > 40


def test_interpolation_is_linear_on_the_screen():
    screen = np.array([[-20, -20, 1], [-20, 60, 1], [60, -20, 1]], np.float32)
    values = np.column_stack([screen[:, 0], 2 * screen[:, 1], np.full(3, 7.0)]).astype(np.float32)

    spread = kernels().interpolate(screen, np.array([[0, 1, 2]], np.int32), values, 12, 16)

    x, y = np.meshgrid(np.arange(16) + 0.5, np.arange(12) + 0.5)
    np.testing.assert_allclose(spread, np.stack([x, 2 * y, np.full_like(x, 7)], axis=-1), atol=1e-4)


def cube():
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], np.float32)
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    return corners, np.array([t for a, b, c, d in quads for t in ((a, b, c), (a, c, d))], np.int32)


def test_normals_of_a_cube_point_outwards_with_unit_length():
    corners, faces = cube()

    normal = kernels().normals(corners, faces)

    np.testing.assert_allclose(np.linalg.norm(normal, axis=1), 1, rtol=1e-5)
    assert ((normal * corners).sum(axis=1) > 0.9).all()


def test_what_lies_behind_is_in_shadow():
    corners, faces = cube()
    direction = np.array([0.05, 0.1, 1.0], np.float32)

    share = kernels().light_share(corners, faces, direction / np.linalg.norm(direction), 96)

    assert share[corners[:, 2] > 0].min() > 0.5 and share[corners[:, 2] < 0].mean() < 0.5


def test_a_convex_body_sees_its_whole_sky():
    corners, faces = cube()
    sphere = np.random.default_rng(0).normal(size=(64, 3))
    sphere /= np.linalg.norm(sphere, axis=1, keepdims=True)

    assert kernels().sky_share(corners, faces, sphere.astype(np.float32)).min() > 0.9
