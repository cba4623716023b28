"""Which samples an epoch takes, in which order: `shuffle`, `balanced:power=0.5`, `identities:each=4`.

A sampler remembers nothing: an epoch follows from the seed and its number. So a run goes on at any step, and any number
of ranks and workers see the same samples in the same places.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from facezoo.data.identity_photos import Indices, Photos
from facezoo.data.problems import Labels
from facezoo.registry import SAMPLERS
from facezoo.types import InputError

Last = Literal["drop", "fill"]


@dataclass(frozen=True, eq=False)
class Sampler(ABC):
    """The samples of every epoch, in whole steps.

    Subclasses are frozen dataclasses of their options. Those below follow from the data and the config, but for `last`,
    and so do the `weights` (N,) and `shards` (N,) of the data, which a kind may have.

    Args:
        labels: (N,) of the data.
        batch_size: crops a batch, over all ranks.
        accumulate: batches a step.
        seed: of the run.
        last: what does not fill the last step of a pass over the data: `drop` leaves it out of this epoch; `fill`
            completes the step from a second pass, so that every sample is seen at least once.

    Raises:
        InputError: a pass does not fill one step.
    """

    labels: Labels
    batch_size: int
    accumulate: int = 1
    seed: int = 0
    last: Last = "drop"

    def __post_init__(self) -> None:
        if not self.batches:
            raise InputError(
                f"an epoch has {self.draws:,} images, fewer than one step of {self.batch_size * self.accumulate:,}; "
                "lower data.batch_size or optim.accumulate"
            )

    @property
    def group(self) -> int:
        """So many samples side by side stay on one rank."""
        return 1

    @property
    def draws(self) -> int:
        """Samples of one pass over the data."""
        return len(self.labels)

    @property
    def batches(self) -> int:
        """Batches an epoch, all of them whole."""
        per_step = self.batch_size * self.accumulate
        steps = self.draws // per_step
        return (steps + (self.last == "fill" and steps > 0 and self.draws % per_step > 0)) * self.accumulate

    @property
    def size(self) -> int:
        """Images an epoch."""
        return self.batches * self.batch_size

    @abstractmethod
    def epoch(self, epoch: int) -> Indices:
        """Indices (size,) of the samples of an epoch, batch by batch."""

    def generator(self, epoch: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, epoch])

    @cached_property
    def photos(self) -> Photos:
        return Photos(self.labels)

    def require(self, good: bool, option: str, wanted: str) -> None:
        """Refuse an option's value."""
        if not good:
            name = type(self).__name__.lower()
            raise InputError(f"sampler {name}: {option} is {getattr(self, option)}, {wanted}")


def passes(draw: Callable[[], Indices], wanted: int) -> Indices:
    """One pass after the other, up to `wanted` samples."""
    drawn = draw()
    while len(drawn) < wanted:
        drawn = np.concatenate([drawn, draw()])
    return drawn[:wanted]


@SAMPLERS.register
@dataclass(frozen=True, eq=False)
class Shuffle(Sampler):
    """Every sample once, in random order; with the weights of `multi` as often as they say.

    Of weight 2.3 a sample comes twice, and three in ten of those with this weight, others in every epoch, once more.
    """

    weights: NDArray[np.float64] | None = None

    @property
    def draws(self) -> int:
        return len(self._whole) + sum(count for _, count in self._shares)

    @cached_property
    def _whole(self) -> Indices:
        samples = np.arange(len(self.labels))
        return samples if self.weights is None else np.repeat(samples, self.weights.astype(np.int64))

    @cached_property
    def _shares(self) -> list[tuple[Indices, int]]:
        """Samples of one weight, and how many of them come once more."""
        if self.weights is None:
            return []
        parts = self.weights - np.floor(self.weights)
        groups = [(part, np.flatnonzero(parts == part)) for part in np.unique(parts[parts > 0])]
        return [(group, round(part * len(group))) for part, group in groups]

    def epoch(self, epoch: int) -> Indices:
        rng = self.generator(epoch)

        def once() -> Indices:
            more = [rng.permutation(group)[:count] for group, count in self._shares]
            samples = np.concatenate([self._whole, *more]) if more else self._whole
            return samples[rng.permutation(len(samples))]

        return passes(once, self.size)


