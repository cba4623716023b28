"""Drawing on the layout: the square of a template in which the face lies unrolled, with room around it."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from facezoo.mask.template import Texture
from facezoo.types import FloatArray

SIDE = 512
"""Height and width of the layout, pixels."""

CORNER, EXTENT = np.array([-1.25, -0.9]), 2.5
"""Face place of the layout's upper left corner, and what its sides span."""

SUBPIXEL = 4
"""Bits behind the point of the coordinates that OpenCV fills polygons with."""

FINE = 4
"""Polygons are filled at so many times the layout's size."""

PIXEL = EXTENT / SIDE
"""Width of a pixel of the layout, as a distance between face places."""

Color = tuple[float, float, float]


def to_pixels(places: FloatArray) -> FloatArray:
    """Pixels (..., 2) of the layout of face places (..., 2)."""
    return (np.asarray(places) - CORNER) * (SIDE / EXTENT) - 0.5


def from_pixels(pixels: FloatArray) -> FloatArray:
    """Face places (..., 2) of pixels of the layout."""
    return (np.asarray(pixels) + 0.5) * (EXTENT / SIDE) + CORNER


@lru_cache(maxsize=1)
def places() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """a and b of every pixel of the layout, (SIDE, SIDE) each."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    found = from_pixels(np.stack([columns, rows], axis=-1)).astype(np.float32)
    return np.ascontiguousarray(found[..., 0]), np.ascontiguousarray(found[..., 1])


def area(*rings: FloatArray) -> NDArray[np.float32]:
    """Coverage (SIDE, SIDE) 0..1 of closed rings (N, 2) of face places; where two overlap is a hole."""
    filled = np.zeros((FINE * SIDE, FINE * SIDE), np.uint8)
    fixed = [
        np.rint(((to_pixels(ring) + 0.5) * FINE - 0.5) * (1 << SUBPIXEL)).astype(np.int32).reshape(-1, 1, 2)
        for ring in rings
    ]
    cv2.fillPoly(filled, fixed, 255, cv2.LINE_8, SUBPIXEL)
    small = cv2.resize(filled, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return small.astype(np.float32) * np.float32(1 / 255)


def within(coverage: NDArray[np.float32]) -> NDArray[np.float32]:
    """How far each pixel lies within an area, from its edge; 2 SIDE pixels where there is none."""
    inner = (coverage > 0.5).astype(np.uint8)
    found = cv2.distanceTransform(inner, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    # OpenCV's last bits depend on its number of threads and on where the arrays lie in memory. The square of a distance
    # between pixels is a whole number.
    squared = np.rint(np.square(np.minimum(found, np.float32(2 * SIDE))))
    return np.sqrt(squared) * np.float32(PIXEL)


def bell(values: FloatArray, centre: FloatArray | float, width: float) -> FloatArray:
    """1 at the centre and 1/e at `width` from it."""
    return np.exp(-(((values - centre) * (1 / width)) ** 2))


def step(values: FloatArray, low: float, high: float) -> FloatArray:
    """0 below `low`, 1 above `high`, smooth between."""
    share = np.clip((values - low) / (high - low), 0, 1)
    return share * share * (3 - 2 * share)


def clouds(
    rng: np.random.Generator, shape: tuple[int, int], cells: tuple[float, float], octaves: int = 1
) -> NDArray[np.float32]:
    """Smooth noise of deviation about 1: so many cells down and across, an octave is twice as fine, half as strong."""
    total = np.zeros(shape, np.float32)
    for octave in range(octaves):
        size = tuple(max(2, round(count * 2**octave)) for count in cells)
        coarse = rng.standard_normal(size, np.float32)
        total += cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_CUBIC) * np.float32(0.5**octave)
    return total * np.float32(1.3)


def emboss(height: FloatArray, strength: float = 1.0) -> NDArray[np.float32]:
    """Light on a relief (H, W), in pixels, that comes from above: 1 where it is level."""
    down = cv2.Sobel(np.asarray(height, np.float32), cv2.CV_32F, 0, 1, ksize=3) / 8
    across = cv2.Sobel(np.asarray(height, np.float32), cv2.CV_32F, 1, 0, ksize=3) / 8
    length = np.sqrt(1 + down * down + across * across)
    # Relief that rises downwards faces up, towards the light.
    return np.clip(1 + strength * (0.9 * down / length + 1 / length - 1), 0.2, 1.6)


def weave(rng: np.random.Generator, shape: tuple[int, int], amount: float) -> NDArray[np.float32]:
    """The grain of a cloth: 1 with fine noise."""
    fine = cv2.GaussianBlur(rng.standard_normal(shape, np.float32), (0, 0), 0.7)
    return 1 + np.float32(amount * 2) * fine


def rgba(color: Color | FloatArray, shade: FloatArray | float, coverage: FloatArray) -> Texture:
    """A texture: a colour (3,) or (H, W, 3), times a shade (H, W), where it covers (H, W)."""
    coverage = np.asarray(coverage, np.float32)
    texture = np.empty((*coverage.shape, 4), np.uint8)
    lit = np.asarray(color, np.float32) * np.broadcast_to(np.asarray(shade, np.float32), coverage.shape)[..., None]
    texture[..., :3] = np.clip(np.rint(lit), 0, 255)
    texture[..., 3] = np.clip(np.rint(coverage * 255), 0, 255)
    return texture


def chosen(choice: str, names: Iterable[str], rng: np.random.Generator) -> str:
    """The choice, or for "any" one of the names."""
    every = tuple(names)
    return every[rng.integers(len(every))] if choice == "any" else choice


def varied(color: Color, rng: np.random.Generator) -> Color:
    """The colour, as another dye lot has it."""
    found = np.clip(np.array(color) * rng.uniform(0.93, 1.05) + rng.uniform(-6, 6, 3), 4, 250)
    return float(found[0]), float(found[1]), float(found[2])
