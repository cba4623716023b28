"""Things that people wear, drawn on aligned crops: the canvas on which shapes are laid in the face's own light.

Shapes are written in face coordinates: the pixels of the 112 x 112 ArcFace crop, whatever the size and template of the
crop at hand; `facezoo.align.template_points` and one similarity lead from one to the other.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from functools import lru_cache
from typing import Any, ClassVar, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from facezoo.align import similarity, template_points
from facezoo.data.transforms import Transform
from facezoo.types import Crop, FloatArray, Image, InputError

Color = tuple[int, int, int]

FACE = template_points("arcface", (112, 112))
"""The five points in face coordinates."""

MIDDLE = 56.0
"""The face's centre line, and half the width over which it may bend."""

SUBPIXEL = 4
"""Bits behind the point of the coordinates that OpenCV fills polygons with."""

SMALLEST, LARGEST = 0.004, 200.0
"""Pixels of a crop or photo for one of the face coordinates."""

FAR = 30_000.0
"""Points beyond this pixel are drawn at it: OpenCV counts in 32 bits."""

LIGHT_CELLS = 7
"""The face's light has this many cells across: hair, brows and eyes vanish in it, the side of the light stays."""

EXPOSURE = 140.0
"""Grey of a well-lit face: cloth of any colour gets darker on a darker photo."""


