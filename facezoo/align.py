"""From five landmarks to an aligned crop: one least-squares similarity and one warp.

The similarity is Umeyama's (1991) restricted to proper rotations, as a complex least-squares fit
z -> a z + b: no SVD, and it never mirrors a face.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from facezoo.types import Crop, FloatArray, Image, InputError

_LONGEST_SIDE = 32_000  # OpenCV 4 warps no image with a side above 32,766


@dataclass(frozen=True)
class Template:
    """Where the five points of a face lie in a crop of `size` (height, width) pixels."""

    size: tuple[int, int]
    points: tuple[tuple[float, float], ...]


TEMPLATES = {
    "arcface": Template(
        (112, 112),
        ((38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041)),
    ),
    # Median YuNet points in dlib's own chips (150 pixels, padding 0.25).
    "dlib": Template(
        (150, 150),
        ((46.997, 44.662), (102.271, 44.644), (75.154, 78.843), (49.481, 99.575), (100.300, 99.788)),
    ),
}


def template_points(template: str, size: tuple[int, int]) -> FloatArray:
    """The template's five points (5, 2) in a crop of `size` (height, width).

    The template is scaled by the height and centred in the width: 112 x 96 is 112 x 112 less 8 columns a side.
    """
    if template not in TEMPLATES:
        raise InputError(f"unknown alignment template {template!r}; known: {', '.join(sorted(TEMPLATES))}")
    chosen = TEMPLATES[template]
    ratio = size[0] / chosen.size[0]
    points = np.array(chosen.points, dtype=np.float64) * ratio
    points[:, 0] += (size[1] - chosen.size[1] * ratio) / 2
    return points


def similarity(source: FloatArray, target: FloatArray) -> FloatArray:
    """Similarity matrices (..., 2, 3) that map points (..., K, 2) onto (K, 2), least squares, determinant > 0.

    Raises:
        InputError: all points of a face coincide.
    """
    source, target = np.asarray(source, dtype=np.float64), np.asarray(target, dtype=np.float64)
    z, w = source[..., 0] + 1j * source[..., 1], target[..., 0] + 1j * target[..., 1]
    z_mean, w_mean = z.mean(axis=-1, keepdims=True), w.mean(axis=-1, keepdims=True)
    spread = (np.abs(z - z_mean) ** 2).sum(axis=-1)
    if np.any(spread == 0):
        raise InputError("landmarks: all points of a face coincide, no alignment exists")
    a = ((z - z_mean).conj() * (w - w_mean)).sum(axis=-1) / spread
    b = w_mean[..., 0] - a * z_mean[..., 0]
    matrix = np.empty((*a.shape, 2, 3))
    matrix[..., 0, 0], matrix[..., 0, 1], matrix[..., 0, 2] = a.real, -a.imag, b.real
    matrix[..., 1, 0], matrix[..., 1, 1], matrix[..., 1, 2] = a.imag, a.real, b.imag
    return matrix


def warp(image: Image, matrix: FloatArray, size: tuple[int, int]) -> Crop:
    """The image seen through a 2 x 3 matrix (source to crop), (height, width); bilinear, black outside."""
    if max(image.shape[:2]) > _LONGEST_SIDE:
        image, matrix = _window(image, matrix, size)
    return cv2.warpAffine(image, matrix, (size[1], size[0]), flags=cv2.INTER_LINEAR, borderValue=0)  # type: ignore[return-value]


def _window(image: Image, matrix: FloatArray, size: tuple[int, int]) -> tuple[Image, FloatArray]:
    """The part of the image that the crop sees, and the matrix from that part."""
    back = cv2.invertAffineTransform(np.asarray(matrix, dtype=np.float64))
    corners = np.array([[0, 0], [size[1], 0], [0, size[0]], [size[1], size[0]]]) @ back[:, :2].T + back[:, 2]
    limit = np.array([image.shape[1], image.shape[0]])
    low = np.clip(np.floor(corners.min(axis=0)).astype(int) - 2, 0, limit - 1)
    high = np.clip(np.ceil(corners.max(axis=0)).astype(int) + 2, low + 1, limit)
    if (high - low).max() > _LONGEST_SIDE:
        raise InputError(f"a face spans {(high - low).max()} pixels, more than the {_LONGEST_SIDE} that can be aligned")
    shifted = np.array(matrix, dtype=np.float64)
    shifted[:, 2] += shifted[:, :2] @ low
    return np.ascontiguousarray(image[low[1] : high[1], low[0] : high[0]]), shifted


def fit(crop: Crop, size: tuple[int, int]) -> Crop:
    """A crop in another size (height, width): scaled by the height and centred in the width, as templates are.

    Shrinking takes means of pixels, growing is bilinear; where a narrow crop ends it is black.
    """
    if crop.shape[:2] == size:
        return crop
    width = max(1, round(crop.shape[1] * size[0] / crop.shape[0]))
    way = cv2.INTER_AREA if crop.shape[0] > size[0] else cv2.INTER_LINEAR
    scaled = cv2.resize(crop, (width, size[0]), interpolation=way)
    start = abs(width - size[1]) // 2
    if width >= size[1]:
        return np.ascontiguousarray(scaled[:, start : start + size[1]])
    fitted = np.zeros((*size, 3), np.uint8)
    fitted[:, start : start + width] = scaled
    return fitted


def align(image: Image, landmarks: FloatArray, template: str = "arcface", size: tuple[int, int] = (112, 112)) -> Crop:
    """Crop one face by its five landmarks (5, 2), in pixels of the image."""
    landmarks = np.asarray(landmarks, dtype=np.float64)
    if landmarks.shape != (5, 2) or not np.isfinite(landmarks).all():
        raise InputError(f"landmarks: expected five finite points (5, 2), got shape {landmarks.shape}")
    return warp(image, similarity(landmarks, template_points(template, size)), size)