@SAMPLERS.register
@dataclass(frozen=True, eq=False)
class Balanced(Sampler):
    """Identities with few images as often as those with many: drawn with replacement, weight 1 / images^power.

    face.evoLVe's weighted sampling; as many draws an epoch as there are images.

    Args:
        power: 1 gives every identity the same chance, 0 every image.
    """

    power: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(0 <= self.power <= 1, "power", "it must be between 0 and 1")

    @cached_property
    def _until(self) -> NDArray[np.float64]:
        """(C,) the chance of an identity or one before it."""
        chances = self.photos.counts ** (1.0 - self.power)
        return np.cumsum(chances / chances.sum())

    def epoch(self, epoch: int) -> Indices:
        rng = self.generator(epoch)
        # The identity, then one of its images: the same chances as weights on N images, from a table of C.
        chosen = np.searchsorted(self._until[:-1], rng.random(self.size), side="right")
        return self.photos.at(chosen, rng.integers(0, self.photos.counts[chosen]))


@SAMPLERS.register
@dataclass(frozen=True, eq=False)
class Identities(Sampler):
    """P identities with K photos each in a batch, side by side: for losses that compare embeddings with each other.

    All P differ, and so do the K photos of an identity that has as many. All identities are gone through, again and
    again, but for what is left when P no longer remain; an identity's photos are, too. An epoch has as many images as
    the data.

    Args:
        count: P; None fills the batch. With less the rest of the batch is shuffled from all images, as TFace's EKD
            mixes 32 of either kind.
        each: K.
    """

    count: int | None = None
    each: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(2 <= self.each <= self.batch_size, "each", f"it must be 2 to data.batch_size, {self.batch_size}")
        most = self.batch_size // self.each
        if self.count is None:
            self.require(
                self.batch_size % self.each == 0,
                "each",
                f"which does not divide a batch of {self.batch_size}; give count",
            )
        else:
            self.require(1 <= self.count <= most, "count", f"with each={self.each} it must be 1 to {most}")
        if self._people > len(self.photos.counts):
            raise InputError(
                f"sampler identities: {self._people} identities a batch, the data have {len(self.photos.counts)}"
            )

    @property
    def _people(self) -> int:
        return self.batch_size // self.each if self.count is None else self.count

    def epoch(self, epoch: int) -> Indices:
        rng, classes = self.generator(epoch), len(self.photos.counts)
        whole = classes - classes % self._people  # a batch within one permutation holds nobody twice
        identities = passes(lambda: rng.permutation(classes)[:whole], self.batches * self._people)
        chosen = self.photos.of(identities, self.each, rng).reshape(self.batches, -1)
        rest = passes(lambda: rng.permutation(self.draws), self.size - chosen.size)
        return np.concatenate([chosen, rest.reshape(self.batches, -1)], axis=1).ravel()


@SAMPLERS.register
@dataclass(frozen=True, eq=False)
class Blocks(Sampler):
    """Shards in random order, samples shuffled among `window` shards at a time: for tar shards and Parquet.

    Every sample comes once an epoch, and every shard is read once: the reader needs to hold `window` shards only.

    Args:
        window: shards at a time.
    """

    shards: NDArray[np.int32] | None = None
    window: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.shards is None:
            raise InputError("sampler blocks: the data have no shards; write shuffle")
        self.require(self.window >= 1, "window", "it must be at least 1")

    @cached_property
    def _blocks(self) -> list[Indices]:
        """The samples of each shard."""
        return np.split(np.arange(len(self.labels)), np.flatnonzero(np.diff(np.asarray(self.shards))) + 1)

    def epoch(self, epoch: int) -> Indices:
        rng = self.generator(epoch)

        def once() -> Indices:
            order = rng.permutation(len(self._blocks))
            windows = np.split(order, range(self.window, len(order), self.window))
            return np.concatenate([rng.permutation(np.concatenate([self._blocks[i] for i in w])) for w in windows])

        return passes(once, self.size)
