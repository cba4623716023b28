"""How a face's mesh lies in its photo: what carries everything that is worn on the head into the picture."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from threadpoolctl import threadpool_limits

from facezoo.mask.head import head
from facezoo.types import FloatArray, InputError

REACH = 0.45
"""How far from a mesh point a surface follows its deviation from the mean face, head coordinates."""

STIFFNESS = 0.3
"""Of a surface, against single points of the mesh."""

RANK = 48
"""Smooth deviations that are followed; finer ones, such as those of lips, are left out."""

NOSE = 4
"""Mesh point of the nose's tip."""

LEAST, MOST = 1.0, 20_000.0
"""Pixels of half the width of a face that can be drawn on."""


@dataclass(frozen=True, eq=False)
class Pose:
    """The affine map from head coordinates to a photo, and the smooth part of what is left over at the mesh's points.

    Attributes:
        matrix: (4, 3), for rows (x, y, z, 1).
        rest: (RANK, 3) float32, pixels.
        unit: pixels of a unit of head coordinates, about half a face's width.
    """

    matrix: FloatArray
    rest: FloatArray
    unit: float

    @classmethod
    def of(cls, mesh: FloatArray) -> Pose:
        """The pose of a mesh (468, 3): x and y in pixels, z in the same scale, smaller is nearer.

        Raises:
            InputError: not so many finite points, or no face.
        """
        mesh = np.asarray(mesh, float)
        if mesh.shape != head().points.shape or not np.isfinite(mesh).all():
            raise InputError(f"mesh: expected finite points {head().points.shape}, got shape {mesh.shape}")
        matrix = _inverse() @ mesh
        unit = _unit(matrix)
        if not LEAST <= unit <= MOST:
            raise InputError(f"mesh: a face of {2 * unit:.3g} pixels cannot be drawn on; check the points")
        rest = _smooth()[1] @ (mesh - (head().points @ matrix[:3] + matrix[3]))
        return cls(matrix, rest.astype(np.float32), unit)

    def place(self, points: FloatArray, follow: FloatArray) -> FloatArray:
        """Pixels and depth (N, 3) float32 of head coordinates (N, 3) that follow the mesh by `following`."""
        placed = points @ self.matrix[:3] + self.matrix[3]
        return (placed + follow @ self.rest).astype(np.float32)

    def faced(self, points: FloatArray) -> FloatArray:
        """Head coordinates (N, 3) of points that are turned to the viewer about the middle of the face as it is seen,
        and moved before the head."""
        # The level direction that is seen end-on, towards the viewer.
        x, z = self.matrix[2, 0], -self.matrix[0, 0]
        towards = np.array([x, 0, z]) / max(float(np.hypot(x, z)), 1e-12)
        if (towards @ self.matrix[:3])[2] > 0:
            towards = -towards
        right = np.array([-towards[2], 0, towards[0]])
        every, tip = head().points, head().points[NOSE]
        aside, near = every @ right, every @ towards
        away = points - tip
        turned = away[:, :1] * right + away[:, 2:] * -towards + away[:, 1:2] * np.array([0.0, 1.0, 0.0])
        return turned + (aside.min() + aside.max()) / 2 * right + near.max() * towards + np.array([0, tip[1], 0])

    def turned(self, normals: FloatArray) -> FloatArray:
        """Unit normals (..., 3) of head coordinates in the photo."""
        turned = normals @ np.linalg.inv(self.matrix[:3]).T
        return turned / np.maximum(np.linalg.norm(turned, axis=-1, keepdims=True), 1e-12)


def can_be_drawn_on(mesh: FloatArray) -> bool:
    """Whether a mesh (468, 3) is finite and neither too small nor too large."""
    return bool(np.isfinite(mesh).all()) and LEAST <= _unit(_inverse() @ mesh) <= MOST


def _unit(matrix: FloatArray) -> float:
    return float(np.linalg.svd(matrix[:3], compute_uv=False)[1])


@lru_cache(maxsize=1)
def _inverse() -> FloatArray:
    """(4, 468): the least-squares affine map of a mesh."""
    points = head().points
    return np.linalg.pinv(np.column_stack([points, np.ones(len(points))]))


def following(points: FloatArray) -> FloatArray:
    """(N, RANK) float32: how points (N, 3) in head coordinates follow what parts a mesh from the mean one."""
    with threadpool_limits(1, "blas"):  # last bits depend on the number of threads
        return (_kernel(points, head().points) @ _smooth()[0]).astype(np.float32)


@lru_cache(maxsize=1)
def _smooth() -> tuple[FloatArray, FloatArray]:
    """From the kernel of a point with the mesh to its share of each smooth deviation (468, RANK), and from the mesh's
    deviations to those (RANK, 468): together regression on the kernel."""
    points = head().points
    with threadpool_limits(1, "blas"):  # with more the vectors have other signs and last bits
        values, vectors = np.linalg.eigh(_kernel(points, points))
    values, vectors = values[-RANK:], vectors[:, -RANK:]
    return vectors / (values + STIFFNESS), vectors.T.copy()


def _kernel(one: FloatArray, other: FloatArray) -> FloatArray:
    squared = ((one[:, None] - other[None]) ** 2).sum(axis=-1)
    return np.exp(-squared / (2 * REACH**2))
