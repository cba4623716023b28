"""What reading and varying a crop costs: python benchmarks/data.py LIST [--lines 1000000]

CPU time of one process, best of several. LIST is a `path label` list of crops; a long list is made by
repeating its lines. OpenCV's decoder stands beside ours for comparison.
"""

import argparse
import logging
import tempfile
import time
from itertools import cycle, islice
from pathlib import Path

import cv2
import numpy as np

from facezoo.registry import DATASETS, TRANSFORMS


def cost(action, items, repeats=4):
    """Microseconds per item."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        for item in items:
            action(item)
        times.append(time.process_time() - start)
    return min(times) / len(items) * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("list", type=Path)
    parser.add_argument("--lines", type=int, default=1_000_000)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    logging.disable()

    data = DATASETS.create("list", path=options.list)
    indices = range(min(1000, len(data)))
    names = [data.name(i) for i in indices]
    print(f"read    {cost(data.read, indices):7.0f} us")

    def decode(name):
        return cv2.imdecode(np.fromfile(name, np.uint8), cv2.IMREAD_COLOR_RGB)

    equal = np.mean([np.array_equal(data.read(i), decode(names[i])) for i in indices])
    print(f"OpenCV  {cost(decode, names):7.0f} us, equal pixels in {equal:.1%} of the crops")

    crops = [data.read(i) for i in range(min(200, len(data)))]
    for name in TRANSFORMS.names():
        transform, rng = TRANSFORMS.create(name), np.random.default_rng(0)
        print(f"{name:15} {cost(lambda crop, t=transform, r=rng: t.apply(crop, r), crops):7.0f} us")

    lines = options.list.read_text(encoding="utf-8").split("\n")
    with tempfile.TemporaryDirectory() as folder:
        long = Path(folder) / "long.txt"
        long.write_text("\n".join(islice(cycle(filter(None, lines)), options.lines)), encoding="utf-8")
        start = time.process_time()
        DATASETS.create("list", path=long, root=options.list.parent)
        print(f"open    {time.process_time() - start:7.2f} s for a list of {options.lines:,} lines")


if __name__ == "__main__":
    main()
