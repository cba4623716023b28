"""Exact search in a gallery against the bare matrix product, in one run.

    python benchmarks/gallery.py [--photos 100000] [--dim 512] [--per-identity 1] [--queries 64]

CPU time of the process, best of several; set OPENBLAS_NUM_THREADS=1 so that it is the time of one core.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np

from facezoo.gallery import Gallery
from facezoo.types import Contract, unit


def best_of(action, repeats=5):
    """Seconds."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        action()
        times.append(time.process_time() - start)
    return min(times)


def resident():
    """Bytes of memory in use; Linux."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--per-identity", type=int, default=1)
    parser.add_argument("--queries", type=int, default=64)
    options = parser.parse_args()

    rng = np.random.default_rng(0)
    vectors = unit(rng.standard_normal((options.photos, options.dim), np.float32))
    queries = unit(rng.standard_normal((options.queries, options.dim), np.float32))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "gallery.db"
        with Gallery(path, Contract(name="random", embedding_dim=options.dim)) as gallery:
            start = time.process_time()
            with gallery.transaction():
                for first in range(0, options.photos, options.per_identity):
                    gallery.add(f"person {first}", vectors[first : first + options.per_identity])
            print(f"add       {options.photos / (time.process_time() - start):10,.0f} photos/s, one transaction")
            print(f"file      {path.stat().st_size / 1e6:10,.0f} MB")
            before = resident()
            start = time.process_time()
            gallery.search(queries[0])
            print(f"load      {time.process_time() - start:10.2f} s")
            for count in (1, options.queries):
                some = queries[:count]
                product = best_of(lambda some=some: vectors @ some.T)
                search = best_of(lambda some=some: gallery.search(some))
                print(
                    f"{count:3} at once: search {count / search:8,.0f} queries/s, "
                    f"bare product {count / product:8,.0f} queries/s, ratio {product / search:.2f}"
                )
            grown, alone = resident() - before, vectors.nbytes
            print(f"memory    {grown / 1e6:10,.0f} MB more; the embeddings alone are {alone / 1e6:,.0f} MB")


if __name__ == "__main__":
    main()
