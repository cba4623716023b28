"""From five landmarks to an aligned crop: one least-squares similarity and one warp; and from crop to crop.

The similarity is Umeyama's (1991) restricted to proper rotations, as a complex least-squares fit
z -> a z + b: no SVD, and it never mirrors a face.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np

from facezoo.types import Crop, FloatArray, Image, InputError

_LONGEST_SIDE = 32_000  # OpenCV 4 warps no image with a side above 32,766


@dataclass(frozen=True)
class Template:
    """Where the five points of a face lie in a crop of `size` (height, width) pixels.

    Attributes:
        part_of: name of the template whose upper rows this one is; the points are those of the whole, and may lie
            below the part.
    """

    size: tuple[int, int]
    points: tuple[tuple[float, float], ...]
    part_of: str = ""


ARCFACE = ((38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041))

TEMPLATES = {
    "arcface": Template((112, 112), ARCFACE),
    # What a mask leaves free, as FaceX-Zoo cuts it.
    "arcface-upper": Template((60, 112), ARCFACE, "arcface"),
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
    if chosen.part_of and not 0.8 <= size[0] * chosen.size[1] / (size[1] * chosen.size[0]) <= 1.25:
        shape = f"{chosen.size[0]} x {chosen.size[1]}"
        raise InputError(
            f"template {template!r} is a part of {chosen.part_of!r} of the shape {shape}, a crop of {size[0]} x "
            f"{size[1]} is not; give the model that input_size"
        )
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


View: TypeAlias = tuple[str, tuple[int, int]]
"""A template and a size (height, width): how a model wants its crops."""

VIEW = re.compile(r"([^@]+)@(\d+)x(\d+)")
"""A view in the name of a stack's template."""


def align(image: Image, landmarks: FloatArray, template: str = "arcface", size: tuple[int, int] = (112, 112)) -> Crop:
    """Crop one face by its five landmarks (5, 2), in pixels of the image; of a stack (`stacked`) each of its crops."""
    landmarks = np.asarray(landmarks, dtype=np.float64)
    if landmarks.shape != (5, 2) or not np.isfinite(landmarks).all():
        raise InputError(f"landmarks: expected five finite points (5, 2), got shape {landmarks.shape}")
    if views := views_of(template):
        return stack([align(image, landmarks, *view) for view in views])
    return warp(image, similarity(landmarks, template_points(template, size)), size)


def recrop(crop: Crop, template: str, size: tuple[int, int], aligned: str | None = None) -> Crop:
    """A crop as another template and size (height, width) want it: cut to a part of it, else in another size (`fit`).

    Args:
        crop: the crop, of any size.
        aligned: the template it is aligned to; by default `template` itself, or what that is a part of unless the crop
            has just that size.

    Raises:
        InputError: the crop does not show what the template wants.
    """
    if aligned is None and crop.shape[:2] == size:
        return crop
    views = views_of(template)
    aligned = aligned or whole_view((views or [(template, size)])[0])[0]
    if not shows(aligned, template):
        raise InputError(f"crops aligned to {aligned!r} do not show what {template!r} wants; use the raw photos")
    if views:
        return stack([recrop(crop, *view, aligned) for view in views])
    if aligned == template:
        return fit(crop, size)
    return np.ascontiguousarray(fit(crop, whole_view((template, size))[1])[: size[0]])


def shows(aligned: str, template: str) -> bool:
    """Whether crops aligned to one template hold what another one wants."""
    wanted = [view[0] for view in views_of(template)] or [template]
    return all(name == aligned or (name in TEMPLATES and TEMPLATES[name].part_of == aligned) for name in wanted)


def whole_view(view: View) -> View:
    """What a part is cut from, at the same scale; any other view is whole itself."""
    template, (height, width) = view
    if template not in TEMPLATES or not TEMPLATES[template].part_of:
        return view
    part, whole = TEMPLATES[template], TEMPLATES[template].part_of
    return whole, (round(height * TEMPLATES[whole].size[0] / part.size[0]), width)


def stacked(views: Sequence[View]) -> View:
    """Template and size of a stack: a crop in which the crops of several models lie one below the other, centred.

    Raises:
        InputError: the mirror image of such a stack would not be the stack of the mirror images.
    """
    widths = [size[1] for _, size in views]
    if len({width % 2 for width in widths}) > 1:
        raise InputError(f"crops {widths} wide cannot be stacked: the widths must all be even or all odd")
    names = "+".join(f"{name}@{height}x{width}" for name, (height, width) in views)
    return names, (sum(size[0] for _, size in views), max(widths))


def views_of(template: str) -> list[View]:
    """The views of a stack's template, such as `arcface@112x112+dlib@150x150`; none of one that is no stack."""
    parts = [VIEW.fullmatch(part) for part in template.split("+")]
    return [(part[1], (int(part[2]), int(part[3]))) for part in parts if part] if all(parts) else []


def stack(crops: Sequence[Crop]) -> Crop:
    """Crops one below the other, narrower ones in the middle, black beside them."""
    width = max(crop.shape[1] for crop in crops)
    stack = np.zeros((sum(len(crop) for crop in crops), width, 3), np.uint8)
    for crop, place in zip(crops, places([crop.shape[:2] for crop in crops])):
        stack[place] = crop
    return stack


def places(sizes: Sequence[tuple[int, ...]]) -> list[tuple[slice, slice]]:
    """Where the crops of these sizes lie in their stack."""
    width, top, found = max(size[1] for size in sizes), 0, []
    for height, own in sizes:
        left = (width - own) // 2
        found.append((slice(top, top + height), slice(left, left + own)))
        top += height
    return found
