"""Glasses and sunglasses."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from facezoo.data.accessories import Accessory
from facezoo.data.canvas import FACE, MIDDLE, SPAN, Canvas, Color, bell, curve, mirrored, stroke
from facezoo.registry import TRANSFORMS
from facezoo.types import FloatArray

SHAPES = {
    "round": ((-12, 0), (-8.5, -8.5), (0, -11.5), (8.5, -8.5), (12, 0), (8.5, 8.5), (0, 11.5), (-8.5, 8.5)),
    "square": (
        *((-13.5, 0), (-13.2, -6.5), (-11, -8.8), (0, -9.3), (11, -8.6), (13, -6), (12.8, 1)),
        *((11, 7), (8, 9), (0, 9.6), (-9, 9), (-12.3, 6.5)),
    ),
    "aviator": (
        *((-14, -3), (-13, -8), (-8, -9.5), (2, -9.3), (10.5, -8.5), (12, -5), (10.5, 3)),
        *((5.5, 10), (-2, 12.5), (-9, 10.5), (-13, 4)),
    ),
    "cat": ((-15.5, -9), (-8, -9), (2, -8.2), (10.5, -6.5), (12, 0), (9, 7), (1, 9), (-7, 8), (-12, 2)),
}
"""The lens over the image-left eye, from its centre; the nose is to the right."""

EYE_HEIGHT = float(FACE[:2, 1].mean())


@dataclass(frozen=True)
class Frame:
    """Outlines of both lenses, of the rims around them, of bridge and temples; face coordinates."""

    lenses: tuple[FloatArray, FloatArray]
    rims: tuple[FloatArray, FloatArray]
    bars: tuple[FloatArray, ...]


LEAST = (0.95, 0.88, 0.0, 0.0, 1.0, 0.5, 0.0)
MOST = (1.12, 1.15, 2.5, 1.0, 4.0, 3.0, 1.0)
"""Of width, height, how low they sit, how far apart, the bridge's height above the eyes and its arch, thickness."""


def _frame(kind: str, rng: np.random.Generator) -> Frame:
    names = list(SHAPES)
    kind = names[rng.integers(len(names))] if kind == "any" else kind
    width, height, drop, apart, above, arch, share = rng.uniform(LEAST, MOST)
    thick = 0.8 + 0.5 * share if kind == "aviator" else 1.0 + 1.8 * share
    middle_x, middle_y = MIDDLE - SPAN / 2 - apart, EYE_HEIGHT + drop
    lens = _lens(kind) * (width, height)
    rim = lens * (1 + thick / (12 * width), 1 + thick / (10 * height)) + (middle_x, middle_y)
    lens += (middle_x, middle_y)
    inner, outer, level = float(lens[:, 0].max()), float(lens[:, 0].min()), middle_y - above * height
    bridge = curve((inner, level), (MIDDLE, level - arch), (2 * MIDDLE - inner, level), closed=False, steps=4)
    # The temple is seen almost end on: it leaves the rim, narrows and is lost at the side of the head.
    ends = np.array([(outer + 1, level - 2), (10, level - 1), (10, level - 0.3), (outer + 1, level - 2 + thick)])
    bars = (stroke(bridge, max(thick, 1.2)), ends, mirrored(ends))
    return Frame((lens, mirrored(lens)), (rim, mirrored(rim)), bars)


@lru_cache
def _lens(kind: str) -> FloatArray:
    return curve(*SHAPES[kind])


class Eyewear(Accessory):
    """A frame with lenses."""

    kind: Literal["any", "round", "square", "aviator", "cat"]
    color: str

    rows: ClassVar[tuple[float, float]] = (30, 76)
    colors: ClassVar[dict[str, Color]] = {
        "black": (24, 24, 26),
        "brown": (74, 46, 28),
        "tortoise": (104, 62, 30),
        "grey": (92, 94, 100),
        "silver": (176, 178, 184),
        "gold": (176, 142, 84),
        "red": (122, 28, 36),
        "blue": (34, 48, 96),
    }

    def draw(self, canvas: Canvas, rng: np.random.Generator) -> None:
        frame = _frame(self.kind, rng)
        color = self.pick_color(self.color, rng)
        lenses = canvas.shape_of(*frame.lenses)
        wire = canvas.shape_of(*zip(frame.rims, frame.lenses), *frame.bars, soft=0.35)
        self.shade_face(canvas, lenses, wire)
        self.glaze(canvas, lenses, rng)
        canvas.lay(wire, color, opacity=0.95)

    @abstractmethod
    def shade_face(self, canvas: Canvas, lenses: NDArray[np.uint8], wire: NDArray[np.uint8]) -> None:
        """The shadow on the face."""

    @abstractmethod
    def glaze(self, canvas: Canvas, lenses: NDArray[np.uint8], rng: np.random.Generator) -> None:
        """The lenses."""


