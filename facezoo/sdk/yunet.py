"""YuNet, a small and fast face detector: https://doi.org/10.1007/s11633-023-1423-y, in onnxruntime."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from facezoo import zoo
from facezoo.embedder import open_onnx
from facezoo.registry import DETECTORS
from facezoo.sdk.detector import Detector, check_image, iou, suppress
from facezoo.types import Face, FloatArray, Image, InputError

STRIDES = (8, 16, 32)

CANDIDATES = 5000
"""At most so many boxes, the best by score, go into non-maximum suppression."""

CLOSE_UP_SIDE, COARSE_SIDE = 320, 224
"""Images with a side above the first number are also searched in a copy with the second.

The network sees faces of about 10 to 400 pixels: of 64 photos cropped to the face it misses 21 when they are
1280 pixels wide, and reports parts of the face in others; of copies of 224 pixels it misses none.
"""

LARGEST_FACE = 400
"""Where there is a second pass, larger boxes of the first (pixels of the searched copy) are parts of faces."""

VOTERS_OVERLAP = 0.5
"""Candidates whose intersection over union with a kept box is at least this describe the same face."""

PIXELS_PER_PASS = 2_000_000
"""Images of one size are batched up to this many pixels, about half a gigabyte of activations."""


@DETECTORS.register(name="yunet")
class YuNet(Detector):
    """Boxes and five points; trained on WIDER FACE.

    Args:
        score: faces below it are dropped.
        nms: of two boxes whose intersection over union is larger, the better one stays.
        max_side: images with a longer side are scaled down to it first; faces that are then
            smaller than about 10 pixels are missed. Raise it for crowds.
        close_ups: look a second time, at a small scale, for faces that fill a large photo.
        voting: box and landmarks are the mean, weighted by squared score, of all candidates that overlap
            the kept one by half (https://arxiv.org/abs/1505.01749); it steadies the landmarks.
        threads: of onnxruntime; 0 lets it choose.
    """

    def __init__(
        self,
        score: float = 0.6,
        nms: float = 0.3,
        max_side: int = 1280,
        close_ups: bool = True,
        voting: bool = True,
        threads: int = 0,
    ) -> None:
        if not 0 < score <= 1 or not 0 <= nms <= 1:
            raise InputError(f"yunet: score is {score} and nms is {nms}; both must lie between 0 and 1")
        if max_side < STRIDES[-1]:
            raise InputError(f"yunet: max_side is {max_side}; it must be at least {STRIDES[-1]} pixels")
        self.score, self.nms, self.max_side, self.close_ups, self.voting = score, nms, max_side, close_ups, voting
        path = zoo.derived("yunet-dynamic-1.onnx", lambda path: free_sizes(zoo.get("yunet"), path))
        self._session = open_onnx(path, threads)
        self._outputs = [f"{kind}_{stride}" for stride in STRIDES for kind in ("cls", "obj", "bbox", "kps")]

    @property
    def spec(self) -> str:
        options = ("score", "nms", "max_side", "close_ups", "voting")
        return "yunet:" + ",".join(f"{option}={getattr(self, option)}" for option in options)

    def many(self, images: Sequence[Image]) -> list[list[Face]]:
        for image in images:
            check_image(image)
        found = self._look(images, self.max_side)
        if self.close_ups and self.max_side > CLOSE_UP_SIDE:
            large = [index for index, image in enumerate(images) if max(image.shape[:2]) > CLOSE_UP_SIDE]
            coarse = self._look([images[index] for index in large], COARSE_SIDE)
            for index, faces in zip(large, coarse, strict=True):
                limit = LARGEST_FACE * max(1.0, max(images[index].shape[:2]) / self.max_side)
                found[index] = _join(found[index], faces, limit, self.nms)
        return found

    def _look(self, images: Sequence[Image], max_side: int) -> list[list[Face]]:
        """The faces seen when no side is longer than `max_side`."""
        found: list[list[Face]] = [[] for _ in images]
        groups: dict[tuple[int, int], list[int]] = {}
        for index, image in enumerate(images):
            if image.size:
                groups.setdefault(_fitted(image, max_side), []).append(index)
        for (height, width), members in groups.items():
            step = max(1, PIXELS_PER_PASS // (_padded(height) * _padded(width)))
            for start in range(0, len(members), step):
                part = members[start : start + step]
                scaled = [_scale(images[index], height, width) for index in part]
                for index, faces in zip(part, self._detect(scaled), strict=True):
                    ratio = np.array([images[index].shape[1] / width, images[index].shape[0] / height])
                    found[index] = [_face(*row, ratio) for row in faces]
        return found

    def _detect(self, images: list[Image]) -> list[list[tuple[FloatArray, float, FloatArray]]]:
        """(box, score, landmarks) for images of one size, in their pixels."""
        height, width = images[0].shape[:2]
        batch = np.zeros((len(images), 3, _padded(height), _padded(width)), np.float32)
        for row, image in zip(batch, images, strict=True):
            row[:, :height, :width] = image[..., ::-1].transpose(2, 0, 1)  # the network was trained on BGR
        outputs = dict(zip(self._outputs, self._session.run(self._outputs, {"input": batch}), strict=True))
        boxes, scores, landmarks = decode(outputs, batch.shape[2:])
        return [self._best(boxes[i], scores[i], landmarks[i]) for i in range(len(images))]

    def _best(
        self, boxes: FloatArray, scores: FloatArray, landmarks: FloatArray
    ) -> list[tuple[FloatArray, float, FloatArray]]:
        likely = np.flatnonzero(scores >= self.score)
        likely = likely[np.argsort(-scores[likely], kind="stable")[:CANDIDATES]]
        boxes, scores, landmarks = boxes[likely], scores[likely], landmarks[likely]
        faces = []
        for i in suppress(boxes, scores, self.nms):
            voters = np.flatnonzero(iou(boxes[i], boxes) >= VOTERS_OVERLAP) if self.voting else np.array([i])
            weights = scores[voters] ** 2 / (scores[voters] ** 2).sum()
            box, points = weights @ boxes[voters], np.tensordot(weights, landmarks[voters], axes=1)
            faces.append((box, float(scores[i]), points))
        return faces


def decode(outputs: dict[str, FloatArray], size: tuple[int, ...]) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Boxes (B, N, 4) xyxy, scores (B, N) and landmarks (B, N, 5, 2) of all cells, in pixels of the padded input.

    Args:
        outputs: cls, obj (B, n, 1), bbox (B, n, 4) and kps (B, n, 10) for each stride.
        size: height and width of the padded input.
    """
    boxes, scores, landmarks = [], [], []
    for stride in STRIDES:
        columns, rows = np.meshgrid(np.arange(size[1] // stride), np.arange(size[0] // stride))
        cells = np.stack([columns, rows], axis=-1).reshape(-1, 2).astype(np.float32)
        shift, log_side = np.split(outputs[f"bbox_{stride}"], 2, axis=-1)
        centre, side = (cells + shift) * stride, np.exp(log_side) * stride
        boxes.append(np.concatenate([centre - side / 2, centre + side / 2], axis=-1))
        sure = np.clip(outputs[f"cls_{stride}"], 0, 1) * np.clip(outputs[f"obj_{stride}"], 0, 1)
        scores.append(np.sqrt(sure[..., 0]))
        points = outputs[f"kps_{stride}"]
        landmarks.append((points.reshape(*points.shape[:2], 5, 2) + cells[:, None]) * stride)
    return np.concatenate(boxes, axis=1), np.concatenate(scores, axis=1), np.concatenate(landmarks, axis=1)


def free_sizes(source: Path, target: Path) -> None:
    """Rewrite the published file, fixed to one image of 640 x 640, for any batch and any multiples of 32."""
    import onnx
    from onnx import numpy_helper

    model = onnx.load(str(source))
    graph = model.graph
    shapes = {node.input[1] for node in graph.node if node.op_type == "Reshape"}
    for tensor in graph.initializer:
        if tensor.name in shapes:
            wanted = numpy_helper.to_array(tensor).copy()
            wanted[0] = 0  # "as it comes" instead of one image
            tensor.CopyFrom(numpy_helper.from_array(wanted, tensor.name))
    for value, names in [(graph.input[0], {0: "batch", 2: "height", 3: "width"})] + [
        (output, {0: "batch", 1: f"cells_{output.name}"}) for output in graph.output
    ]:
        for axis, name in names.items():
            value.type.tensor_type.shape.dim[axis].dim_param = name
    del graph.value_info[:]
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(target))


def _fitted(image: Image, max_side: int) -> tuple[int, int]:
    """Height and width, scaled down so that no side is longer than `max_side`."""
    height, width = image.shape[:2]
    ratio = min(1.0, max_side / max(height, width))
    return max(1, round(height * ratio)), max(1, round(width * ratio))


def _join(fine: list[Face], coarse: list[Face], limit: float, overlap: float) -> list[Face]:
    """The faces of the fine pass up to `limit` pixels, and those that only the coarse pass saw."""
    fine = [face for face in fine if (face.box[2:] - face.box[:2]).max() <= limit]
    boxes = np.array([face.box for face in fine]).reshape(-1, 4)
    missed = [face for face in coarse if not (iou(face.box, boxes) > overlap).any()]
    return sorted(fine + missed, key=lambda face: -face.score)


def _padded(side: int) -> int:
    return -(-side // STRIDES[-1]) * STRIDES[-1]


def _scale(image: Image, height: int, width: int) -> Image:
    if image.shape[:2] == (height, width):
        return image
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def _face(box: FloatArray, score: float, landmarks: FloatArray, ratio: FloatArray) -> Face:
    return Face(box * np.tile(ratio, 2), score, landmarks * ratio)
