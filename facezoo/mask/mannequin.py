"""A grey head to look at templates on, and the guide to paint them by."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from facezoo.mask import drawing
from facezoo.mask.canonical import canonical
from facezoo.mask.head import head, occluder
from facezoo.mask.pose import Pose, following
from facezoo.mask.raster import rasterise
from facezoo.mask.template import drawn
from facezoo.mask.wear import wear
from facezoo.types import FloatArray, Image

YAWS = (-70.0, -35.0, 0.0, 35.0)
"""Degrees of the views of a contact sheet."""

CLAY = np.array([1.28, 0.93, 0.79]) * 0.3
"""Linear RGB of the head."""

WALL = 0.42

LINES = {"oval": 3, "lips": 2, "left_eye": 2, "right_eye": 2, "left_brow": 1, "right_brow": 1, "nose": 1}
"""Regions of the face that the guide shows, and the width of their lines, pixels."""


def mannequin(yaw: float, size: int) -> tuple[Image, FloatArray]:
    """A head that looks `yaw` degrees to the right of the image, (size, size, 3), and its mesh."""
    turn = np.radians(yaw)
    about_y = np.array([[np.cos(turn), 0, -np.sin(turn)], [0, 1, 0], [np.sin(turn), 0, np.cos(turn)]])
    place = (size * (0.5 - 0.10 * np.sin(turn)), size * 0.42, 0)
    mesh = np.asarray(canonical().points, float) @ about_y.T * (0.24 * size) + place
    pose = Pose.of(mesh)
    points, triangles = occluder()
    behind = pose.place(points[len(mesh) :], following(points[len(mesh) :]))
    every = np.concatenate([mesh.astype(np.float32), behind])
    fine = every * 2 + np.array([0.5, 0.5, 0], np.float32)
    found = rasterise(fine, triangles, (2 * size, 2 * size))
    normal = _normals(every, triangles)
    light = np.clip(0.72 + normal @ np.array([-0.28, -0.22, -0.38]), 0.15, 1.4)
    lit = (light[triangles[found.triangle]] * found.weights).sum(axis=-1)
    linear = np.where((found.triangle >= 0)[..., None], lit[..., None] * CLAY, WALL)
    small = cv2.resize(linear.astype(np.float32), (size, size), interpolation=cv2.INTER_AREA)
    image = np.clip(np.rint(255 * np.clip(small, 0, 1) ** (1 / 2.2)), 0, 255).astype(np.uint8)
    return image, mesh


def contact_sheet(templates: Sequence[str], pieces: int = 2, size: int = 160) -> Image:
    """A row for each piece of each template, a column for each of YAWS."""
    views = [mannequin(yaw, size) for yaw in YAWS]
    rows = []
    for template in templates:
        for piece in range(pieces):
            worn = [wear(image, mesh, drawn(template, piece), np.random.default_rng(0)).image for image, mesh in views]
            rows.append(np.concatenate(worn, axis=1))
    return np.concatenate(rows)


def guide() -> Image:
    """The layout (SIDE, SIDE, 3): where the parts of the face lie, on a grid of face places."""
    paper = np.full((drawing.SIDE, drawing.SIDE, 3), 255, np.uint8)
    for level in np.arange(-1.0, 1.6, 0.25):
        for start, end in (((level, -0.9), (level, 1.6)), ((-1.25, level), (1.25, level))):
            ends = np.rint(drawing.to_pixels(np.array([start, end]))).astype(int)
            cv2.line(paper, tuple(map(int, ends[0])), tuple(map(int, ends[1])), (228, 228, 228), 1)
    for name, width in LINES.items():
        ring = np.rint(drawing.to_pixels(head().places[canonical().regions[name]]) * 16).astype(np.int32)
        cv2.polylines(paper, [ring], True, (60, 90, 150), width, cv2.LINE_AA, 4)
    for a, b, text in ((-1.0, 0.2, "ear"), (0.85, 0.2, "ear"), (-0.08, 1.1, "chin"), (-0.1, 0.0, "0,0")):
        x, y = np.rint(drawing.to_pixels(np.array([a, b]))).astype(int)
        cv2.putText(paper, text, (int(x), int(y)), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (120, 60, 60), 1, cv2.LINE_AA)
    return paper


def _normals(points: FloatArray, triangles: NDArray[np.int32]) -> FloatArray:
    """Unit normals (V, 3) out of the head."""
    corner = np.asarray(points, float)[triangles]
    face = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    total = np.zeros(points.shape)
    for k in range(3):
        np.add.at(total, triangles[:, k], face)
    total /= np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)
    return total * -np.sign(total[: len(canonical().points), 2].sum())
