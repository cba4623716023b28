"""468 points of a face in three dimensions, by one small network: https://arxiv.org/abs/1907.06724."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from facezoo import zoo
from facezoo.embedder import open_onnx
from facezoo.registry import LANDMARKS
from facezoo.sdk.detector import check_image
from facezoo.sdk.tflite_onnx import write_onnx
from facezoo.types import Crop, FloatArray, Image, InputError

VERTICES = 468
SIDE = 192
"""Height and width of the network's input, pixels."""

EYES = ((33, 133), (362, 263))
"""Vertices at the corners of the image-left and of the image-right eye."""

IN_CROP = (0.1, 0.15, 0.9, 1.05)
"""Box of a face in a crop of the "arcface" template, in sides of the crop."""

BATCH = 32
SHRINK = 1.25
"""Large faces are first made smaller, by means of whole pixels, to no less than so many times the input's size:
bilinear sampling alone skips pixels."""


@LANDMARKS.register(name="face-mesh")
class FaceMesh:
    """Boxes of faces to 468 points in three dimensions, their order that of MediaPipe's face mesh.

    Args:
        margin: side of the square that the network sees, in larger sides of the box.
        refine: look a second time, at the square around the mesh that was found, with level eyes. Where the box lies
            then matters a third as much.
        threads: of onnxruntime; 0 lets it choose.
    """

    def __init__(self, margin: float = 1.35, refine: bool = True, threads: int = 0) -> None:
        if not 1 <= margin <= 4:
            raise InputError(f"face-mesh: margin is {margin}; it must lie between 1 and 4")
        self.margin, self.refine = margin, refine
        self._session = open_onnx(
            zoo.derived("face-mesh-2.onnx", lambda path: write_onnx(zoo.get("face-mesh"), path, "face-mesh")), threads
        )
        self._input = self._session.get_inputs()[0].name

    def __call__(self, image: Image, boxes: FloatArray, landmarks: FloatArray | None = None) -> FloatArray:
        """Points (N, 468, 3) float32: x and y in pixels of the image, z in the same scale, smaller is nearer.

        Args:
            image: uint8 RGB (H, W, 3).
            boxes: (N, 4) x0, y0, x1, y1 in pixels, as a detector gives them; they may reach beyond the image.
            landmarks: (N, 5, 2) of the same faces; they tell how the faces are tilted. Without them a mesh is 0.04 to
                0.07 distances between the eyes off at 30 degrees, and no mesh at 90.
        """
        return self.scored(image, boxes, landmarks)[0]

    def scored(
        self, image: Image, boxes: FloatArray, landmarks: FloatArray | None = None
    ) -> tuple[FloatArray, FloatArray]:
        """The points, and how sure the network is that it sees a face, (N,) float32 in 0..1."""
        check_image(image)
        boxes = np.asarray(boxes, np.float64)
        if boxes.ndim != 2 or boxes.shape[1] != 4 or not np.isfinite(boxes).all():
            raise InputError(f"face-mesh: boxes have shape {boxes.shape}; they must be finite numbers (N, 4)")
        if (boxes[:, 2:] <= boxes[:, :2]).any():
            raise InputError("face-mesh: a box has no area; boxes are x0, y0, x1, y1 in pixels")
        roll = np.zeros(len(boxes)) if landmarks is None else _roll_of(landmarks, len(boxes))
        return self._many([image] * len(boxes), boxes, roll)

    def of_crops(self, crops: Sequence[Crop]) -> FloatArray:
        """The meshes (N, 468, 3) of crops of the "arcface" template, one face in each, in pixels of the crop."""
        boxes = np.array([[*(np.array(IN_CROP) * np.tile(crop.shape[1::-1], 2))] for crop in crops]).reshape(-1, 4)
        for crop in crops:
            check_image(crop)
        return self._many(crops, boxes, np.zeros(len(boxes)))[0]

    def _many(self, images: Sequence[Image], boxes: FloatArray, roll: FloatArray) -> tuple[FloatArray, FloatArray]:
        centre, side = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]).max(axis=1)
        points, presence = self._look(images, centre, side, upright(roll))
        if self.refine and len(boxes):
            turn = upright(roll_of(points))
            level = points[..., :2] @ turn
            low, high = level.min(axis=1), level.max(axis=1)
            centre = ((low + high) / 2)[:, None] @ turn.transpose(0, 2, 1)
            points, presence = self._look(images, centre[:, 0] + 0.5, (high - low).max(axis=1), turn)
        return points, presence

    def _look(
        self, images: Sequence[Image], centre: FloatArray, side: FloatArray, turn: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """What the network says of squares of the images; `centre` counts from the image's corner."""
        side = self.margin * side
        points, presence = np.empty((len(side), VERTICES, 3), np.float32), np.empty(len(side), np.float32)
        for start in range(0, len(side), BATCH):
            part = slice(start, min(start + BATCH, len(side)))
            places = zip(images[part], centre[part], side[part], turn[part], strict=True)
            crops = [square(*place) for place in places]
            batch = cv2.dnn.blobFromImages(crops, 1 / 255)
            raw, logit = self._session.run(None, {self._input: batch})
            points[part] = raw.reshape(-1, VERTICES, 3)
            presence[part] = 1 / (1 + np.exp(-logit.reshape(-1)))
        # The network counts from the centre of its first pixel: by this, mirrored photos agree to 0.1 of its pixels.
        points[..., :2] -= (SIDE - 1) / 2
        points *= (side / SIDE)[:, None, None].astype(np.float32)
        points[..., :2] = points[..., :2] @ turn.transpose(0, 2, 1) + (centre - 0.5)[:, None]
        return points, presence


def upright(roll: FloatArray) -> FloatArray:
    """Directions (N, 2, 2) of crops in the image, for faces tilted clockwise by (N,) radians."""
    cosine, sine = np.cos(roll), np.sin(roll)
    return np.stack([np.stack([cosine, -sine], axis=1), np.stack([sine, cosine], axis=1)], axis=1)


def roll_of(points: FloatArray) -> FloatArray:
    """Angles (N,) in radians by which meshes (N, 468, 3) are tilted clockwise in the image."""
    left, right = (points[:, list(eye), :2].mean(axis=1) for eye in EYES)
    return np.arctan2(right[:, 1] - left[:, 1], right[:, 0] - left[:, 0])


def _roll_of(landmarks: FloatArray, count: int) -> FloatArray:
    """The same of five points (N, 5, 2)."""
    landmarks = np.asarray(landmarks, np.float64)
    if landmarks.shape != (count, 5, 2) or not np.isfinite(landmarks).all():
        raise InputError(
            f"face-mesh: landmarks have shape {landmarks.shape}; they must be finite numbers ({count}, 5, 2)"
        )
    return np.arctan2(*(landmarks[:, 1] - landmarks[:, 0])[:, ::-1].T)


def square(image: Image, centre: FloatArray, side: float, turn: FloatArray) -> Image:
    """A turned square of the image as the network's input, uint8 (192, 192, 3); black outside the image.

    Args:
        centre: x and y, counted from the image's corner.
        side: in pixels of the image.
        turn: (2, 2), directions of the crop in the image.
    """
    reach = side * 0.75  # half of the diagonal and a little more
    size = np.array(image.shape[1::-1])
    low = np.clip(np.floor(centre - reach), 0, size - 1).astype(int)
    high = np.clip(np.ceil(centre + reach), low + 1, size).astype(int)
    window = image[low[1] : high[1], low[0] : high[0]]
    step = int(side / (SHRINK * SIDE))
    if step > 1 and min(window.shape[:2]) >= step:
        fitted = (high - low) // step
        window = window[: fitted[1] * step, : fitted[0] * step]
        window = cv2.resize(window, tuple(map(int, fitted)), interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    else:
        step = 1
    # From the crop's pixel centres to the window's.
    back = np.empty((2, 3))
    back[:, :2] = turn * (side / SIDE / step)
    middle = (centre - low) / step - 0.5
    back[:, 2] = middle - back[:, :2] @ np.full(2, (SIDE - 1) / 2)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(window, back, (SIDE, SIDE), flags=flags, borderValue=0)  # type: ignore[return-value]
