"""Things that people wear, drawn on aligned crops where the template's points lie, or on photos with landmarks."""

from __future__ import annotations

import math
from abc import abstractmethod
from functools import lru_cache
from typing import ClassVar

import numpy as np

from facezoo.align import similarity, template_points
from facezoo.data.canvas import FACE, SPAN, Canvas, Color, turn_of
from facezoo.data.transforms import Transform
from facezoo.types import Crop, FloatArray, InputError


@lru_cache(maxsize=64)
def _placed(template: str, height: int, width: int) -> FloatArray:
    """From face coordinates to the pixels of a crop of this template and size."""
    return similarity(FACE, template_points(template, (height, width)))


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
        matrix = _placed(self.template, crop.shape[0], crop.shape[1])
        # As if the landmarks were off by this much: moved, turned and scaled about the nose, and the nose itself.
        right, down, angle, growth, turn = (self.jitter * rng.standard_normal(5)).tolist()
        angle, growth = angle / SPAN, max(1 + growth / SPAN, 0.5)
        linear = growth * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        shift = FACE[2] - linear @ FACE[2] + (right, down)
        shaken = matrix @ np.array([[*linear[0], shift[0]], [*linear[1], shift[1]], [0, 0, 1]])
        return self._dress(crop, shaken, turn, rng)

    def wear(self, crop: Crop, landmarks: FloatArray, rng: np.random.Generator) -> Crop:
        """The crop or photo with the thing on the face whose five landmarks (5, 2) are given, pixels.

        Raises:
            InputError: the landmarks are not five finite points, or lie too close together or too far apart.
        """
        landmarks = np.asarray(landmarks, float)
        if landmarks.shape != (5, 2) or not np.isfinite(landmarks).all():
            raise InputError(f"landmarks: expected five finite points (5, 2), got shape {landmarks.shape}")
        matrix = similarity(FACE, landmarks)
        return self._dress(crop, matrix, turn_of(matrix, landmarks[2]), rng)

    def _dress(self, crop: Crop, matrix: FloatArray, turn: float, rng: np.random.Generator) -> Crop:
        canvas = Canvas(crop, matrix, rng, turn, self.rows)
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
