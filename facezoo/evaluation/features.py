"""Embeddings kept on disk, so that the same model is not run on the same photos twice."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import numpy as np

from facezoo import __version__
from facezoo.align import TEMPLATES
from facezoo.evaluation.feature_file import (
    DONE,
    NO_FACE,
    PENDING,
    UNREADABLE,
    FeatureFile,
    FeatureWriter,
    Header,
    begin,
    is_features,
    names_digest,
)
from facezoo.evaluation.photos import Locate, Photo
from facezoo.evaluation.run import Benchmark, Embed, Embedded, alignment_words, embed_photos, needs_locate
from facezoo.types import Contract, Crop, FloatArray, InputError


@dataclass(frozen=True)
class Features:
    """A folder with one folder of features for each model and set of photos; give it to `evaluate` as `embeddings_of`.

    They are found again only by the same version of facezoo, model digest, contract, photos (name, size and time of
    change; pixels or bytes where there is no file), landmarks and, where the detector is asked, its name.

    Args:
        folder: made when the first ones are written.
        model: digest of the weights: a contract may not carry one.
        detector: spec of the detector behind `locate`.
    """

    folder: Path
    model: str
    detector: str = ""

    def __call__(self, benchmark: Benchmark, embed: Embed, locate: Locate | None = None) -> Embedded:
        path = self.folder / self._key(benchmark, embed.contract)
        if is_features(path) and (kept := FeatureFile(path)).complete:
            unreadable = np.flatnonzero(kept.state == UNREADABLE)
            return Embedded(kept.embeddings, kept.failed, kept.header.resized, unreadable=unreadable)
        found = embed_photos(benchmark, embed, locate)
        names = [photo.name for photo in benchmark.photos]
        header = Header(
            len(names),
            replace(embed.contract, embedding_dim=found.embeddings.shape[1]),
            self.model,
            names_digest(names),
            alignment_words(benchmark, embed.contract),
            resized=found.resized,
        )
        begin(path, header, names)
        state = np.where(found.failed, NO_FACE, DONE).astype(np.uint8)
        state[found.unreadable] = UNREADABLE
        FeatureWriter(path).write(0, found.embeddings, state)
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


def _identity(photo: Photo) -> bytes:
    """Tells one photo and its landmarks from any other; of a file its contents are not read."""
    if isinstance(photo.source, Path):
        about = photo.source.stat()
        source: list[object] = [about.st_size, about.st_mtime_ns]
    else:
        pixels = photo.source if isinstance(photo.source, bytes) else np.ascontiguousarray(photo.read()).tobytes()
        source = [sha256(pixels).hexdigest()]
    points = None if photo.landmarks is None else np.asarray(photo.landmarks, np.float64).tolist()
    return json.dumps([photo.name, *source, points, photo.mirrored, photo.zoom]).encode() + b"\n"


@dataclass(frozen=True)
class Stored:
    """Embeddings that were extracted before, in the place of a model: no model and no torch is needed.

    Give it to `evaluate` as `embed`, and its `embedded` as `embeddings_of`.

    Attributes:
        file: the folder of `facezoo extract`.
        contract: of the model; its flip says whether both halves are added.
    """

    file: FeatureFile
    contract: Contract

    @classmethod
    def open(cls, folder: Path, flip: bool | None = None) -> Stored:
        """Open a folder; `flip` replaces the contract's where both halves are there.

        Raises:
            InputError: not such a folder, the extraction has not ended, or a flip that is not there.
        """
        file = FeatureFile(folder)
        if not file.complete:
            pending = int((file.state == PENDING).sum())
            raise InputError(f"{folder}: {pending:,} photos are not extracted yet; start the same extraction again")
        contract = file.header.contract
        if flip is not None and flip != contract.flip and not file.header.halves:
            raise InputError(
                f"{folder}: was extracted {'without' if flip else 'with'} flip; only --halves leave the choice"
            )
        return cls(file, contract if flip is None else replace(contract, flip=flip))

    def __call__(self, crops: Iterable[Crop]) -> FloatArray:
        raise InputError(f"{self.file.folder}: are embeddings, which no crop can be given to")

    def embedded(self, benchmark: Benchmark, _embed: Embed | None = None, _locate: Locate | None = None) -> Embedded:
        """The rows of a benchmark's photos, found by their names.

        Raises:
            InputError: photos are missing, or the benchmark takes photos and mirror images apart and these are not.
        """
        file, header = self.file, self.file.header
        names = [photo.name for photo in benchmark.photos if not photo.mirrored]
        at = file.rows_of(names)
        if len(names) == len(benchmark.photos):
            rows = file.rows(at, self.contract.flip)
        elif header.halves:
            rows = file.rows(at, None)
        else:
            raise InputError(f"{benchmark.name}: takes photos and mirror images apart; extract them with --halves")
        words = {
            "alignment": header.alignment,
            "embeddings": f"read from {file.folder.name}, extracted by facezoo {header.version} as {header.dtype}",
        }
        unreadable = np.flatnonzero(file.state[at] == UNREADABLE)
        return Embedded(rows, file.failed[at], header.resized, words=words, unreadable=unreadable)
