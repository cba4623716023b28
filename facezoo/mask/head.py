"""The head around the mesh: its frame, the skin beyond the mesh's edge, skull, ears and neck.

Head coordinates: x to the right of the image, y down, z away from the viewer; the origin lies between the eyes, and the
unit is half the distance between the sides of the face, about 7 cm.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facezoo.mask.canonical import canonical
from facezoo.types import FloatArray

NASION, CHIN, BROW = 168, 152, 10
"""Mesh points: between the eyes, the chin's tip, the top of the forehead."""

LEFT_SIDE, RIGHT_SIDE = 234, 454
"""Mesh points before the ears."""

SKULL_CENTRE = np.array([0.0, -0.42, 1.25])
SKULL = np.array([1.1, 1.28, 1.45])
"""Centre and radii of the ellipsoid of the skull: a head is about 15.5 cm wide and 19.5 cm long."""

EAR = np.array([1.06, 0.12, 1.12])
"""Where the right ear's front edge meets the head, at the height of a strap."""

AXIS = 1.08
"""How far behind the nasion the vertical axis lies around which the face is unrolled."""

SMOOTHING = 1e-3
"""Of the skin: nostrils and lips vanish."""

NECK_RADIUS, NECK_BACK = 0.86, 1.25
"""Of the neck, and how far behind the nasion its axis lies."""


@dataclass(frozen=True, eq=False)
class Head:
    """The canonical mesh in head coordinates.

    Attributes:
        points: (468, 3) head coordinates.
        triangles: (T, 3), eyes and mouth closed.
        places: (468, 2), the face unrolled: a is the direction from the head's axis, -1 and 1 at the sides of the face;
            b is the height, 0 between the eyes and 1 at the chin's tip.
    """

    points: FloatArray
    triangles: NDArray[np.int32]
    places: FloatArray

    def skin(self, places: FloatArray) -> FloatArray:
        """Head coordinates (N, 3) of face places (N, 2), smoothed; beyond the mesh the surface goes on."""
        places = np.asarray(places, float)
        points: FloatArray = _surface()(places)
        # A smooth continuation would run straight on; under the chin the skin turns back to the neck.
        below = np.maximum(places[:, 1] - 1.0, 0)
        points[:, 2] += 2.2 * below
        points[:, 1] -= 0.5 * below
        return points


@lru_cache(maxsize=1)
def head() -> Head:
    """The one head all wearables are made for."""
    mesh = canonical()
    points = np.asarray(mesh.points, float)
    points = (points - points[NASION]) * (2 / float(np.linalg.norm(points[RIGHT_SIDE] - points[LEFT_SIDE])))
    points[:, 0] -= points[[LEFT_SIDE, RIGHT_SIDE], 0].mean()
    turn = np.arctan2(points[:, 0], AXIS - points[:, 2])
    places = np.stack([turn / (np.pi / 2), points[:, 1] / points[CHIN, 1]], axis=1)
    return Head(points, np.asarray(mesh.closed, np.int32), places)


@lru_cache(maxsize=1)
def _surface() -> Any:
    """A smooth function from face places to head coordinates."""
    from scipy.interpolate import RBFInterpolator

    found = head()
    return RBFInterpolator(found.places, found.points, kernel="thin_plate_spline", smoothing=SMOOTHING)


@lru_cache(maxsize=1)
def outline() -> NDArray[np.intp]:
    """The mesh's outer edge: its points in order."""
    triangles = head().triangles
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    known = {(int(a), int(b)) for a, b in edges}
    following = {a: b for a, b in known if (b, a) not in known}
    loops = []
    while following:
        start = next(iter(following))
        loop = [start]
        while (step := following.pop(loop[-1], None)) is not None and step != start:
            loop.append(step)
        loops.append(loop)
    return np.array(max(loops, key=len))


@lru_cache(maxsize=1)
def occluder() -> tuple[FloatArray, NDArray[np.int32]]:
    """What hides things behind it: points (V, 3) in head coordinates, the mesh's first, and triangles.

    Behind the mesh's edge the sides of the head go back; the openings of eyes and mouth are closed.
    """
    found, ring = head(), outline()
    points, triangles = [found.points], [found.triangles]
    last = ring
    for back, wider in ((0.35, 1.02), (0.9, 1.0), (1.6, 0.72)):
        edge = found.points[ring] * (wider, 1, 1)
        edge[:, 1] = edge[:, 1] * (1 - 0.12 * back)
        edge[:, 2] = np.maximum(edge[:, 2], 0) * (1 - 0.3 * back) + back
        new = len(np.concatenate(points)) + np.arange(len(ring))
        points.append(edge)
        for first, second in ((last, np.roll(last, -1)),):
            triangles.append(np.stack([first, second, new], axis=1))
            triangles.append(np.stack([second, np.roll(new, -1), new], axis=1))
        last = new
    return np.concatenate(points), np.concatenate(triangles).astype(np.int32)
