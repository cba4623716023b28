"""What a benchmark was made of, as digests: two reports with the same ones were taken on the same data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from facezoo.evaluation.photos import Photo

DIGITS = 16
"""Hexadecimal digits shown."""


def photos_digest(photos: Any) -> str:
    """Of names, sizes and landmarks of the photos, in their order; of pixels in memory and packs the contents."""
    digest = sha256()
    for photo in photos:
        digest.update(json.dumps([photo.name, _size(photo), _points(photo), photo.mirrored]).encode() + b"\n")
    return digest.hexdigest()[:DIGITS]


def _size(photo: Photo) -> str | int | None:
    if isinstance(photo.source, Path):
        # Kept features are scored where their photos may be gone.
        return photo.source.stat().st_size if photo.source.is_file() else None
    contents = photo.source if isinstance(photo.source, bytes) else np.ascontiguousarray(photo.read()).tobytes()
    return sha256(contents).hexdigest()


def _points(photo: Photo) -> list[list[float]] | None:
    return None if photo.landmarks is None else np.asarray(photo.landmarks, np.float64).tolist()


def list_digest(benchmark: Any) -> str:
    """Of everything else that is listed: pairs, folds, identities, galleries, templates, those of groups too."""
    digest = sha256()
    _update(digest, benchmark)
    return digest.hexdigest()[:DIGITS]


def _update(digest: Any, value: Any) -> None:
    """Takes arrays in, also those in tuples; options are told in words by the report itself."""
    if isinstance(value, np.ndarray):
        kind = np.float64 if value.dtype.kind == "f" else np.int64
        digest.update(f"{value.shape}".encode())
        digest.update(np.ascontiguousarray(value, kind).tobytes())
    elif isinstance(value, Mapping):
        for name, part in value.items():
            digest.update(str(name).encode())
            _update(digest, part)
    elif isinstance(value, (tuple, list)):
        for part in value:
            _update(digest, part)
    elif is_dataclass(value):
        for field in fields(value):
            if field.name not in ("photos", "parts", "notes"):
                _update(digest, getattr(value, field.name))
