"""The SDK on LFW: accuracy of pairs, the threshold of its contract, and photos per second from file to embedding.

    python benchmarks/sdk.py LFW_FOLDER [--photos 500] [--model dlib-resnet29] [--detector yunet] [--all]

LFW_FOLDER holds `pairs.txt` and the photos. With --all every photo that the pairs name is embedded, and the cosine
that lets through one of a thousand impostor pairs is measured over all pairs of photos of different people.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import numpy as np

from facezoo.image import read_image
from facezoo.sdk import FaceAnalyzer, main_face
from facezoo.types import FloatArray, unit


def read_pairs(root: Path) -> tuple[list[Path], FloatArray, FloatArray, FloatArray]:
    """Photos, and for each pair the two positions in them and whether they show one person."""
    pairs = []
    for line in (root / "pairs.txt").read_text().splitlines()[1:]:
        words = line.split()
        if len(words) == 3:
            pairs.append((photo(root, words[0], words[1]), photo(root, words[0], words[2]), True))
        elif len(words) == 4:
            pairs.append((photo(root, words[0], words[1]), photo(root, words[2], words[3]), False))
    paths = sorted({path for left, right, _ in pairs for path in (left, right)})
    position = {path: i for i, path in enumerate(paths)}
    left, right = (np.array([position[pair[side]] for pair in pairs]) for side in (0, 1))
    return paths, left, right, np.array([pair[2] for pair in pairs])


def photo(root: Path, person: str, number: str) -> Path:
    return root / person / f"{person}_{int(number):04d}.jpg"


def embed(analyzer: FaceAnalyzer, paths: list[Path]) -> FloatArray:
    """The embedding of each photo's main face, (N, D)."""
    analyzer.embedder, analyzer.detector  # noqa: B018 - loading is not measured
    rows = []
    wall, cpu = time.perf_counter(), time.process_time()
    images = (read_image(path) for path in paths)
    for path, faces in zip(paths, analyzer.many(images), strict=True):
        face = main_face(faces, (250, 250))
        if face is None or face.embedding is None:
            raise SystemExit(f"{path}: no face found")
        rows.append(face.embedding)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    count = len(paths)
    print(
        f"{count} photos, {os.cpu_count()} cores: {count / wall:.1f} photos/s, {1e3 * cpu / count:.1f} ms CPU a photo"
    )
    return np.stack(rows)


def impostor_threshold(embeddings: FloatArray, people: FloatArray, rate: float) -> tuple[float, int]:
    """The cosine above which lies the share `rate` of all pairs of different people, and their number."""
    rows, columns = np.triu_indices(len(people), 1)
    different = people[rows] != people[columns]
    unit_rows = unit(embeddings)
    scores = (unit_rows @ unit_rows.T)[rows[different], columns[different]]
    allowed = int(rate * len(scores))
    return float(np.partition(scores, -allowed - 1)[-allowed - 1]), len(scores)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path)
    parser.add_argument("--photos", type=int, default=500)
    parser.add_argument("--model", default="dlib-resnet29")
    parser.add_argument("--detector", default="yunet")
    parser.add_argument("--all", action="store_true")
    given = parser.parse_args()
    paths, left, right, same = read_pairs(given.root)
    analyzer = FaceAnalyzer(given.detector, given.model)
    if not given.all:
        embed(analyzer, paths[: given.photos])
        return
    embeddings = embed(analyzer, paths)
    people = np.array([path.parent.name for path in paths])
    scores = (unit(embeddings)[left] * unit(embeddings)[right]).sum(axis=1)
    best = max(np.unique(scores), key=lambda threshold: ((scores >= threshold) == same).mean())
    print(f"{len(same)} pairs, best accuracy {((scores >= best) == same).mean():.4f} at cosine {best:.4f}")
    for rate in (1e-2, 1e-3, 1e-4):
        threshold, count = impostor_threshold(embeddings, people, rate)
        missed = (scores[same] < threshold).mean()
        right_share = ((scores >= threshold) == same).mean()
        print(
            f"FMR {rate:g} over {count:,} impostor pairs: cosine {threshold:.4f}, FNMR {missed:.4f}, "
            f"accuracy {right_share:.4f}"
        )
    # The author's threshold is a Euclidean distance of .6 between embeddings that are not normalised.
    passes = 2 if analyzer.contract.flip else 1
    distance = np.linalg.norm(embeddings[left] - embeddings[right], axis=1) / passes
    print(f"Euclidean distance 0.6, not normalised: accuracy {((distance < 0.6) == same).mean():.4f}")


if __name__ == "__main__":
    main()
