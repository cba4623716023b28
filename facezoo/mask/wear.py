"""Things put on a face: placed by its mesh, hidden where the head hides them, in the photo's own light."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from facezoo.mask.head import head, occluder
from facezoo.mask.light import Light, measure
from facezoo.mask.pose import Pose, following
from facezoo.mask.raster import rasterise
from facezoo.mask.shell import normals
from facezoo.mask.template import Part, Template
from facezoo.types import FloatArray, Image, InputError

SINK = 0.055
"""The head hides what lies so much behind its surface, head coordinates: cloth may touch the skin."""

SHADOW_REACH, SHADOW_FALL = 0.05, 0.035
"""Deviation of a shadow's edge and how far it falls, head coordinates."""

LARGEST = 1400
"""Pixels a side up to which a window is drawn at twice its size."""

SMALL = 24.0
"""Pixels of a unit of head coordinates below which it is drawn at three times its size."""


@dataclass(frozen=True, eq=False)
class Worn:
    """A photo in which a face wears something.

    Attributes:
        image: uint8 RGB (H, W, 3).
        coverage: uint8 (H, W), 255 where the thing covers all: a label for segmentation.
    """

    image: Image
    coverage: NDArray[np.uint8]


@dataclass(frozen=True)
class Window:
    """A part of a photo and how much finer it is drawn."""

    left: int
    top: int
    width: int
    height: int
    fine: int

    def within(self, points: FloatArray) -> FloatArray:
        """Pixels of the finer window, depth too, of photo pixels (N, 3)."""
        moved = (points + np.array([0.5 - self.left, 0.5 - self.top, 0], np.float32)) * np.float32(self.fine)
        return moved - np.array([0.5, 0.5, 0], np.float32)

    @property
    def size(self) -> tuple[int, int]:
        return self.height * self.fine, self.width * self.fine

    def shrunk(self, values: FloatArray) -> FloatArray:
        """Means over the pixels of the photo."""
        small = cv2.resize(values, (self.width, self.height), interpolation=cv2.INTER_AREA)
        return np.asarray(small, np.float32)

    def seen(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return image[self.top : self.top + self.height, self.left : self.left + self.width]


def wear(image: Image, mesh: FloatArray, template: Template, rng: np.random.Generator) -> Worn:
    """Put a thing on a face; the given photo is not touched.

    Args:
        image: uint8 RGB (H, W, 3).
        mesh: (468, 3), x and y in pixels of the image, z in the same scale, smaller is nearer.
        template: from `facezoo.mask.template.drawn`.
        rng: of the noise; the same state gives the same bytes.

    Raises:
        InputError: no image, or no mesh.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or min(image.shape[:2]) < 4:
        raise InputError(f"mask: an image is {image.dtype} {image.shape}; it must be uint8 RGB (H, W, 3)")
    pose = Pose.of(mesh)
    placed = [_placed(part, pose) for part in template.parts]
    worn, covered = image.copy(), np.zeros(image.shape[:2], np.uint8)
    window = _window(placed, pose.unit, image.shape[:2])
    if window is None:
        return Worn(worn, covered)
    light = measure(image, np.asarray(mesh, float), pose)
    depth = _head_depth(pose, np.asarray(mesh, np.float32), window)
    surface = np.isfinite(depth).astype(np.float32)
    layer = np.zeros((*window.size, 4), np.float32)
    shadow = np.zeros(window.size, np.float32)
    for part, points in zip(template.parts, placed, strict=True):
        _draw(part, points, pose.unit, light, window, depth, layer, shadow)
    drawn, dark, skin = (window.shrunk(each) for each in (layer, shadow, surface))
    softness = math.sqrt(max(light.blur**2 - 0.45**2, 0))
    drawn = _blurred(drawn, min(softness, 0.08 * pose.unit))
    _lay(window.seen(worn), window.seen(covered), drawn, _fallen(dark, skin, pose.unit), light, rng)
    return Worn(worn, covered)


def _placed(part: Part, pose: Pose) -> FloatArray:
    """Pixels and depth (R * C, 3) of a part's grid."""
    points = part.grid.reshape(-1, 3)
    return pose.place(pose.faced(points) if part.faces else points, part.follow)


def _window(placed: list[FloatArray], unit: float, size: tuple[int, int]) -> Window | None:
    """Where anything may be seen; None if that is nowhere in the photo."""
    every = np.concatenate(placed)[:, :2]
    room = 4 * SHADOW_REACH * unit + 2
    low = np.clip(np.floor(every.min(axis=0) - room), 0, size[::-1]).astype(int)
    high = np.clip(np.ceil(every.max(axis=0) + room), 0, size[::-1]).astype(int)
    width, height = (int(side) for side in high - low)
    if width < 1 or height < 1:
        return None
    fine = 1 if max(width, height) * 2 > LARGEST else 3 if unit < SMALL else 2
    return Window(int(low[0]), int(low[1]), width, height, fine)


def _head_depth(pose: Pose, mesh: FloatArray, window: Window) -> FloatArray:
    """(H, W) z of the head's surface, in pixels of the window; infinite beside it."""
    points, triangles = occluder()
    behind = pose.place(points[len(mesh) :], _following_head())
    return rasterise(window.within(np.concatenate([mesh, behind])), triangles, window.size).depth


def _draw(
    part: Part,
    points: FloatArray,
    unit: float,
    light: Light,
    window: Window,
    depth: FloatArray,
    layer: FloatArray,
    shadow: FloatArray,
) -> None:
    """Lay a part on the layer (H, W, 4), RGB 0..255 by coverage and coverage 0..1; it hides what comes later behind it,
    as the far side of a cuff."""
    rows, columns = part.grid.shape[:2]
    facing = normals(points.reshape(rows, columns, 3)).reshape(-1, 3)
    relative = light.on(facing)
    placed = window.within(points)
    low = np.clip(np.floor(placed[:, :2].min(axis=0)), 0, window.size[::-1]).astype(int)
    high = np.clip(np.ceil(placed[:, :2].max(axis=0)) + 1, low, window.size[::-1]).astype(int)
    if (high == low).any():
        return
    # Only where the part lies: straps are small.
    layer, shadow, depth = (each[low[1] : high[1], low[0] : high[0]] for each in (layer, shadow, depth))
    found = rasterise(placed - np.array([*low, 0], np.float32), part.triangles, depth.shape)
    visible = (found.triangle >= 0) & (found.depth < depth + np.float32(SINK * unit * window.fine))
    if not visible.any():
        return
    texture = _level(part, points, rows, columns, window.fine)
    across, down = np.meshgrid(np.arange(columns), np.arange(rows))
    height, width = texture.shape[:2]
    values = np.column_stack(
        [across.ravel() * (width / (columns - 1)) - 0.5, down.ravel() * (height / (rows - 1)) - 0.5, relative]
    ).astype(np.float32)
    corners = part.triangles[found.triangle[visible]]
    weights = found.weights[visible]
    x, y, lit = np.einsum("nk,nkc->cn", weights, values[corners])
    texels = _sampled(texture, x, y)
    alpha = texels[:, 3] * np.float32(1 / 255)
    color = light.shown(texels[:, :3], lit, part.skin)
    if part.gloss:
        color = color + np.float32(255 * part.gloss * light.exposure) * np.maximum(lit - 1, 0)[:, None]
    color = np.minimum(color, 255)
    share = alpha[:, None]
    texels[:, :3], texels[:, 3] = color, 1
    below = layer[visible]
    layer[visible] = below + share * (texels - below)
    shadow[visible] = np.maximum(shadow[visible], part.shadow * alpha)
    before = depth[visible]
    depth[visible] = np.where(alpha > 0.5, np.minimum(before, found.depth[visible]), before)


def _sampled(texture: NDArray[np.uint8], x: FloatArray, y: FloatArray) -> FloatArray:
    """(N, 4) float32 of the texture at places, bilinear."""
    # OpenCV takes no more than 2^15 - 1 rows or columns: the places are laid in several rows.
    wide = 1 << 14
    rows = -(-len(x) // wide)
    laid = np.zeros((2, rows * wide if rows > 1 else len(x)), np.float32)
    laid[0, : len(x)], laid[1, : len(x)] = x, y
    across, down = laid.reshape(2, rows, -1)
    found = cv2.remap(texture, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return found.reshape(-1, 4)[: len(x)].astype(np.float32)


def _level(part: Part, points: FloatArray, rows: int, columns: int, fine: int) -> NDArray[np.uint8]:
    """The texture in the size in which it is seen."""
    grid = points.reshape(rows, columns, 3)
    steps = [np.median(np.linalg.norm(np.diff(grid, axis=axis), axis=-1)) for axis in (1, 0)]
    ratios = [
        part.texture.shape[1] / max(float(steps[0]) * (columns - 1) * fine, 1.0),
        part.texture.shape[0] / max(float(steps[1]) * (rows - 1) * fine, 1.0),
    ]
    number = math.floor(math.log2(max(min(ratios), 1.0)) + 0.3)
    return part.levels[min(number, len(part.levels) - 1)]


def _blurred(layer: FloatArray, deviation: float) -> FloatArray:
    if deviation < 0.25:
        return layer
    return np.asarray(cv2.GaussianBlur(layer, (0, 0), deviation, borderType=cv2.BORDER_REPLICATE), np.float32)


def _fallen(dark: FloatArray, skin: FloatArray, unit: float) -> FloatArray:
    """The light (h, w) that is left on the skin beside what is worn."""
    fall = SHADOW_FALL * unit
    moved = cv2.warpAffine(dark, np.array([[1, 0, 0], [0, 1, fall]], np.float32), dark.shape[::-1])
    near = cv2.GaussianBlur(dark, (0, 0), max(0.35 * SHADOW_REACH * unit, 0.3))
    far = cv2.GaussianBlur(moved, (0, 0), max(SHADOW_REACH * unit, 0.4))
    return 1 - np.maximum(0.8 * near, far) * skin


def _lay(
    image: NDArray[np.uint8],
    covered: NDArray[np.uint8],
    drawn: FloatArray,
    left: FloatArray,
    light: Light,
    rng: np.random.Generator,
) -> None:
    """Put what is drawn on the photo, with noise of its kind."""
    alpha = np.clip(drawn[..., 3:], 0, 1)
    pixels = image * left[..., None] * (1 - alpha) + drawn[..., :3]
    if light.grain > 0.5:
        noise = rng.standard_normal(alpha.shape[:2], np.float32) * np.float32(light.grain)
        pixels += noise[..., None] * alpha
    untouched = (alpha[..., 0] < 1 / 512) & (left > 511 / 512)
    image[~untouched] = np.clip(np.rint(pixels), 0, 255).astype(np.uint8)[~untouched]
    np.maximum(covered, np.rint(alpha[..., 0] * 255).astype(np.uint8), out=covered)


@lru_cache(maxsize=1)
def _following_head() -> FloatArray:
    """How what lies behind the mesh's edge follows the mesh."""
    points, _ = occluder()
    return following(points[len(head().points) :])
