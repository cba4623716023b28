"""Scoring at the size of the large benchmarks, beside the reference algorithms re-stated in plain numpy.

    python benchmarks/evaluation.py [WORKLOAD...] [--threads 2] [--folder DIR]

Random features are written to a folder once (1 GB for ijb, 2 GB for megaface) and mapped into memory. Every measurement
runs in a process of its own: wall time, process time of all threads, and peak memory, mapped pages included.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

DIM = 512
IJB_PHOTOS, IJB_TEMPLATES, IJB_GALLERY, IJB_PAIRS, IJB_GENUINE = 469_375, 23_124, 3_531, 15_658_489, 19_557
PROBES, PEOPLE, DISTRACTORS, RANKS = 3_530, 80, 1_000_000, 10
REFERENCE_DISTRACTORS = 20_000
"""The reference holds two matrices of probes x distractors: 28 GB at a million."""
CROWD, CROWD_PHOTOS, CROWD_REFERENCE = 50_000, 10, 8_000


def random_features(path, rows, seed=0):
    """A file of unit vectors (rows, 512) float32, written in blocks."""
    if path.is_file():
        return
    generator = np.random.default_rng(seed)
    features = np.lib.format.open_memmap(path.with_suffix(".part"), "w+", np.float32, (rows, DIM))
    for start in range(0, rows, 1 << 14):
        block = generator.standard_normal(features[start : start + (1 << 14)].shape, np.float32)
        features[start : start + len(block)] = block / np.linalg.norm(block, axis=1, keepdims=True)
    features.flush()
    path.with_suffix(".part").rename(path)


def prepare_ijb(folder):
    """Features, and the lists of IJB-C's size: pairs of 3,531 gallery templates with 19,593 others, and any pairs."""
    random_features(folder / "ijb.npy", IJB_PHOTOS)
    generator = np.random.default_rng(1)
    template = np.sort(
        np.append(np.arange(IJB_TEMPLATES), generator.integers(0, IJB_TEMPLATES, IJB_PHOTOS - IJB_TEMPLATES))
    )
    pairs = generator.choice(IJB_GALLERY * (IJB_TEMPLATES - IJB_GALLERY), IJB_PAIRS, replace=False)
    left, right = np.divmod(pairs, IJB_TEMPLATES - IJB_GALLERY)
    first = generator.integers(IJB_TEMPLATES, size=IJB_PAIRS)
    other = generator.integers(1, IJB_TEMPLATES, IJB_PAIRS)  # never the same template
    np.savez(
        folder / "ijb_lists.npz",
        template=template,
        media=np.arange(IJB_PHOTOS) // 3,
        detector=generator.random(IJB_PHOTOS),
        protocol=np.stack([left, right + IJB_GALLERY]).astype(np.int32),
        random=np.stack([first, (first + other) % IJB_TEMPLATES]).astype(np.int32),
        same=generator.permutation(IJB_PAIRS) < IJB_GENUINE,
    )


def ijb_ours(folder, pairs="protocol"):
    """The whole report: aggregation, scores, every metric, curves, 1,000 resamples."""
    from facezoo.evaluation.ijb import IJB

    lists = np.load(folder / "ijb_lists.npz")
    left, right = lists[pairs]
    parts = np.arange(IJB_PHOTOS), lists["template"], lists["media"], lists["detector"], (left, right, lists["same"])
    benchmark = IJB("random", [], *parts)
    features = np.load(folder / "ijb.npy", mmap_mode="r")
    return timed(lambda: benchmark.score(features))


def ijb_ours_random(folder):
    return ijb_ours(folder, "random")


