"""From a photo to a face's texture and back: the mesh tells where each texel lies."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from facezoo.mask.canonical import canonical
from facezoo.mask.raster import Triangles, rasterise, spread
from facezoo.types import FloatArray, InputError

SUPERSAMPLING = 2
"""Samples a pixel and direction: the rim of what is rendered is smooth."""

VISIBLE_SIDE = 160
"""Height and width of the depth map that tells what a face hides of itself."""

BIAS = 0.03
"""In sides of the face: a texel is hidden by what lies so much before it."""


@dataclass(frozen=True, eq=False)
class Layer:
    """Something rendered, in a window of the image.

    Attributes:
        top, left: of the window, pixels of the image.
        color: (h, w, C) float32 on the texture's scale, multiplied by the coverage.
        coverage: (h, w) float32, the share of each pixel that the mesh covers.
    """

    top: int
    left: int
    color: FloatArray
    coverage: FloatArray

    def window(self, image: NDArray[Any]) -> NDArray[Any]:
        """The part of an image that the layer lies over; a view."""
        height, width = self.coverage.shape
        return image[self.top : self.top + height, self.left : self.left + width]


def positions(points: FloatArray, size: int = 256) -> FloatArray:
    """Where each texel lies: (size, size, 3) float32; beyond the mesh the place of the nearest texel on it."""
    found: FloatArray = _layout(size) @ np.ascontiguousarray(points, np.float32)
    return found.reshape(size, size, -1)


def unwrap(image: NDArray[Any], points: FloatArray, size: int = 256) -> NDArray[Any]:
    """The texture (size, size, C) of a face, as the photo shows it; hidden parts show what hides them.

    Args:
        image: (H, W, C), uint8 or float32; up to four channels.
        points: (468, 3) pixels.
    """
    place = positions(points, size)
    return cv2.remap(image, place[..., 0], place[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def visible(points: FloatArray, size: int = 256) -> FloatArray:
    """Share (size, size) float32 in 0..1 of how much of a texel is seen, and not hidden by other parts of the face."""
    points = np.asarray(points, np.float32)
    low, span = points.min(axis=0), np.ptp(points[:, :2], axis=0).max()
    scaled = (points - low) * np.float32((VISIBLE_SIDE - 1) / max(float(span), 1e-6))
    depth = rasterise(scaled, canonical().closed, (VISIBLE_SIDE, VISIBLE_SIDE)).depth
    place = positions(scaled, size)
    # Beyond the silhouette there is nothing to be hidden by.
    depth = np.minimum(depth, np.float32(1e6))
    nearest = cv2.remap(depth, place[..., 0], place[..., 1], cv2.INTER_NEAREST, borderValue=1e6)
    seen = np.clip((nearest - place[..., 2]) / np.float32(BIAS * VISIBLE_SIDE) + 2, 0, 1)
    return seen.astype(np.float32)


def render(
    texture: NDArray[Any],
    points: FloatArray,
    size: tuple[int, int],
    triangles: Triangles | None = None,
    uv: FloatArray | None = None,
    supersampling: int = SUPERSAMPLING,
) -> Layer:
    """A texture on a mesh, seen along z, with a smooth rim.

    Args:
        texture: (S, S, C), uint8 or float32; up to four channels.
        points: (V, 3), x and y in pixels, (0, 0) the centre of the upper left one; smaller z is nearer.
        size: height and width of the image.
        triangles: (T, 3) of those that are drawn; by default the face without eyes and mouth.
        uv: (V, 2), the places of the vertices in the texture; by default those of the canonical face.
        supersampling: samples a pixel and direction.
    """
    if texture.ndim != 3 or texture.shape[2] > 4:
        raise InputError(f"mask: a texture has shape {texture.shape}; it must be (S, S, C) with at most four channels")
    points = np.asarray(points, np.float32)
    uv = canonical().uv if uv is None else uv
    triangles = canonical().triangles if triangles is None else triangles
    used = points[np.unique(triangles)]
    low = np.clip(np.floor(used[:, :2].min(axis=0)).astype(int), 0, np.array(size[::-1]))
    high = np.clip(np.ceil(used[:, :2].max(axis=0)).astype(int) + 1, low, np.array(size[::-1]))
    width, height = (int(side) for side in high - low)
    if width == 0 or height == 0:
        return Layer(int(low[1]), int(low[0]), *_nothing(height, width, texture.shape[2]))
    fine = np.empty_like(points)
    fine[:, :2] = (points[:, :2] - low + 0.5) * supersampling - 0.5
    fine[:, 2] = points[:, 2] * supersampling
    values = np.column_stack([uv, np.ones(len(uv))])
    where = spread(fine, triangles, values, (height * supersampling, width * supersampling))
    covered = ~np.isnan(where[..., 0])
    texture = _shrunk(texture, fine, triangles, uv)
    # A texel's centre lies half a texel from its corner.
    x = where[..., 0] * np.float32(texture.shape[1]) - np.float32(0.5)
    y = where[..., 1] * np.float32(texture.shape[0]) - np.float32(0.5)
    x[~covered], y[~covered] = 0, 0
    color: Any = cv2.remap(texture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    color = color.reshape(*color.shape[:2], -1).astype(np.float32)
    color[~covered] = 0
    color = cv2.resize(color, (width, height), interpolation=cv2.INTER_AREA).reshape(height, width, -1)
    coverage: Any = cv2.resize(covered.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    return Layer(int(low[1]), int(low[0]), color, coverage)


def _nothing(height: int, width: int, channels: int) -> tuple[FloatArray, FloatArray]:
    return np.zeros((height, width, channels), np.float32), np.zeros((height, width), np.float32)


def _shrunk(texture: NDArray[Any], points: FloatArray, triangles: Triangles, uv: FloatArray) -> NDArray[Any]:
    """The texture in the size in which it is seen, by means of texels: bilinear sampling skips texels."""
    texels = _area(uv[triangles]) * texture.shape[0] * texture.shape[1]
    ratio = np.sqrt(texels / max(_area(points[triangles][..., :2]), 1e-6))
    if ratio < 1.5:
        return texture
    size = tuple(max(8, round(side / ratio)) for side in texture.shape[1::-1])
    return cv2.resize(texture, size, interpolation=cv2.INTER_AREA).reshape(*size[::-1], -1)


def _area(corners: FloatArray) -> float:
    """Sum of the areas of triangles (T, 3, 2)."""
    a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    return float(np.abs(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum()) / 2


@lru_cache(maxsize=4)
def _layout(size: int) -> Any:
    """Sparse matrix (size * size, 468): how texels hang on vertices."""
    from scipy.sparse import csr_array

    mesh = canonical()
    flat = np.column_stack([mesh.uv * size - 0.5, np.zeros(len(mesh.uv))])
    found = rasterise(flat, mesh.closed, (size, size))
    inside = found.triangle >= 0
    _, labels = cv2.distanceTransformWithLabels(
        (~inside).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    nearest = np.zeros(labels.max() + 1, np.int64)
    nearest[labels[inside]] = np.flatnonzero(inside)
    source = nearest[labels.ravel()]
    corners = mesh.closed[found.triangle.ravel()[source]]
    weights = found.weights.reshape(-1, 3)[source]
    rows = np.repeat(np.arange(size * size), 3)
    return csr_array((weights.ravel(), (rows, corners.ravel())), shape=(size * size, len(mesh.uv)), dtype=np.float32)
