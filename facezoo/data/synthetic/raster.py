"""Triangles to pixels, compiled: z-buffer, interpolation, normals, visibility. Imports numba; load it by `kernels()`.

A screen point is (x, y, w): pixels, with the centre of the upper left pixel at (0.5, 0.5), and w = 1 / depth,
which is linear over a projected triangle; the larger w is nearer.
"""

from __future__ import annotations

import numba
import numpy as np

from facezoo.data.synthetic.shade import shade

__all__ = ["fragments", "interpolate", "light_share", "normals", "shade", "sky_share", "zbuffer"]


@numba.njit(cache=True, error_model="numpy")
def zbuffer(screen, faces, two_sided, height, width):
    """Nearest triangle of every pixel.

    Args:
        screen: (V, 3) float32 screen points.
        faces: (T, 3) int32; counter-clockwise triangles face the viewer.
        two_sided: (T,) bool; others are dropped when they face away.

    Returns:
        Triangle (H, W) int32, -1 where there is none; screen barycentric weights of its second and third
        corner (H, W, 2) float32; w (H, W) float32, 0 where there is none.
    """
    nearest = np.full((height, width), -1, np.int32)
    weights = np.zeros((height, width, 2), np.float32)
    depth = np.zeros((height, width), np.float32)
    for t in range(len(faces)):
        a, b, c = faces[t]
        ax, ay, aw = screen[a]
        bx, by, bw = screen[b]
        cx, cy, cw = screen[c]
        if aw <= 0 or bw <= 0 or cw <= 0:
            continue
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        # y points down on the screen: a triangle that faces the viewer has a negative area.
        if area == 0 or (area > 0 and not two_sided[t]):
            continue
        left, right = max(0, int(np.ceil(min(ax, bx, cx) - 0.5))), min(width - 1, int(max(ax, bx, cx) - 0.5))
        top, bottom = max(0, int(np.ceil(min(ay, by, cy) - 0.5))), min(height - 1, int(max(ay, by, cy) - 0.5))
        inverse = 1 / area
        for row in range(top, bottom + 1):
            y = row + np.float32(0.5)
            for column in range(left, right + 1):
                x = column + np.float32(0.5)
                second = ((x - ax) * (cy - ay) - (y - ay) * (cx - ax)) * inverse
                third = ((bx - ax) * (y - ay) - (by - ay) * (x - ax)) * inverse
                if second < 0 or third < 0 or second + third > 1:
                    continue
                w = aw + second * (bw - aw) + third * (cw - aw)
                if w > depth[row, column]:
                    depth[row, column] = w
                    nearest[row, column] = t
                    weights[row, column, 0] = second
                    weights[row, column, 1] = third
    return nearest, weights, depth


@numba.njit(cache=True, error_model="numpy")
def fragments(screen, faces, back, height, width):
    """As `zbuffer` of a mesh that is seen from both sides, in the form that `facezoo.mask` works on.

    Args:
        back: what w is counted back from.

    Returns:
        Triangle (H, W) int32; weights of its three corners (H, W, 3) float32, 0 where there is none; back - w
        (H, W) float32, infinite where there is none.
    """
    nearest, pair, depth = zbuffer(screen, faces, np.ones(len(faces), np.bool_), height, width)
    weights = np.zeros((height, width, 3), np.float32)
    for row in range(height):
        for column in range(width):
            if nearest[row, column] >= 0:
                second, third = pair[row, column]
                weights[row, column, 0] = np.float32(1) - second - third
                weights[row, column, 1] = second
                weights[row, column, 2] = third
                depth[row, column] = back - depth[row, column]
            else:
                depth[row, column] = np.inf
    return nearest, weights, depth


@numba.njit(cache=True, error_model="numpy")
def interpolate(screen, faces, values, height, width):
    """Vertex values (V, 3) spread over the pixels (H, W, 3) linearly on the screen; NaN where no triangle is."""
    nearest, weights, _ = zbuffer(screen, faces, np.ones(len(faces), np.bool_), height, width)
    spread = np.full((height, width, 3), np.nan, np.float32)
    for row in range(height):
        for column in range(width):
            t = nearest[row, column]
            if t >= 0:
                second, third = weights[row, column]
                a, b, c = faces[t]
                for k in range(3):
                    spread[row, column, k] = (
                        values[a, k] * (1 - second - third) + values[b, k] * second + values[c, k] * third
                    )
    return spread


