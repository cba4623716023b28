"""From a photo to the meshes of its faces: by the network, or fitted to landmarks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np

from facezoo.align import similarity, template_points
from facezoo.mask.fit import FIVE, fit_mesh
from facezoo.mask.pose import can_be_drawn_on
from facezoo.registry import DETECTORS, LANDMARKS
from facezoo.types import FloatArray, Image, InputError

BOX_MIDDLE, BOX_SIDE = np.array([56.0, 67.0]), 90.0
"""The square around a face as detectors draw it, on a crop of the ArcFace template of 112 pixels."""

VERTICES = 468

SMALLEST = 4
"""Pixels a side of images in which faces are looked for."""


@dataclass(frozen=True)
class Finder:
    """Finds the meshes of all faces in a photo; models are loaded at the first photo, once in a process.

    Attributes:
        aligned: template of photos that are crops of one face; None looks for faces.
        mesh: network, or landmarks: the mean face fitted to five points, without a network.
        detector: spec of `DETECTORS`.
        model: spec of `LANDMARKS`.
        least: the network is at least so sure of a face, 0..1; of a crop, whose face is known, else the fit is taken.
    """

    aligned: str | None = None
    mesh: Literal["network", "landmarks"] = "network"
    detector: str = "yunet:threads=1"
    model: str = "face-mesh:threads=1"
    least: float = 0.5

    def __post_init__(self) -> None:
        if self.mesh not in ("network", "landmarks"):
            raise InputError(f"mesh is {self.mesh!r}; it must be network or landmarks")
        if self.aligned is not None:
            template_points(self.aligned, (112, 112))

    def __call__(self, image: Image) -> FloatArray:
        """Meshes (K, 468, 3) float32, pixels; the largest face first, none without a face that can be drawn on."""
        if min(image.shape[:2]) < SMALLEST:
            return np.empty((0, VERTICES, 3), np.float32)
        meshes = self._found(image)
        return meshes[[can_be_drawn_on(mesh) for mesh in meshes]]

    def _found(self, image: Image) -> FloatArray:
        if self.aligned is not None:
            return self.around(image, template_points(self.aligned, image.shape[:2])[None], known=True)
        faces = sorted(_detector(self.detector)(image), key=lambda face: -face.area)
        return self.around(image, np.array([face.landmarks for face in faces]).reshape(-1, 5, 2))

    def around(self, image: Image, landmarks: FloatArray, known: bool = False) -> FloatArray:
        """Meshes (K, 468, 3) of the faces whose landmarks (N, 5, 2) are given; of those that are known, K is N."""
        if not len(landmarks):
            return np.empty((0, VERTICES, 3), np.float32)
        if self.mesh == "landmarks":
            return np.stack([_fitted(points) for points in landmarks])
        meshes, presence = _model(self.model).scored(image, _boxes(landmarks), landmarks)
        if known:
            for place in np.flatnonzero(presence < self.least):
                meshes[place] = _fitted(landmarks[place])
            return meshes
        return meshes[presence >= self.least]


def five_points(mesh: FloatArray) -> FloatArray:
    """The landmarks (5, 2) of a mesh (468, 3)."""
    return np.stack([mesh[list(vertices), :2].mean(axis=0) for vertices in FIVE])


def _boxes(landmarks: FloatArray) -> FloatArray:
    """(N, 4) squares around faces of landmarks (N, 5, 2)."""
    place = similarity(np.broadcast_to(template_points("arcface", (112, 112)), landmarks.shape), landmarks)
    middle = place[..., :2] @ BOX_MIDDLE + place[..., 2]
    half = BOX_SIDE / 2 * np.hypot(place[..., 0, 0], place[..., 1, 0])[:, None]
    return np.concatenate([middle - half, middle + half], axis=1)


def _fitted(landmarks: FloatArray) -> FloatArray:
    return _fit(tuple(np.asarray(landmarks, float).ravel().tolist()))


@lru_cache(maxsize=64)
def _fit(values: tuple[float, ...]) -> FloatArray:
    return fit_mesh(np.array(values).reshape(-1, 2))


@lru_cache(maxsize=2)
def _detector(spec: str) -> Any:
    return DETECTORS.create(spec)


@lru_cache(maxsize=2)
def _model(spec: str) -> Any:
    return LANDMARKS.create(spec)
