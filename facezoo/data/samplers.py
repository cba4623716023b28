"""Which samples an epoch takes, in which order: `shuffle`, `balanced:power=0.5`, `identities:each=4`.

A sampler remembers nothing: an epoch follows from the seed and its number. So a run goes on at any step, and any number
of ranks and workers see the same samples in the same places.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from facezoo.data.dataset import Labels
from facezoo.registry import SAMPLERS
from facezoo.types import InputError

Indices = NDArray[np.int64]
Last = Literal["drop", "fill"]


class Sampler(ABC):
    """The samples of every epoch, in whole steps.

    Of every kind's options these follow from the data and the config: labels (N,), `batch_size` crops a batch over all
    ranks, `accumulate` batches a step, the seed, and the dataset's shards (N,) and weights (N,). A kind may take part
    of them.

    Args:
        draws: samples of one pass over the data.
        batch_size, accumulate: crops a batch, batches a step.
        seed: of the run.
        last: what does not fill the last step of a pass: `drop` leaves it out of this epoch; `fill` completes the step
            from a second pass, so that every sample is seen at least once.

    Attributes:
        batches: an epoch has; all of them whole.
        size: images an epoch has.
        group: so many samples side by side stay on one rank.

    Raises:
        InputError: a pass does not fill one step.
    """

    group = 1

    def __init__(self, draws: int, batch_size: int, accumulate: int, seed: int, last: Last) -> None:
        per_step = batch_size * accumulate
        if draws < per_step:
            raise InputError(
                f"an epoch has {draws:,} images, fewer than one step of {per_step:,}; lower data.batch_size or "
                "optim.accumulate"
            )
        self.draws, self.seed = draws, seed
        self.batches = (draws // per_step if last == "drop" else -(-draws // per_step)) * accumulate

        self.size = self.batches * batch_size

    @abstractmethod
    def epoch(self, epoch: int) -> Indices:
        """Indices (size,) of the samples of an epoch, batch by batch."""

    def generator(self, epoch: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, epoch])


def passes(draw: Callable[[], Indices], wanted: int) -> Indices:
    """One pass after the other, up to `wanted` samples."""
    drawn = draw()
    while len(drawn) < wanted:
        drawn = np.concatenate([drawn, draw()])
    return drawn[:wanted]


@SAMPLERS.register
class Shuffle(Sampler):
    """Every sample once, in random order; with the weights of `multi` as often as they say.

    Of weight 2.3 a sample comes twice, and three in ten of those with this weight, others in every epoch, once more.

    Args:
        last: `drop` or `fill`, see `Sampler`.
    """

    def __init__(
        self,
        labels: Labels,
        batch_size: int,
        accumulate: int,
        seed: int,
        weights: NDArray[np.float64] | None = None,
        last: Last = "drop",
    ) -> None:
        self._samples, self._shares = np.arange(len(labels)), list[tuple[Indices, int]]()
        if weights is not None:
            whole = np.floor(weights)
            self._samples = np.repeat(self._samples, whole.astype(np.int64))
            for share in np.unique(weights - whole):
                among = np.flatnonzero(weights - whole == share)
                self._shares.append((among, round(share * len(among))))
        draws = len(self._samples) + sum(count for _, count in self._shares)
        super().__init__(draws, batch_size, accumulate, seed, last)

    def epoch(self, epoch: int) -> Indices:
        rng = self.generator(epoch)

        def once() -> Indices:
            more = [rng.permutation(among)[:count] for among, count in self._shares if count]
            samples = np.concatenate([self._samples, *more]) if more else self._samples
            return samples[rng.permutation(len(samples))]

        return passes(once, self.size)


@SAMPLERS.register
class Balanced(Sampler):
    """Identities with few images as often as those with many: drawn with replacement, weight 1 / images^power.

    face.evoLVe's weighted sampling; as many draws an epoch as there are images.

    Args:
        power: 1 gives every identity the same chance, 0 every image.
        last: `drop` or `fill`, see `Sampler`.
    """

    def __init__(
        self, labels: Labels, batch_size: int, accumulate: int, seed: int, power: float = 1.0, last: Last = "drop"
    ) -> None:
        if not 0 <= power <= 1:
            raise InputError(f"sampler balanced: power is {power}, it must be between 0 and 1")
        super().__init__(len(labels), batch_size, accumulate, seed, last)
        self._photos = Photos(labels)
        chances = self._photos.counts ** (1.0 - power)
        self._until = np.cumsum(chances / chances.sum())

    def epoch(self, epoch: int) -> Indices:
        rng = self.generator(epoch)
        # The identity, then one of its images: the same chances as weights on N images, from a table of C.
        chosen = np.searchsorted(self._until[:-1], rng.random(self.size), side="right")
        return self._photos.at(chosen, rng.integers(0, self._photos.counts[chosen]))


@SAMPLERS.register
class Identities(Sampler):
    """P identities with K photos each in a batch, side by side: for losses that compare embeddings with each other.

    All P differ, and so do the K photos of an identity that has as many. All identities are gone through, again and
    again, but for what is left when P no longer remain; an identity's photos are, too. An epoch has as many images as
    the data.

    Args:
        count: P; None fills the batch. With less the rest of the batch is shuffled from all images, as TFace's EKD
            mixes 32 of either kind.
        each: K.
        last: `drop` or `fill`, see `Sampler`.
    """

    def __init__(
        self,
        labels: Labels,
        batch_size: int,
        accumulate: int,
        seed: int,
        count: int | None = None,
        each: int = 4,
        last: Last = "drop",
    ) -> None:
        super().__init__(len(labels), batch_size, accumulate, seed, last)
        self._photos, self._each = Photos(labels), each
        if each < 2 or batch_size < each:
            raise InputError(f"sampler identities: each is {each}, it must be 2 to data.batch_size, {batch_size}")
        if count is None and batch_size % each:
            raise InputError(f"sampler identities: {each} photos each do not fill a batch of {batch_size}; give count")
        self._count = batch_size // each if count is None else count
        if not 1 <= self._count <= batch_size // each:
            raise InputError(
                f"sampler identities: count is {count}, with {each} photos each a batch of {batch_size} takes 1 to "
                f"{batch_size // each}"
            )
        if self._count > len(self._photos.counts):
            raise InputError(
                f"sampler identities: {self._count} identities a batch, the data have {len(self._photos.counts)}"
            )

    def epoch(self, epoch: int) -> Indices:
        rng, classes, batches = self.generator(epoch), len(self._photos.counts), self.batches
        whole = classes - classes % self._count  # a batch within one permutation holds nobody twice
        identities = passes(lambda: rng.permutation(classes)[:whole], batches * self._count)
        chosen = self._photos.of(identities, self._each, rng).reshape(batches, -1)
        rest = passes(lambda: rng.permutation(self.draws), self.size - chosen.size)
        return np.concatenate([chosen, rest.reshape(batches, -1)], axis=1).ravel()


@SAMPLERS.register
class Pairs(Sampler):
    """Two different photos of everybody, side by side; somebody's only photo comes twice.

    One epoch is one pass over the identities, as semi-siamese training goes; https://arxiv.org/abs/2007.08398.

    Args:
        exclude: Q; nobody comes again while among the Q identities drawn last before the batch: the size of a
            prototype queue, in which the same person would be a negative. Who was drawn late comes late in the next
            epoch. (FaceX-Zoo leaves these identities out of the next epoch altogether.)
        last: `drop` or `fill`, see `Sampler`; `fill` would draw somebody again early, and goes with exclude=0 only.
    """

    group = 2

    def __init__(
        self, labels: Labels, batch_size: int, accumulate: int, seed: int, exclude: int = 0, last: Last = "drop"
    ) -> None:
        if batch_size % 2:
            raise InputError(f"sampler pairs: data.batch_size is {batch_size}, it must be even")
        self._photos = Photos(labels)
        super().__init__(2 * len(self._photos.counts), batch_size, accumulate, seed, last)
        drawn = self.size // 2
        self._gap = exclude + batch_size // 2 if exclude else 0
        if exclude and last == "fill":
            raise InputError("sampler pairs: exclude and last=fill do not go together; leave one of them out")
        if exclude < 0 or drawn < 2 * self._gap:
            most = max(0, drawn // 2 - batch_size // 2)
            raise InputError(
                f"sampler pairs: exclude is {exclude}, with {drawn:,} identities an epoch 0 to {most:,} go"
            )

    def epoch(self, epoch: int) -> Indices:
        rng, drawn = self.generator(epoch), self.size // 2
        order = passes(lambda: rng.permutation(len(self._photos.counts)), drawn)
        if self._gap and epoch:
            order = self._later(order, self.generator(epoch - 1).permutation(len(self._photos.counts))[:drawn])
        return self._photos.of(order, 2, rng).ravel()

    def _later(self, order: Indices, before: Indices) -> Indices:
        """The order with those drawn last `before` moved back, in their old order, to in front of its own last ones.

        The own last ones stay, so that an epoch depends on the one before it and on no earlier one.
        """
        body, end = order[: -self._gap], order[-self._gap :]
        recent = before[-self._gap :]
        return np.concatenate([body[~np.isin(body, recent)], recent[np.isin(recent, body)], end])


@SAMPLERS.register
class Blocks(Sampler):
    """Shards in random order, samples shuffled among `window` shards at a time: for tar shards and Parquet.

    Every sample comes once an epoch, and every shard is read once: the reader needs to hold `window` shards only.

    Args:
        window: shards at a time.
        last: `drop` or `fill`, see `Sampler`.
    """

    def __init__(
        self,
        labels: Labels,
        batch_size: int,
        accumulate: int,
        seed: int,
        shards: NDArray[np.int32] | None,
        window: int = 4,
        last: Last = "drop",
    ) -> None:
        if shards is None:
            raise InputError("sampler blocks: the data have no shards; write shuffle")
        if window < 1:
            raise InputError(f"sampler blocks: window is {window}, it must be at least 1")
        super().__init__(len(labels), batch_size, accumulate, seed, last)
        self._window = window
        self._shards = np.split(np.arange(len(labels)), np.flatnonzero(np.diff(shards)) + 1)

    def epoch(self, epoch: int) -> Indices:
        rng = self.generator(epoch)

        def once() -> Indices:
            order = rng.permutation(len(self._shards))
            windows = np.split(order, range(self._window, len(order), self._window))
            return np.concatenate([rng.permutation(np.concatenate([self._shards[i] for i in w])) for w in windows])

        return passes(once, self.size)


class Photos:
    """The images of every identity, one after the other.

    Attributes:
        counts: (C,) images of each identity.
    """

    def __init__(self, labels: Labels) -> None:
        self._labels, self.counts = labels, np.bincount(labels)
        self._starts = np.cumsum(self.counts) - self.counts
        self._samples = np.argsort(labels, kind="stable")

    def at(self, identities: Indices, numbers: Indices) -> Indices:
        """The samples that are the images of these numbers of identities."""
        return self._samples[self._starts[identities] + numbers]

    def of(self, identities: Indices, each: int, rng: np.random.Generator) -> Indices:
        """Samples (n, each) of identities (n,): different ones, as long as there are, also from turn to turn."""
        mixed = rng.permutation(len(self._labels))
        mixed = mixed[np.argsort(self._labels[mixed], kind="stable")]
        by_identity = np.argsort(identities, kind="stable")
        ordered = identities[by_identity]
        turns = np.empty_like(by_identity)
        turns[by_identity] = np.arange(len(ordered)) - np.searchsorted(ordered, ordered)
        numbers = (turns[:, None] * each + np.arange(each)) % self.counts[identities][:, None]
        return mixed[self._starts[identities][:, None] + numbers]