@numba.njit(cache=True, error_model="numpy")
def normals(vertices, faces):
    """Unit normals (V, 3) float32: the sum of the neighbouring triangles' normals, weighted by their area."""
    total = np.zeros_like(vertices)
    for t in range(len(faces)):
        a, b, c = faces[t]
        ux, uy, uz = vertices[b] - vertices[a]
        vx, vy, vz = vertices[c] - vertices[a]
        nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        for corner in (a, b, c):
            total[corner, 0] += nx
            total[corner, 1] += ny
            total[corner, 2] += nz
    for v in range(len(total)):
        length = np.sqrt(total[v, 0] ** 2 + total[v, 1] ** 2 + total[v, 2] ** 2)
        if length > 0:
            total[v] /= length
    return total


@numba.njit(cache=True, error_model="numpy", inline="always")
def _dot(a, b):
    # numba's own np.dot asks for scipy
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


@numba.njit(cache=True, error_model="numpy")
def sky_share(vertices, faces, directions):
    """Cosine-weighted share (V,) of the directions (N, 3) in which nothing of the mesh hides the sky.

    One orthographic depth map for each direction; a vertex is hidden when something lies clearly before it.
    """
    size, bias = 320, np.float32(0.02)
    normal = normals(vertices, faces)
    seen, total = np.zeros(len(vertices), np.float32), np.full(len(vertices), np.float32(1e-6))
    two_sided = np.ones(len(faces), np.bool_)
    for d in range(len(directions)):
        screen = light_screen(vertices, directions[d], size)
        _, _, depth = zbuffer(screen, faces, two_sided, size, size)
        for v in range(len(vertices)):
            cosine = _dot(normal[v], directions[d])
            if cosine <= 0:
                continue
            total[v] += cosine
            x, y = int(screen[v, 0]), int(screen[v, 1])
            if depth[y, x] <= screen[v, 2] + bias:
                seen[v] += cosine
    return seen / total


@numba.njit(cache=True, error_model="numpy")
def light_screen(vertices, direction, size):
    """Screen points (V, 3) of an orthographic view from a unit direction; w counts in units of length."""
    up = np.array([0.0, 1.0, 0.0], np.float32)
    if abs(direction[1]) > 0.95:
        up = np.array([1.0, 0.0, 0.0], np.float32)
    side = np.cross(up, direction)
    side /= np.sqrt(_dot(side, side))
    top = np.cross(direction, side)
    screen = np.empty((len(vertices), 3), np.float32)
    for v in range(len(vertices)):
        screen[v, 0] = _dot(vertices[v], side)
        screen[v, 1] = -_dot(vertices[v], top)
        screen[v, 2] = _dot(vertices[v], direction)
    low_x, low_y, low_z = screen[:, 0].min(), screen[:, 1].min(), screen[:, 2].min()
    scale = np.float32((size - 2) / max(screen[:, 0].max() - low_x, screen[:, 1].max() - low_y))
    for v in range(len(vertices)):
        screen[v, 0] = (screen[v, 0] - low_x) * scale + 1
        screen[v, 1] = (screen[v, 1] - low_y) * scale + 1
        screen[v, 2] = screen[v, 2] - low_z + 1
    return screen


@numba.njit(cache=True, error_model="numpy")
def light_share(vertices, faces, direction, size):
    """Share (V,) of a distant light that passes the rest of the mesh: a shadow map read over 3 x 3 texels."""
    bias = np.float32(0.05)
    screen = light_screen(vertices, direction, size)
    _, _, depth = zbuffer(screen, faces, np.ones(len(faces), np.bool_), size, size)
    share = np.zeros(len(vertices), np.float32)
    for v in range(len(vertices)):
        x, y = int(screen[v, 0]), int(screen[v, 1])
        for row in range(max(0, y - 1), min(size, y + 2)):
            for column in range(max(0, x - 1), min(size, x + 2)):
                if depth[row, column] <= screen[v, 2] + bias:
                    share[v] += np.float32(1 / 9)
        share[v] = min(share[v], np.float32(1))
    return share
