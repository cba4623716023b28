"""Embeddings kept on disk, so that the same model is not run on the same photos twice."""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np

from facezoo import __version__
from facezoo.align import TEMPLATES
from facezoo.evaluation.photos import Locate, Photo
from facezoo.evaluation.run import Benchmark, Embed, Embedded, embed_photos, needs_locate
from facezoo.files import whole_file
from facezoo.types import Contract, InputError


@dataclass(frozen=True)
class Features:
    """A folder with one file for each model and set of photos; give it to `evaluate` as `embeddings_of`.

    A file is found again only by the same version of facezoo, model digest, contract, photos (name, size and time of
    change; pixels or bytes where there is no file), landmarks and, where the detector is asked, its name.

    Args:
        folder: made when the first file is written.
        model: digest of the weights: a contract may not carry one.
        detector: spec of the detector behind `locate`.
    """

    folder: Path
    model: str
    detector: str = ""

    def __call__(self, benchmark: Benchmark, embed: Embed, locate: Locate | None = None) -> Embedded:
        path = self.folder / f"{self._key(benchmark, embed.contract)}.npz"
        if path.is_file():
            return self._read(path, len(benchmark.photos))
        found = embed_photos(benchmark, embed, locate)
        with whole_file(path) as temporary, temporary.open("wb") as file:
            np.savez(file, embeddings=found.embeddings, failed=found.failed, resized=np.array(found.resized))
        return found

    def _key(self, benchmark: Benchmark, contract: Contract) -> str:
        detector = self.detector if needs_locate(benchmark) else ""
        template = TEMPLATES.get(contract.template)
        digest = sha256(
            json.dumps([__version__, self.model, contract.to_json(), str(template), benchmark.aligned]).encode()
        )
        digest.update(detector.encode())
        for photo in benchmark.photos:
            digest.update(_identity(photo))
        return digest.hexdigest()[:32]

    @staticmethod
    def _read(path: Path, photos: int) -> Embedded:
        try:
            with np.load(path, allow_pickle=False) as stored:
                embeddings, failed, resized = stored["embeddings"], stored["failed"], int(stored["resized"])
        except (ValueError, KeyError, OSError, zipfile.BadZipFile) as error:
            raise InputError(f"{path}: not a readable feature file ({error}); remove it") from None
        if embeddings.ndim != 2 or len(embeddings) != photos or failed.shape != (photos,):
            raise InputError(f"{path}: not the features of {photos} photos; remove it")
        return Embedded(embeddings, failed, resized)


def _identity(photo: Photo) -> bytes:
    """Tells one photo and its landmarks from any other; of a file its contents are not read."""
    if isinstance(photo.source, Path):
        about = photo.source.stat()
        source: list[object] = [about.st_size, about.st_mtime_ns]
    else:
        pixels = photo.source if isinstance(photo.source, bytes) else np.ascontiguousarray(photo.source).tobytes()
        source = [sha256(pixels).hexdigest()]
    points = None if photo.landmarks is None else np.asarray(photo.landmarks, np.float64).tolist()
    return json.dumps([photo.name, *source, points, photo.mirrored, photo.zoom]).encode() + b"\n"
