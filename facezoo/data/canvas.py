"""The canvas on which accessories are drawn: shapes laid on a crop in the face's own light, with its noise.

Shapes are written in face coordinates: the pixels of the 112 x 112 ArcFace crop, whatever the size and template of the
crop at hand; `facezoo.align.template_points` and one similarity lead from one to the other.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from facezoo.align import template_points
from facezoo.types import Crop, FloatArray, InputError

Color = tuple[int, int, int]

FACE = template_points("arcface", (112, 112))
"""The five points in face coordinates."""

SPAN = float(FACE[1, 0] - FACE[0, 0])
"""From eye to eye, face coordinates."""

MIDDLE = 56.0
"""The face's centre line."""

HEAD, FOREHEAD = 46.0, 15.0
"""Half the width of a head seen from the front, and where it begins to curve back above; face coordinates."""

RIDGE, NOSE, DEPTH = 0.15, 1.3, 0.95
"""In half widths: what nose and lips add along the centre line, where the nose's tip is, and the mean of the five
points. Turned, a head's outline moves away from them, against the nose."""

MOST = 0.9 * HEAD * (NOSE - DEPTH)
"""The largest shift of the nose that is followed."""

SUBPIXEL = 4
"""Bits behind the point of the coordinates that OpenCV fills polygons with."""

SMALLEST, LARGEST = 0.004, 200.0
"""Pixels of a crop or photo for one of the face coordinates."""

FAR = 30_000.0
"""Points beyond this pixel are drawn at it: OpenCV counts in 32 bits."""

LEFT, RIGHT, STEP = -8.0, 120.0, 2.0
"""Face coordinates between which shading is worked out, across and down; beyond it stays as at the end."""

LIGHT_CELLS = 7
"""The face's light has this many cells across: hair, brows and eyes vanish in it, the side of the light stays."""

EXPOSURE = 140.0
"""Grey of a well-lit face: cloth of any colour gets darker on a darker photo."""


class Canvas:
    """The rows of a crop that are drawn on.

    Coverage is uint8, 255 where a thing covers all; shading is float32.

    Args:
        crop: uint8 RGB (H, W, 3); it is not touched.
        matrix: similarity (2, 3) from face coordinates to its pixels.
        turn: how far the nose lies to the right of where a frontal face has it, face coordinates.
        rows: the first and the last row that are drawn on, face coordinates.
        rng: for the noise on what is covered.

    Attributes:
        x, y: face coordinates (1, N) and (M, 1) at which shading is worked out, for `shade_of`.
    """

    def __init__(
        self,
        crop: Crop,
        matrix: FloatArray,
        rng: np.random.Generator,
        turn: float = 0.0,
        rows: tuple[float, float] = (-1e3, 1e3),
    ) -> None:
        self.rng, self.crop, self.turn, self.matrix = rng, crop, turn, matrix.copy()
        self.sine = turn / (HEAD * (NOSE - DEPTH))
        self.scale = math.hypot(matrix[0, 0], matrix[1, 0])
        if not SMALLEST <= self.scale <= LARGEST:
            raise InputError(
                f"landmarks: a face {112 * self.scale:.3g} pixels high cannot be drawn on; check the points"
            )
        self.top, self.bottom = _band(self.matrix, rows, crop.shape[0])
        self.matrix[1, 2] -= self.top
        self.x, self.y = _grid(rows)
        self.pixels = crop[self.top : self.bottom]
        self.shape = self.pixels.shape[:2]
        self.covered = np.zeros(self.shape, np.uint8)
        grey = cast("NDArray[np.uint8]", cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY))
        self.light = _light(grey)[self.top : self.bottom]
        self.grain = grain_of(grey)

    def points(self, face: FloatArray) -> FloatArray:
        """Pixels of points (N, 2) in face coordinates, on a head that is turned as this one."""
        x = face[:, 0]
        if self.turn:
            above = np.maximum(0, (FOREHEAD - face[:, 1]) / HEAD)
            x = x + self.sine * HEAD * (_depth((x - MIDDLE) / HEAD, above) - DEPTH)
        placed = np.column_stack([x, face[:, 1]]) @ self.matrix[:, :2].T + self.matrix[:, 2]
        return np.clip(placed, -FAR, FAR)

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

    def shade_of(self, values: FloatArray) -> FloatArray:
        """Shading (H, W) of the crop from values over `x` and `y`."""
        grid = np.ascontiguousarray(np.broadcast_to(values, (self.y.size, self.x.size)), np.float32)
        first = np.array([self.x[0, 0] + self.sine * HEAD * (1 + RIDGE - DEPTH), self.y[0, 0]])
        there = np.column_stack([self.matrix[:, :2] * STEP, self.matrix[:, :2] @ first + self.matrix[:, 2]])
        return cast(FloatArray, cv2.warpAffine(grid, there, self.shape[::-1], borderMode=cv2.BORDER_REPLICATE))

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
        lit = self.light * np.asarray(shade, np.float32) * (coverage * np.float32(opacity / 255))
        left = cv2.convertScaleAbs(coverage, alpha=-opacity, beta=255)
        kept = cv2.multiply(self.pixels, cv2.merge([left, left, left]), scale=1 / 255)
        cover = cv2.merge([cv2.convertScaleAbs(lit, alpha=value) for value in color])
        self.pixels = cast(Crop, cv2.add(kept, cover))
        self.covered = cast("NDArray[np.uint8]", cv2.max(self.covered, coverage))

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


