"""What every face detector shares: its call, the main face of a photo, and non-maximum suppression."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from facezoo.types import Face, FloatArray, Image, InputError


class Detector(ABC):
    """Finds faces: image -> faces with box, score and landmarks, in the image's pixels, best score first."""

    def __call__(self, image: Image) -> list[Face]:
        return self.many([image])[0]

    @property
    def spec(self) -> str:
        """What decides where faces are found, as a spec string; the number of threads and the like is left out.

        Crops of detectors with different ones are not put into one folder.
        """
        return type(self).__name__.lower()

    @abstractmethod
    def many(self, images: Sequence[Image]) -> list[list[Face]]:
        """The faces of each image; the images may differ in size."""


def check_image(image: Image) -> None:
    """Raises InputError unless the image is uint8 (H, W, 3)."""
    if not isinstance(image, np.ndarray) or image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        found = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise InputError(f"an image is {found}; it must be uint8 RGB (H, W, 3), as facezoo.image.read_image gives it")


def main_face(faces: Sequence[Face], size: tuple[int, int]) -> Face | None:
    """The face a photo is of: large and near the centre; None without faces.

    The area of the box less twice the squared distance of its centre from the image's centre is largest.

    Args:
        size: height and width of the image.
    """

    def rank(face: Face) -> float:
        x0, y0, x1, y1 = (float(v) for v in face.box)
        away = ((x0 + x1 - size[1]) / 2) ** 2 + ((y0 + y1 - size[0]) / 2) ** 2
        return face.area - 2 * away

    return max(faces, key=rank, default=None)


def suppress(boxes: FloatArray, scores: FloatArray, overlap: float) -> NDArray[np.intp]:
    """Greedy non-maximum suppression: indices of the kept boxes (N, 4) xyxy, best score first.

    A box goes if its intersection over union with a better, kept one is above `overlap`.
    """
    order = np.argsort(-scores, kind="stable")
    boxes = boxes[order]
    alive = np.ones(len(boxes), bool)
    kept = []
    for i in range(len(boxes)):
        if not alive[i]:
            continue
        kept.append(i)
        alive[i:] &= iou(boxes[i], boxes[i:]) <= overlap
    return order[kept]


def iou(box: FloatArray, boxes: FloatArray) -> FloatArray:
    """Intersection over union (N,) of one box (4,) with boxes (N, 4), xyxy; 0 where both are empty."""
    inner = _area(np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:]))
    union = _area(box[:2], box[2:]) + _area(boxes[:, :2], boxes[:, 2:]) - inner
    return np.divide(inner, union, out=np.zeros_like(inner), where=union > 0)


def _area(low: FloatArray, high: FloatArray) -> FloatArray:
    return np.prod(np.maximum(high - low, 0), axis=-1)
