"""From photos to faces with embeddings, in one call."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from facezoo.align import align
from facezoo.embedder import Embedder, load_embedder
from facezoo.registry import DETECTORS
from facezoo.sdk.detector import Detector, main_face
from facezoo.types import Contract, Crop, Face, FloatArray, Image

PIXELS_PER_CHUNK = 64_000_000
"""`FaceAnalyzer.many` holds photos of up to so many pixels in all (192 MB), at least one."""


class FaceAnalyzer:
    """Finds the faces of photos, aligns and embeds them. Models are loaded at their first use.

    One analyzer serves several threads.

    Args:
        detector: a registered detector with options (`yunet:score=0.7`), or one that is loaded.
        embedder: what `facezoo.embedder.load_embedder` takes (a zoo name, an `.onnx` or `.safetensors`
            file, a run folder), or one that is loaded.
        chunk: photos that `many` detects in at once.
    """

    def __init__(
        self,
        detector: str | Detector = "yunet",
        embedder: str | Path | Embedder = "dlib-resnet29",
        *,
        chunk: int = 16,
    ) -> None:
        self._detector, self._embedder, self.chunk = detector, embedder, chunk
        self._lock = threading.Lock()

    @property
    def detector(self) -> Detector:
        with self._lock:
            if isinstance(self._detector, str):
                loaded: Detector = DETECTORS.create(self._detector)
                self._detector = loaded
            return self._detector

    @property
    def embedder(self) -> Embedder:
        with self._lock:
            if not isinstance(self._embedder, Embedder):
                self._embedder = load_embedder(self._embedder)
            return self._embedder

    @property
    def contract(self) -> Contract:
        return self.embedder.contract

    def __call__(self, image: Image) -> list[Face]:
        """The faces of one photo with their embeddings, best score first."""
        return next(self.many([image]))

    def many(self, images: Iterable[Image]) -> Iterator[list[Face]]:
        """The faces of each photo, in order; batched over photos and over faces, in bounded memory."""
        for chunk in self._chunks(images):
            found = self.detector.many(chunk)
            crops = (self.crop(image, face) for image, faces in zip(chunk, found, strict=True) for face in faces)
            embeddings = iter(self.embedder(crops))
            for faces in found:
                yield [replace(face, embedding=next(embeddings)) for face in faces]

    def detect(self, image: Image) -> list[Face]:
        """The faces of one photo without embeddings, best score first."""
        return self.detector(image)

    def main(self, image: Image) -> Face | None:
        """The face the photo is of (`facezoo.sdk.main_face`), with its embedding; None without a face."""
        face = main_face(self.detect(image), image.shape[:2])
        return None if face is None else replace(face, embedding=self.embedder([self.crop(image, face)])[0])

    def locate(self, image: Image) -> FloatArray | None:
        """Landmarks (5, 2) of the face the photo is of; None without a face."""
        face = main_face(self.detect(image), image.shape[:2])
        return None if face is None else face.landmarks

    def crop(self, image: Image, face: Face) -> Crop:
        """One face aligned as the embedder's contract asks."""
        return align(image, face.landmarks, self.contract.template, self.contract.input_size)

    def _chunks(self, images: Iterable[Image]) -> Iterator[Sequence[Image]]:
        chunk: list[Image] = []
        pixels = 0
        for image in images:
            size = image.shape[0] * image.shape[1] if image.ndim > 1 else 0
            if chunk and (len(chunk) >= self.chunk or pixels + size > PIXELS_PER_CHUNK):
                yield chunk
                chunk, pixels = [], 0
            chunk.append(image)
            pixels += size
        if chunk:
            yield chunk
