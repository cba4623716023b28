"""What test_extract starts, alone or by torchrun: an extraction that may be killed, or a large one."""

from __future__ import annotations

import os
import resource
import signal
import sys
from contextlib import nullcontext
from pathlib import Path

import numpy as np

from facezoo import extract as extraction
from facezoo.embedder import Embedder
from facezoo.evaluation.photos import Photo
from facezoo.extract import Source, extract, open_source
from facezoo.types import Contract


class Mosaic(Embedder):
    def __init__(self, stop: int) -> None:
        super().__init__(Contract(name="mosaic", input_size=(16, 16), embedding_dim=48, flip=False))
        self.stop = stop

    def forward(self, batch):
        self.stop -= 1
        if self.stop == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return batch.reshape(len(batch), 3, 4, 4, 4, 4).mean(axis=(3, 5)).reshape(len(batch), 48)


class Wide(Embedder):
    def __init__(self) -> None:
        super().__init__(Contract(name="wide", input_size=(1, 1), embedding_dim=512, flip=False), 1024)

    def forward(self, batch):
        return np.repeat(batch[:, :1, 0, 0], 512, axis=1)


class Many(list):
    """A photo that is there many times."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __iter__(self):
        return (self[k] for k in range(self.count))

    def __getitem__(self, k):
        return Photo(f"{k:09d}.png", np.zeros((1, 1, 3), np.uint8))


def main(what: str, out: str, number: str = "0") -> None:
    if what == "large":
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        extract(Source("large", Many(int(number)), "arcface"), Wide(), Path(out), model="m")
        sys.stdout.write(f"{(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024}\n")
        return
    extraction.BLOCK = 4
    group = nullcontext()
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        from facezoo import distributed

        group = distributed.process_group("cpu")
    with group:
        done = extract(open_source(what, "arcface"), Mosaic(int(number)), Path(out), model="m")
    sys.stdout.write(f"{done.embedded}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
