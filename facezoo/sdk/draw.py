"""Faces drawn into their photo."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from facezoo.types import Face, Image

BOX = (64, 224, 160)
POINTS = ((255, 196, 0), (255, 196, 0), (255, 255, 255), (255, 96, 128), (255, 96, 128))
"""Eyes, nose and mouth corners."""

EDGE = (16, 24, 32)
"""A dark rim keeps every mark legible on light skin and on white walls."""


def draw(image: Image, faces: Sequence[Face], labels: Sequence[str] | None = None) -> Image:
    """A copy of the photo with boxes, points and labels; sizes follow the photo and the faces.

    Args:
        image: uint8 RGB (H, W, 3).
        faces: as a detector gives them.
        labels: one text per face, ASCII; by default the score.
    """
    canvas = np.ascontiguousarray(image).copy()
    if labels is None:
        labels = [f"{face.score:.2f}" for face in faces]
    line = max(1, round(max(image.shape[:2]) / 400))
    for face, label in zip(faces, labels, strict=True):
        _box(canvas, face, line)
        side = float((face.box[2:] - face.box[:2]).max())
        radius = max(1, round(side / 60))
        colors = POINTS if len(face.landmarks) == len(POINTS) else [POINTS[2]] * len(face.landmarks)
        for (x, y), color in zip(face.landmarks, colors, strict=True):
            centre = round(float(x)), round(float(y))
            cv2.circle(canvas, centre, radius + max(1, radius // 2), EDGE, -1, cv2.LINE_AA)
            cv2.circle(canvas, centre, radius, color, -1, cv2.LINE_AA)
        if label:
            _label(canvas, face, label, line)
    return canvas


def _box(canvas: Image, face: Face, line: int) -> None:
    x0, y0, x1, y1 = (round(float(v)) for v in face.box)
    for color, width in ((EDGE, line + 2), (BOX, line)):
        cv2.rectangle(canvas, (x0, y0), (x1, y1), color, width, cv2.LINE_AA)


def _label(canvas: Image, face: Face, text: str, line: int) -> None:
    scale = float(np.clip((face.box[2] - face.box[0]) / 220, 0.35 * line, 0.6 * line))
    (width, height), base = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, line)
    gap = 2 + line
    # Above the box; inside the photo where there is no room.
    x = int(np.clip(round(float(face.box[0])), 0, max(0, canvas.shape[1] - width - 2 * gap)))
    y = int(np.clip(round(float(face.box[1])) - base - gap, height + gap, canvas.shape[0] - base - 1))
    cv2.rectangle(canvas, (x, y - height - gap), (x + width + 2 * gap, y + base), EDGE, -1)
    cv2.putText(canvas, text, (x + gap, y), cv2.FONT_HERSHEY_SIMPLEX, scale, BOX, line, cv2.LINE_AA)