def ijb_reference(folder):
    """A loop over templates and their media, batches of gathered pairs, one cumulated sort for the ROC."""
    lists = np.load(folder / "ijb_lists.npz")
    template, media, detector, same = (lists[name] for name in ("template", "media", "detector", "same"))
    left, right = lists["protocol"]

    def work():
        features = np.load(folder / "ijb.npy") * detector[:, None].astype(np.float32)
        vectors = np.zeros((IJB_TEMPLATES, DIM))
        for row, ident in enumerate(np.unique(template)):
            (rows,) = np.where(template == ident)
            for medium, count in zip(*np.unique(media[rows], return_counts=True)):
                (of_medium,) = np.where(media[rows] == medium)
                theirs = features[rows[of_medium]]
                vectors[row] += theirs[0] if count == 1 else theirs.mean(axis=0)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        scores = np.zeros(IJB_PAIRS)
        for start in range(0, IJB_PAIRS, 100_000):
            part = slice(start, start + 100_000)
            scores[part] = np.sum(vectors[left[part]] * vectors[right[part]], axis=-1)
        order = np.argsort(scores)[::-1]
        true, false = np.cumsum(same[order]), np.cumsum(~same[order])
        for far in (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1):
            nearest = np.argmin(np.abs(false / false[-1] - far))
            _ = true[nearest] / true[-1]

    return timed(work)


def prepare_megaface(folder):
    random_features(folder / "megaface.npy", PROBES + DISTRACTORS, 2)


def megaface_ours(folder):
    """The whole report: ranks 1 to 10, six sizes of the distractor set, 1,000 resamples."""
    from facezoo.evaluation.megaface import MegaFace

    benchmark = MegaFace("random", [], np.arange(PROBES) % PEOPLE, DISTRACTORS)
    features = np.load(folder / "megaface.npy", mmap_mode="r")
    return timed(lambda: benchmark.score(features))


def megaface_product(folder):
    """The matrix product alone, in the same blocks."""
    from facezoo.evaluation.vectors import BLOCK

    features = np.load(folder / "megaface.npy", mmap_mode="r")
    probes = np.array(features[:PROBES])
    scores = np.empty((PROBES, BLOCK), np.float32)

    def work():
        for start in range(PROBES, PROBES + DISTRACTORS, BLOCK):
            block = features[start : start + BLOCK]
            np.matmul(probes, block.T, out=scores[:, : len(block)])

    return timed(work)


def megaface_reference(folder):
    """The whole score matrix, partitioned anew for each rank; a loop over the pairs of a person. Fewer distractors."""
    features = np.load(folder / "megaface.npy", mmap_mode="r")
    identity = np.arange(PROBES) % PEOPLE

    def work():
        probes = np.array(features[:PROBES])
        scores = probes @ features[PROBES : PROBES + REFERENCE_DISTRACTORS].T
        mates = probes @ probes.T
        for rank in range(1, RANKS + 1):
            border = np.partition(scores, -rank, axis=1)[:, -rank]
            hits = [
                mates[i, j] >= border[j]
                for person in range(PEOPLE)
                for i in np.flatnonzero(identity == person)
                for j in np.flatnonzero(identity == person)
                if i != j
            ]
            _ = np.mean(hits)

    return timed(work)


def prepare_all_pairs(folder):
    random_features(folder / "all_pairs.npy", CROWD, 3)


def all_pairs_ours(folder):
    """Counts of all pairs, exact at seven FARs, and the table that all metrics are taken from."""
    from facezoo.evaluation.all_pairs import FARS
    from facezoo.evaluation.pair_counting import count_pairs

    features = np.load(folder / "all_pairs.npy", mmap_mode="r")
    identity = np.arange(CROWD) // CROWD_PHOTOS
    return timed(lambda: count_pairs(features, identity).settled(features, FARS).tally())


def all_pairs_product(folder):
    """The upper triangle of the matrix product alone, in strips of 1,024 rows."""
    features = np.load(folder / "all_pairs.npy")

    def work():
        for start in range(0, CROWD, 1024):
            np.matmul(features[start : start + 1024], features[start:].T)

    return timed(work)


def all_pairs_reference(folder):
    """Every score is kept and sorted: fewer photos, for 50,000 would take 10 GB and 20 GB more to sort."""
    features = np.load(folder / "all_pairs.npy")[:CROWD_REFERENCE]
    identity = np.arange(CROWD_REFERENCE) // CROWD_PHOTOS

    def work():
        scores = (features @ features.T)[np.triu_indices(CROWD_REFERENCE, 1)]
        same = (identity[:, None] == identity)[np.triu_indices(CROWD_REFERENCE, 1)]
        impostor, genuine = np.sort(scores[~same]), np.sort(scores[same])
        for far in (1e-2, 1e-3, 1e-4, 1e-5, 1e-6):
            threshold = impostor[-1 - int(far * len(impostor))]
            _ = 1 - np.searchsorted(genuine, threshold, side="right") / len(genuine)

    return timed(work)