def _streak(canvas: Canvas, rng: np.random.Generator, width: float) -> FloatArray:
    """A soft oblique reflection across both lenses, 0..1."""
    x, y = canvas.x, canvas.y
    offset = rng.uniform(-10, 10)
    # Both lenses mirror the same lamp, at the same place of each.
    along = (x - MIDDLE) - np.sign(x - MIDDLE) * SPAN / 2 + 0.6 * (y - EYE_HEIGHT) + offset
    return bell(along, 0, width)


@TRANSFORMS.register
@dataclass(frozen=True)
class Glasses(Eyewear):
    """Glasses: frame, bridge and temples, their shadow, a faint reflection.

    Args:
        kind: shape of the lenses; any draws one.
        color: of the frame; any draws one.
        jitter: deviation of the points they are fitted to, in pixels of a crop 112 high.
        template: the alignment template of the crops.
    """

    kind: Literal["any", "round", "square", "aviator", "cat"] = "any"
    color: Literal["any", "black", "brown", "tortoise", "grey", "silver", "gold", "red", "blue"] = "any"
    jitter: float = 0.7
    template: str = "arcface"
    probability: float = 0.1

    def shade_face(self, canvas: Canvas, lenses: NDArray[np.uint8], wire: NDArray[np.uint8]) -> None:
        canvas.shadow(wire, 0.2, 1.6, 0.9, 0.28)

    def glaze(self, canvas: Canvas, lenses: NDArray[np.uint8], rng: np.random.Generator) -> None:
        glare = canvas.shade_of(_streak(canvas, rng, rng.uniform(2, 5)))
        shine = (0.04 + rng.uniform(0, 0.28) * glare) * lenses
        canvas.lay(shine.astype(np.uint8), (225, 232, 240))


@TRANSFORMS.register
@dataclass(frozen=True)
class Sunglasses(Eyewear):
    """Sunglasses: dark lenses, darker above, with what they mirror.

    Args:
        kind: shape of the lenses; any draws one.
        color: of the frame; any draws one.
        opacity: smallest and largest part of the light that the lenses keep back.
        jitter: deviation of the points they are fitted to, in pixels of a crop 112 high.
        template: the alignment template of the crops.
    """

    kind: Literal["any", "round", "square", "aviator", "cat"] = "any"
    color: Literal["any", "black", "brown", "tortoise", "grey", "silver", "gold", "red", "blue"] = "any"
    opacity: tuple[float, float] = (0.8, 0.98)
    jitter: float = 0.7
    template: str = "arcface"
    probability: float = 0.1

    tints: ClassVar[tuple[Color, ...]] = ((22, 22, 25), (44, 30, 20), (24, 34, 28), (26, 30, 46))

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_range("opacity", 0, 1)

    def shade_face(self, canvas: Canvas, lenses: NDArray[np.uint8], wire: NDArray[np.uint8]) -> None:
        canvas.shadow(cv2.max(lenses, wire), 0.3, 1.8, 1.4, 0.4)  # type: ignore[arg-type]

    def glaze(self, canvas: Canvas, lenses: NDArray[np.uint8], rng: np.random.Generator) -> None:
        opacity = rng.uniform(*self.opacity)
        glare = _streak(canvas, rng, rng.uniform(3, 7))
        down = np.clip((canvas.y - EYE_HEIGHT) / 24 + 0.5, 0, 1)
        # The sky above and the ground below, in a dark mirror.
        shade = 0.8 + rng.uniform(0.3, 1.0) * down + rng.uniform(0.2, 1.6) * glare
        canvas.lay(lenses, self.tints[rng.integers(len(self.tints))], canvas.shade_of(shade), opacity)