def _depth(u: FloatArray, v: FloatArray) -> FloatArray:
    """How far the head reaches towards the camera, in half widths: u from the centre line, v above the forehead."""
    return np.sqrt(np.maximum(0, 1 - u * u - v * v)) + RIDGE * np.exp(-(u * u + v * v) * (1 / 0.09))


def turn_of(matrix: FloatArray, nose: FloatArray) -> float:
    """How far the nose (2,) lies to the right of where a frontal face has it, face coordinates, 15 at most."""
    expected = matrix[:, :2] @ FACE[2] + matrix[:, 2]
    along = matrix[:, 0] / max(float(matrix[:, 0] @ matrix[:, 0]), 1e-12)
    return min(max(float((nose - expected) @ along), -MOST), MOST)


GRAIN_ROOM = 64


@lru_cache(maxsize=8)
def _grain(height: int, width: int) -> FloatArray:
    """Noise of deviation 1 to cut pieces from: drawing it anew for each crop costs more than all the shapes."""
    return np.random.default_rng(0).standard_normal((height + GRAIN_ROOM, width + GRAIN_ROOM), np.float32)


@lru_cache(maxsize=16)
def _grid(rows: tuple[float, float]) -> tuple[FloatArray, FloatArray]:
    x, y = np.arange(LEFT, RIGHT, STEP), np.arange(max(rows[0], LEFT), min(rows[1], RIGHT), STEP)
    return x.astype(np.float32)[None, :], y.astype(np.float32)[:, None]


def _band(matrix: FloatArray, rows: tuple[float, float], height: int) -> tuple[int, int]:
    """The first row of a crop that is drawn on and the one after the last; on a leaning head a row is not level."""
    ends = [float(matrix[1, 0] * x + matrix[1, 1] * y + matrix[1, 2]) for x in (LEFT, RIGHT) for y in rows]
    top = int(min(max(min(ends), 0), height - 1))
    return top, int(min(max(max(ends), top + 1), height))


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


def grain_of(grey: NDArray[np.uint8]) -> float:
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


def bell(values: FloatArray, centre: float, width: float) -> FloatArray:
    """1 at the centre and 1/e at `width` from it: a fold, a seam, a reflection."""
    return np.exp(-(((values - centre) * (1 / width)) ** 2))


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
