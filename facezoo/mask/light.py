"""What a photo tells of its light and its sharpness: measured on the skin, for what is put on it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np

from facezoo.data.canvas import grain_of
from facezoo.mask.head import head
from facezoo.mask.pose import Pose
from facezoo.types import FloatArray, Image

GAMMA = 2.2

CELLS = 64
"""The face is looked at with about so many pixels across: pores and whiskers vanish."""

FAIR = 0.36
"""Linear luminance of fair skin in good light."""

WHITE = 0.75
"""Linear luminance of the brightest things around a face in good light."""

BY_SKIN, BY_SCENE = 0.4, 0.45
"""How far each tells the exposure: skin may be dark in good light, and a scene of dark things too."""

SKIN = np.array([1.42, 0.88, 0.66])
"""Linear red, green and blue of skin in white light, each by their mean luminance."""

LUMINANCE = np.array([0.2126, 0.7152, 0.0722])

DARKEST, BRIGHTEST = 0.35, 1.5
"""Of the light on one side of a face, in means of the face."""

PIXEL = 0.25
"""What differences of neighbouring pixels add to the squared deviation of an edge, about."""

ROUNDS = 3
"""In which beard, hair and highlights lose their weight."""


@dataclass(frozen=True, eq=False)
class Light:
    """The light on a face and how the camera saw it.

    Attributes:
        level, slope: relative linear light on a surface of the unit normal n is level + slope . n, about 1.
        exposure: linear light on a white surface, 1 in a well-lit photo.
        cast: red, green and blue of the light, about 1.
        color: 1 in a colour photo, 0 in a grey one.
        skin: linear RGB of the skin, median.
        blur: deviation of the photo's blur, pixels.
        grain: deviation of its noise, 0..255.
    """

    level: float
    slope: FloatArray
    exposure: float
    cast: FloatArray
    color: float
    skin: FloatArray
    blur: float
    grain: float

    def on(self, normals: FloatArray) -> FloatArray:
        """Relative linear light (...,) on surfaces of unit normals (..., 3), z away from the viewer."""
        return np.clip(self.level + normals @ self.slope.astype(normals.dtype), DARKEST, BRIGHTEST)

    def shown(self, colors: FloatArray, relative: FloatArray, skin: bool = False) -> FloatArray:
        """sRGB 0..255 (..., 3) of a surface of sRGB colours (..., 3) in relative light (...,)."""
        gain = self.skin * (1 / 0.3) if skin else self.exposure * self.cast
        factor = (relative[..., None] * gain.astype(np.float32)) ** np.float32(1 / GAMMA)
        lit = colors * factor
        if self.color < 1:
            grey = lit @ np.array([0.299, 0.587, 0.114], np.float32)
            lit = grey[..., None] + np.float32(self.color) * (lit - grey[..., None])
        return lit


def measure(image: Image, mesh: FloatArray, pose: Pose, upper: bool = False) -> Light:
    """Measure the light on a face.

    Args:
        image: uint8 RGB (H, W, 3).
        mesh: (468, 3), pixels of the image.
        pose: of the mesh.
        upper: look at the upper half of the face only, of one that wears a mask.
    """
    low = np.floor(mesh[:, :2].min(axis=0) - 0.35 * pose.unit).astype(int)
    high = np.ceil(mesh[:, :2].max(axis=0) + 0.35 * pose.unit).astype(int)
    size = np.array(image.shape[1::-1])
    low, high = np.clip(low, 0, size - 2), np.clip(high, 2, size)
    low = np.minimum(low, high - 2)
    window = image[low[1] : high[1], low[0] : high[0]]
    grey: Any = cv2.cvtColor(np.ascontiguousarray(window), cv2.COLOR_RGB2GRAY)
    ratio = min(1.0, CELLS / max(2 * pose.unit, 1.0))
    small_size = (max(2, round(window.shape[1] * ratio)), max(2, round(window.shape[0] * ratio)))
    small = cv2.resize(window, small_size, interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), 1.2)
    linear = (small.astype(np.float32) / 255) ** np.float32(GAMMA)
    places = ((mesh[:, :2] - low + 0.5) * (np.array(small_size) / window.shape[1::-1]) - 0.5).astype(np.float32)
    normal = pose.turned(_normals())
    inside = ((places >= 0) & (places <= np.array(small_size) - 1)).all(axis=1)
    weight = _bare(upper) * inside * np.clip(-normal[:, 2] - 0.1, 0, None)
    if weight.sum() < 1:
        weight = inside + 1e-3
    colors = cv2.remap(linear, places[:, None], None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[:, 0]  # type: ignore[call-overload]
    skin = _weighted_median(colors, weight)
    luminance = colors @ LUMINANCE
    middle = max(float(skin @ LUMINANCE), 1e-3)
    level, slope = _fitted(luminance / middle, normal, weight)
    scene = max(float(np.quantile(linear @ LUMINANCE.astype(np.float32), 0.97)), 1e-3)
    exposure = (middle / FAIR) ** BY_SKIN * (scene / WHITE) ** BY_SCENE
    # A grey photo is grey everywhere; a pale face before a grey wall is not.
    spread = float(np.quantile(np.ptp(small.reshape(-1, 3).astype(np.float32), axis=1), 0.9))
    color = float(np.clip((spread - 3) / 12, 0, 1))
    cast = np.clip((skin / middle / SKIN) ** 0.4, 0.82, 1.2)
    cast = 1 + color * (cast / (cast @ LUMINANCE) - 1)
    return Light(
        level, slope, float(np.clip(exposure, 0.04, 1.1)), cast, color, skin, blur_of(grey), float(grain_of(grey))
    )


def blur_of(grey: Image) -> float:
    """Deviation in pixels of the Gaussian that the sharpest edges of (H, W) look blurred with, 0.4 to 6.

    An edge of deviation s that is blurred by r more has its slope times s / sqrt(s^2 + r^2).
    """
    more = 1.0
    strengths = []
    for picture in (grey.astype(np.float32), cv2.GaussianBlur(grey, (0, 0), more).astype(np.float32)):
        across, down = np.diff(picture, axis=1)[:-1], np.diff(picture, axis=0)[:, :-1]
        strengths.append(np.hypot(across, down))
    count = max(1, strengths[0].size // 50)
    first, second = (float(np.mean(np.partition(s.ravel(), -count)[-count:])) for s in strengths)
    if first < 1 or second >= first:
        return 1.0
    share = second / first
    squared = (more * share) ** 2 / max(1 - share * share, 1e-6)
    return float(np.clip(np.sqrt(max(squared - PIXEL, 0)), 0.4, 6))


def _fitted(light: FloatArray, normal: FloatArray, weight: FloatArray) -> tuple[float, FloatArray]:
    """Level and slope of the light on normals (N, 3), from that on skin (N,)."""
    columns = np.column_stack([np.ones(len(normal)), normal])
    ridge = np.diag([1e-6, 0.02, 0.02, 0.02]) * float(weight.sum())
    current, found = weight, np.array([1.0, 0, 0, 0])
    for _ in range(ROUNDS):
        weighted = columns * current[:, None]
        found = np.linalg.solve(weighted.T @ columns + ridge, weighted.T @ light)
        away = np.abs(light - columns @ found)
        typical = max(float(np.median(away[weight > 0])), 0.02) if (weight > 0).any() else 0.1
        current = weight / (1 + (away / (2 * typical)) ** 2)
    return float(found[0]), found[1:]


def _weighted_median(values: FloatArray, weight: FloatArray) -> FloatArray:
    """(C,) of (N, C)."""
    order = np.argsort(values, axis=0)
    gathered = np.cumsum(weight[order], axis=0)
    place = (gathered < gathered[-1] / 2).sum(axis=0)
    return np.take_along_axis(values, np.take_along_axis(order, place[None], axis=0), axis=0)[0].astype(float)


@lru_cache(maxsize=2)
def _bare(upper: bool) -> FloatArray:
    """1 at the mesh points (468,) that lie on bare skin: not on eyes, brows, lips and the hairline."""
    found = head()
    a, b = np.abs(found.places[:, 0]), found.places[:, 1]
    eyes = (b > -0.3) & (b < 0.18) & (a > 0.1) & (a < 0.75)
    lips = (b > 0.52) & (b < 0.76) & (a < 0.32)
    return (~(eyes | lips) & (b > -0.42) & (b < (0.15 if upper else 9.0)) & (a < 0.95)).astype(float)


@lru_cache(maxsize=1)
def _normals() -> FloatArray:
    """Unit normals (468, 3) of the canonical mesh, out of the head."""
    found = head()
    corner = found.points[found.triangles]
    face = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    total = np.zeros_like(found.points)
    for k in range(3):
        np.add.at(total, found.triangles[:, k], face)
    total *= -np.sign(total[:, 2].sum())  # towards the viewer, whichever way the triangles turn
    return total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)
