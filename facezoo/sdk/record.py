"""Faces as JSON values and as one file of arrays."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from facezoo.files import whole_file
from facezoo.types import Contract, Face


def face_values(face: Face) -> dict[str, Any]:
    """Box, score and landmarks as JSON values, pixels to the hundredth."""
    return {
        "box": [round(float(v), 2) for v in face.box],
        "score": round(float(face.score), 4),
        "landmarks": [[round(float(v), 2) for v in point] for point in face.landmarks],
    }


def write_faces(out: Path, found: Iterable[tuple[str, list[Face]]], contract: Contract) -> int:
    """Write the embedded faces of photos as an `.npz` file, one row per face; returns the number of rows.

    Arrays: image (N,), box (N, 4), score (N,), landmarks (N, K, 2), embedding (N, D) float32, not normalised, and
    contract, the JSON text of what the embeddings were made with. Read it with `numpy.load(path)`.
    """
    rows = [(name, face) for name, faces in found for face in faces]
    embeddings = [face.embedding for _, face in rows]
    if any(embedding is None for embedding in embeddings):
        raise ValueError("write_faces: a face has no embedding")
    with whole_file(out) as temporary:
        np.savez_compressed(
            temporary,
            image=np.array([name for name, _ in rows], dtype=np.str_),
            box=np.array([face.box for _, face in rows], np.float32).reshape(-1, 4),
            score=np.array([face.score for _, face in rows], np.float32),
            landmarks=np.array([face.landmarks for _, face in rows], np.float32).reshape(len(rows), -1, 2)
            if rows
            else np.empty((0, 5, 2), np.float32),
            embedding=np.array(embeddings, np.float32).reshape(-1, contract.embedding_dim),
            contract=np.array(contract.to_json()),
        )
    return len(rows)