class Canvas:
    """The rows of a crop that are drawn on.

    Coverage is uint8, 255 where a thing covers all; shading is float32.

    Args:
        crop: uint8 RGB (H, W, 3); it is not touched.
        landmarks: its five points (5, 2) in pixels.
        rng: for what varies.
        rows: the first and the last row that are drawn on, face coordinates.
    """

    def __init__(
        self, crop: Crop, landmarks: FloatArray, rng: np.random.Generator, rows: tuple[float, float] = (-1e3, 1e3)
    ) -> None:
        self.rng, self.crop = rng, crop
        self.matrix = similarity(FACE, landmarks)
        self.scale = math.hypot(self.matrix[0, 0], self.matrix[1, 0])
        if not SMALLEST <= self.scale <= LARGEST:
            raise InputError(
                f"landmarks: a face {112 * self.scale:.3g} pixels high cannot be drawn on; check the points"
            )
        self.turn = _turn(self.matrix, landmarks)
        limits = self.matrix[1, 1] * np.array(rows) + self.matrix[1, 2]
        # On a head that leans the ends of a row lie higher and lower.
        lean = abs(self.matrix[1, 0]) * 112
        self.top = int(np.clip(limits.min() - lean, 0, crop.shape[0] - 1))
        self.bottom = int(np.clip(limits.max() + lean, self.top + 1, crop.shape[0]))
        self.matrix[1, 2] -= self.top
        self.pixels = crop[self.top : self.bottom]
        self.shape = self.pixels.shape[:2]
        self.covered = np.zeros(self.shape, np.uint8)
        grey = cast("NDArray[np.uint8]", cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY))
        self.light = _light(grey)[self.top : self.bottom]
        self.grain = _grain_of(grey)

    def points(self, face: FloatArray) -> FloatArray:
        """Pixels of points (N, 2) in face coordinates; the centre line bends as on a turned head."""
        bend = np.maximum(0, 1 - ((face[:, 0] - MIDDLE) / MIDDLE) ** 2)
        placed = face @ self.matrix[:, :2].T + self.matrix[:, 2]
        return np.clip(placed + (self.turn * bend)[:, None] * self.matrix[:, 0], -FAR, FAR)

    def shape_of(self, *outlines: FloatArray | tuple[FloatArray, ...], soft: float = 0.5) -> NDArray[np.uint8]:
        """Coverage (H, W) of closed outlines (N, 2) in face coordinates; where those of a tuple overlap is a hole.

        Args:
            soft: deviation of the edge's blur, face coordinates.
        """
        groups = [outline if isinstance(outline, tuple) else (outline,) for outline in outlines]
        rings = [ring for group in groups for ring in group]
        # OpenCV's own anti-aliasing makes beads of the joints of short edges; halving twice is its fastest mean.
        fixed = np.rint((self.points(np.concatenate(rings)) * 4 + 1.5) * (1 << SUBPIXEL)).astype(np.int32)
        height, width = self.shape
        filled = np.zeros((4 * height, 4 * width), np.uint8)
        start = 0
        for group in groups:
            placed = []
            for ring in group:
                placed.append(fixed[start : start + len(ring)])
                start += len(ring)
            cv2.fillPoly(filled, placed, 255, cv2.LINE_8, SUBPIXEL)
        halved = cv2.resize(filled, (2 * width, 2 * height), interpolation=cv2.INTER_AREA)
        coverage = cv2.resize(halved, (width, height), interpolation=cv2.INTER_AREA)
        return self.blurred(coverage, soft)

    def blurred(self, coverage: Any, soft: float) -> NDArray[np.uint8]:
        """Coverage blurred with a deviation in face coordinates."""
        return cast("NDArray[np.uint8]", _blurred(coverage, soft * self.scale))

    def field(self) -> tuple[FloatArray, FloatArray]:
        """Face coordinates x, y of every second pixel, for shading that `spread` brings to the crop's size."""
        rows, columns = _grid(*self.shape)
        (a, b, c), (d, e, f) = cv2.invertAffineTransform(self.matrix).astype(np.float32)
        return a * columns + b * rows + c - np.float32(self.turn), d * columns + e * rows + f

    def spread(self, values: FloatArray) -> FloatArray:
        """A coarse field in the crop's size."""
        return cast(FloatArray, cv2.resize(values, self.shape[::-1]))

    def shadow(self, coverage: NDArray[np.uint8], dx: float, dy: float, soft: float, strength: float) -> None:
        """What lies there darkens the face beside it: the coverage moved by (dx, dy), blurred."""
        height, width = self.shape
        half = cv2.resize(coverage, ((width + 1) // 2, (height + 1) // 2), interpolation=cv2.INTER_AREA)
        left = cv2.convertScaleAbs(_blurred(half, soft * self.scale / 2), alpha=-strength, beta=255)
        back = np.array([[0.5, 0, -0.25 - dx * self.scale / 2], [0, 0.5, -0.25 - dy * self.scale / 2]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        light = cv2.warpAffine(left, back, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
        self.pixels = cv2.multiply(self.pixels, cv2.merge([light, light, light]), scale=1 / 255)  # type: ignore[assignment]

    def lay(
        self, coverage: NDArray[np.uint8], color: Color, shade: FloatArray | float = 1.0, opacity: float = 1.0
    ) -> None:
        """Cover with a colour in the face's light; `shade` (H, W) multiplies it."""
        lit = self.light * np.float32(shade) if isinstance(shade, float) else self.light * shade
        self.mix(cv2.merge([cv2.convertScaleAbs(lit, alpha=value) for value in color]), coverage, opacity)  # type: ignore[arg-type]

    def mix(self, cover: Image, coverage: NDArray[np.uint8], opacity: float = 1.0) -> None:
        """Cover with an image (H, W, 3)."""
        weight = coverage * np.float32(opacity / 255)
        self.pixels = cv2.blendLinear(cover, self.pixels, weight, 1 - weight)  # type: ignore[assignment]
        self.covered = cv2.max(self.covered, coverage)  # type: ignore[assignment]

    def finish(self) -> Crop:
        """The crop, with noise like its own on what was covered."""
        if self.grain > 0.5:
            height, width = self.shape
            top, left = self.rng.integers(GRAIN_ROOM, size=2)
            grain = _grain(height, width)[top : top + height, left : left + width]
            noise = (grain * np.float32(self.grain / 255)) * self.covered
            self.pixels = cv2.add(self.pixels, cv2.merge([noise, noise, noise]), dtype=cv2.CV_8U)  # type: ignore[assignment]
        drawn = self.crop.copy()
        drawn[self.top : self.bottom] = self.pixels
        return drawn


def _blurred(coverage: Any, sigma: float) -> Any:
    """With a Gaussian of this deviation in pixels."""
    if sigma < 0.2:
        return coverage
    width = 2 * math.ceil(2 * sigma - 0.5) + 1
    return cv2.GaussianBlur(coverage, (width, width), sigma)


def _turn(matrix: FloatArray, landmarks: FloatArray) -> float:
    """How far the nose lies to the right of where a frontal face has it, face coordinates."""
    expected = matrix[:, :2] @ FACE[2] + matrix[:, 2]
    along = matrix[:, 0] / (matrix[:, 0] @ matrix[:, 0])
    # A nose that is off pulls the similarity a little with it: the other four points hold it back.
    return float(np.clip((landmarks[2] - expected) @ along, -15, 15))


GRAIN_ROOM = 64


@lru_cache(maxsize=8)
def _grain(height: int, width: int) -> FloatArray:
    """Noise of deviation 1 to cut pieces from: drawing it anew for each crop costs more than all the shapes."""
    return np.random.default_rng(0).standard_normal((height + GRAIN_ROOM, width + GRAIN_ROOM), np.float32)


@lru_cache(maxsize=8)
def _grid(height: int, width: int) -> tuple[FloatArray, FloatArray]:
    rows, columns = (np.arange(0.5, side, 2).astype(np.float32) for side in (height, width))
    return rows[:, None], columns[None, :]


def _light(grey: NDArray[np.uint8]) -> FloatArray:
    """(H, W), about 1: the side the light comes from, and the photo's exposure."""
    cells = cv2.resize(grey, (LIGHT_CELLS, LIGHT_CELLS), interpolation=cv2.INTER_AREA)
    # Background, hair at the rim and beard say little of the light: the rim takes on what lies inside of it.
    inner = cv2.copyMakeBorder(cells[2:6, 1:-1], 2, 1, 1, 1, cv2.BORDER_REPLICATE)
    smooth = cv2.GaussianBlur(inner, (5, 5), 1.2).astype(np.float32)
    middle = max(float(np.sort(smooth, axis=None)[smooth.size // 2]), 1.0)
    exposure = min(max(middle / EXPOSURE, 0.3), 1.0)
    relative = np.minimum(np.maximum(smooth / middle, 0.4), 1.4) * np.float32(exposure)
    return cast(FloatArray, cv2.resize(relative, grey.shape[::-1]))


_NO_EDGES = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
"""Answers to noise of deviation 1 with deviation 6, and not to edges."""

_MEDIAN = 0.6745
"""Of |x|, for x from a normal distribution of deviation 1."""


def _grain_of(grey: NDArray[np.uint8]) -> float:
    """The deviation of the crop's noise, from the middle of the face; J. Immerkaer 1996."""
    height, width = grey.shape
    side = min(height, width, 64)
    top, left = (height - side) // 2, (width - side) // 2
    answer = cv2.filter2D(grey[top : top + side, left : left + side], cv2.CV_16S, _NO_EDGES)
    values = cv2.convertScaleAbs(answer)
    counts = cv2.calcHist([values], [0], None, [256], [0, 256]).ravel()
    median = int(np.searchsorted(np.cumsum(counts), side * side / 2))
    # Skin and JPEG blocks have structure of their own, which this takes for noise.
    return min(0.7 * median / (6 * _MEDIAN), 20.0)


def curve(*controls: tuple[float, float], closed: bool = True, steps: int = 8) -> FloatArray:
    """A smooth line through points (N, 2): Catmull-Rom."""
    return _catmull_rom(len(controls), closed, steps) @ np.array(controls)


@lru_cache(maxsize=64)
def _catmull_rom(count: int, closed: bool, steps: int) -> FloatArray:
    """The matrix from control points to the points of the line."""
    each = np.eye(count)
    if closed:
        around = np.concatenate([each[-1:], each, each[:2]])
    else:
        around = np.concatenate([2 * each[:1] - each[1:2], each, 2 * each[-1:] - each[-2:-1]])
    t = np.arange(steps)[:, None] / steps
    basis = np.array([[0, 2, 0, 0], [-1, 0, 1, 0], [2, -5, 4, -1], [-1, 3, -3, 1]]) / 2
    weights = np.concatenate([t**0, t, t**2, t**3], axis=1) @ basis
    drawn = np.concatenate([weights @ around[piece : piece + 4] for piece in range(len(around) - 3)])
    return drawn if closed else np.concatenate([drawn, each[-1:]])


_LEFT = np.array([-1.0, 1.0])


def stroke(line: FloatArray, width: float | FloatArray) -> FloatArray:
    """The outline of an open line (N, 2) drawn with a width, or with one for each point."""
    along = np.concatenate([line[1:], line[-1:]]) - np.concatenate([line[:1], line[:-1]])
    half = np.asarray(width) / (2 * np.hypot(along[:, 0], along[:, 1]))
    side = along[:, ::-1] * _LEFT * half[:, None]
    return np.concatenate([line + side, (line - side)[::-1]])


_ACROSS = np.array([-1.0, 1.0]), np.array([2 * MIDDLE, 0.0])


def mirrored(outline: FloatArray) -> FloatArray:
    """Exchanged left and right about the face's centre line."""
    return outline * _ACROSS[0] + _ACROSS[1]


class Accessory(Transform):
    """Something worn, drawn where the template's five points lie, or where given landmarks say.

    Attributes:
        jitter: deviation of the points the thing is fitted to, in pixels of a crop 112 high.
        template: the alignment template of the crops.
        colors: RGB in good light, by name.
        rows: the first and the last row of the face that may be drawn on, face coordinates.
    """

    jitter: float
    template: str
    colors: ClassVar[dict[str, Color]]
    rows: ClassVar[tuple[float, float]]

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(0 <= self.jitter <= 10, "jitter", self.jitter, "between 0 and 10")
        template_points(self.template, (112, 112))

    def apply(self, crop: Crop, rng: np.random.Generator) -> Crop:
        points = template_points(self.template, (crop.shape[0], crop.shape[1]))
        shaken = points + rng.normal(0, self.jitter, points.shape) * (crop.shape[0] / 112)
        # Landmarks of their own, not of five independent people: most of the error moves and turns the whole thing.
        return self.wear(crop, (points + shaken) / 2 + (shaken - points).mean(axis=0), rng)

    def wear(self, crop: Crop, landmarks: FloatArray, rng: np.random.Generator) -> Crop:
        """The crop or photo with the thing on the face whose five landmarks (5, 2) are given, pixels.

        Raises:
            InputError: the landmarks are not five finite points, or lie too close together or too far apart.
        """
        landmarks = np.asarray(landmarks, float)
        if landmarks.shape != (5, 2) or not np.isfinite(landmarks).all():
            raise InputError(f"landmarks: expected five finite points (5, 2), got shape {landmarks.shape}")
        canvas = Canvas(crop, landmarks, rng, self.rows)
        self.draw(canvas, rng)
        return canvas.finish()

    @abstractmethod
    def draw(self, canvas: Canvas, rng: np.random.Generator) -> None:
        """Lay the thing on the canvas."""

    def pick_color(self, wanted: str, rng: np.random.Generator) -> Color:
        """The named colour, or any of them, a little varied."""
        names = list(self.colors)
        name = names[rng.integers(len(names))] if wanted == "any" else wanted
        self.require(name in self.colors, "color", wanted, f"any or among {', '.join(names)}")
        varied = np.array(self.colors[name]) * rng.uniform(0.92, 1.06) + rng.uniform(-6, 6, 3)
        red, green, blue = np.clip(varied, 0, 255)
        return int(red), int(green), int(blue)
