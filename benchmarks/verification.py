"""How long scoring takes: ten-fold accuracy, and a whole report with its intervals; process time on one core."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np

from facezoo.evaluation import Verification, fold_accuracy


def seconds(work: Callable[[], object], repeats: int) -> float:
    """The best process time of some runs."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=6000)
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()

    generator = np.random.default_rng(0)
    person = np.repeat(np.arange(options.pairs), 2)
    embeddings = generator.normal(size=(options.pairs, 64))[person] + generator.normal(0, 1.2, (len(person), 64))
    left = np.arange(0, len(person), 2)
    right = np.where(np.arange(options.pairs) % 2 == 0, left + 1, np.roll(left, 2))
    benchmark = Verification(
        "random", [], left, right, person[left] == person[right], identity=person, resamples=options.resamples
    )
    scores = benchmark.scores(embeddings)
    print(f"{options.pairs:,} pairs, best of {options.repeats}")
    accuracy = seconds(lambda: fold_accuracy(scores, benchmark.same), options.repeats)
    print(f"  ten-fold accuracy                       {1000 * accuracy:8.1f} ms")
    whole = seconds(lambda: benchmark.score(embeddings), options.repeats)
    print(f"  report with {options.resamples:,} resamples of intervals {whole:8.2f} s")


if __name__ == "__main__":
    main()