def prepare_tenfold(folder):
    pass


def _tenfold_pairs():
    generator = np.random.default_rng(0)
    same = np.arange(6000) % 600 < 300
    return np.clip(generator.normal(np.where(same, 0.6, 0.0), 0.2), -1, 1), same


def tenfold_ours(folder):
    from facezoo.evaluation import fold_accuracy

    scores, same = _tenfold_pairs()
    return timed(lambda: fold_accuracy(scores, same), repeats=5)


def tenfold_reference(folder):
    """insightface: 400 distances, tried one by one on the training pairs of each fold."""
    scores, same = _tenfold_pairs()
    distance = 2 - 2 * scores

    def work():
        for fold in range(10):
            test = np.arange(6000) // 600 == fold
            training = [np.mean((distance[~test] < t) == same[~test]) for t in np.arange(0, 4, 0.01)]
            _ = np.mean((distance[test] < np.arange(0, 4, 0.01)[np.argmax(training)]) == same[test])

    return timed(work, repeats=5)


WORKLOADS = {
    "ijb": (
        "IJB-C 1:1: 469,375 x 512 features, 23,124 templates, 15,658,489 pairs",
        ("ijb_ours", "ijb_ours_random", "ijb_reference"),
    ),
    "megaface": (
        f"MegaFace: 3,530 probes, 1,000,000 distractors (reference: time for {REFERENCE_DISTRACTORS:,}, scaled up)",
        ("megaface_ours", "megaface_product", "megaface_reference"),
    ),
    "all_pairs": (
        f"All pairs of {CROWD:,} photos (reference: time for {CROWD_REFERENCE:,}, scaled up)",
        ("all_pairs_ours", "all_pairs_product", "all_pairs_reference"),
    ),
    "tenfold": ("Ten-fold accuracy of 6,000 pairs", ("tenfold_ours", "tenfold_reference")),
}


def timed(work, repeats=1):
    """Best wall and process time, seconds."""
    found = []
    for _ in range(repeats):
        wall, process = time.perf_counter(), time.process_time()
        work()
        found.append((time.perf_counter() - wall, time.process_time() - process))
    return min(found)


def measure(function, folder, threads):
    """Run a function of this file in a process of its own: wall and process time in seconds, peak memory in GB."""
    environment = {**os.environ, **{f"{name}_NUM_THREADS": str(threads) for name in ("OMP", "OPENBLAS", "MKL")}}
    command = [sys.executable, __file__, "--run", function, "--folder", str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{function}: {done.stderr}")
    return json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workloads", nargs="*", help=f"of {', '.join(WORKLOADS)}; all unless given")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--folder", type=Path, help="keeps the features; a temporary one unless given")
    parser.add_argument("--run", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        found = globals()[options.run](options.folder) or (0, 0)
        print(json.dumps([*found, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6]))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for name in options.workloads or WORKLOADS:
            if name not in WORKLOADS:
                parser.error(f"unknown workload {name!r}; known: {', '.join(WORKLOADS)}")
            title, functions = WORKLOADS[name]
            measure(f"prepare_{name}", folder, options.threads)
            print(f"{title}; {options.threads} threads")
            first = None
            for function in functions:
                wall, process, memory = measure(function, folder, options.threads)
                first = first or process
                # Their time grows with the distractors, and with the square of the photos.
                if function == "megaface_reference":
                    wall, process = (time * DISTRACTORS / REFERENCE_DISTRACTORS for time in (wall, process))
                elif function == "all_pairs_reference":
                    wall, process = (time * (CROWD / CROWD_REFERENCE) ** 2 for time in (wall, process))
                print(
                    f"  {function:20} {wall:8.3f} s wall, {process:8.3f} s process time, {memory:5.2f} GB peak, "
                    f"{process / first:6.2f} x ours"
                )


if __name__ == "__main__":
    main()
