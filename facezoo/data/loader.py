"""Batches for training: seeded, resumable at any step, the same for any number of worker processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, get_worker_info

from facezoo.align import recrop
from facezoo.data.samplers import Sampler
from facezoo.distributed import bounds
from facezoo.types import Crop, InputError

MOST_UNREADABLE = 100
"""Files in a row that cannot be read, from which on something else is wrong than a file."""


class Batch(NamedTuple):
    """uint8 crops (B, H, W, 3) RGB, labels (B,), the indices (B,) of the samples, and what could not be read."""

    crops: Tensor
    labels: Tensor
    samples: list[int]
    replaced: list[str]


class Sample(NamedTuple):
    """One crop of a batch, its label, where it is in the data, and what could not be read in its place."""

    crop: Crop
    label: int
    source: int
    replaced: list[str]


class Place(NamedTuple):
    """Where a sample stands in the run: enough to seed its augmentation."""

    epoch: int
    position: int
    sample: int


class Order(torch.utils.data.Sampler[list[Place]]):
    """Batches of places from batch `start` to `stop` of the run, epoch after epoch of a sampler.

    Of each batch this process takes part `part` of `parts`, in order: together the processes see what one alone would.
    """

    def __init__(self, sampler: Sampler, start: int, stop: int, part: int = 0, parts: int = 1) -> None:
        self.sampler, self.start, self.stop = sampler, start, stop
        self.batch_size = sampler.size // sampler.batches
        self.bounds = [bound * sampler.group for bound in bounds(self.batch_size // sampler.group, parts, part)]

    def __len__(self) -> int:
        return self.stop - self.start

    def __iter__(self) -> Iterator[list[Place]]:
        known, samples = -1, np.empty(0, np.int64)
        for batch in range(self.start, self.stop):
            epoch, number = divmod(batch, self.sampler.batches)
            if epoch != known:
                known, samples = epoch, self.sampler.epoch(epoch)
            first, last = (number * self.batch_size + bound for bound in self.bounds)
            yield [Place(epoch, p, int(samples[p])) for p in range(first, last)]


class Samples(Dataset):
    """Reads one sample, fits it to the network's input (`facezoo.align.recrop`) and augments it.

    The generator of a sample's augmentation is seeded by (seed, epoch, position): it depends neither on the
    worker that runs it nor on what was drawn before. An unreadable file is replaced by the next readable one
    of the same identity, or of any if there is none, and named in the batch, so that a long run neither dies nor loses
    it silently.
    """

    def __init__(
        self,
        data: Any,
        transform: Callable[..., Crop],
        size: tuple[int, int],
        seed: int,
        template: str = "arcface",
        aligned: str | None = None,
    ) -> None:
        self.data, self.transform, self.size, self.seed = data, transform, size, seed
        self.template, self.aligned = template, aligned

    def __getitem__(self, place: Place) -> Sample:
        crop, index, replaced = self._read(place.sample)
        rng = np.random.default_rng([self.seed, place.epoch, place.position])
        crop = recrop(crop, self.template, self.size, self.aligned)
        return Sample(self.transform(crop, rng), int(self.data.labels[index]), index, replaced)

    def __getitems__(self, places: list[Place]) -> list[Sample] | InputError:
        """The samples of a batch, or why there are none.

        What is raised in a worker process would reach the user as the text of a trace: it is handed over as a value.
        """
        try:
            return [self[place] for place in places]
        except InputError as error:
            return error

    def _read(self, index: int) -> tuple[Crop, int, list[str]]:
        replaced: list[str] = []
        for candidate in islice(self._candidates(index), MOST_UNREADABLE):
            try:
                return self.data.read(candidate), candidate, replaced
            except InputError as error:
                replaced.append(str(error))
        raise InputError(f"{len(replaced)} files in a row cannot be read, the last: {replaced[-1]}")

    def _candidates(self, index: int) -> Iterator[int]:
        """The sample, then those of the same identity, then all others, each from there on and around."""
        yield index
        same = self.data.labels == self.data.labels[index]
        for among in (same, ~same):
            others = np.flatnonzero(among)
            yield from (int(i) for i in np.roll(others, -np.searchsorted(others, index)) if i != index)


def collate(samples: list[Sample] | InputError) -> Batch | InputError:
    if isinstance(samples, InputError):
        return samples
    crops = torch.empty(len(samples), *samples[0].crop.shape, dtype=torch.uint8)
    if get_worker_info() is not None:
        crops.share_memory_()  # written once, where the training process reads it
    rows = crops.numpy()
    for row, sample in zip(rows, samples, strict=True):
        row[:] = sample.crop
    labels = torch.tensor([sample.label for sample in samples], dtype=torch.int64)
    replaced = [message for sample in samples for message in sample.replaced]
    return Batch(crops, labels, [sample.source for sample in samples], replaced)


def create_loader(samples: Samples, order: Order, workers: int, pin_memory: bool) -> Iterator[Batch]:
    """The batches of the whole rest of the run from one loader, so that workers start once, now.

    Raises:
        InputError: by the iterator, at a batch that cannot be made.
    """
    loader = DataLoader(
        samples,
        batch_sampler=order,
        num_workers=workers,
        collate_fn=collate,
        pin_memory=pin_memory,
        worker_init_fn=_prepare,
        prefetch_factor=4 if workers else None,
        generator=torch.Generator().manual_seed(0),
    )
    # A forked worker that finds OpenCV's pool waits for ever for its threads, which a fork does not copy.
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        return _raised(iter(loader))
    finally:
        cv2.setNumThreads(threads)


def _raised(batches: Iterator[Batch | InputError]) -> Iterator[Batch]:
    for batch in batches:
        if isinstance(batch, InputError):
            raise batch
        yield batch


def _prepare(worker: int) -> None:
    # What OpenCV would start in every worker fights with torch for the cores.
    cv2.setNumThreads(1)
    # Terminals and schedulers signal all processes of a run: the one that trains needs batches until it has ended.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):  # not on Windows and macOS
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End when the process that reads the batches says so, and not when anybody else does."""
    parent = multiprocessing.parent_process()
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent.pid:  # type: ignore[union-attr]
        pass
    os._exit(0)
