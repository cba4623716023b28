"""Samplers that put photos of one person side by side, in one set or in several at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np

from facezoo.data.identity_photos import Indices
from facezoo.data.problems import Labels
from facezoo.data.samplers import Sampler, passes
from facezoo.registry import SAMPLERS
from facezoo.types import InputError


@SAMPLERS.register
@dataclass(frozen=True, eq=False)
class Pairs(Sampler):
    """Two different photos of everybody, side by side; somebody's only photo comes twice.

    One epoch is one pass over the identities, as semi-siamese training goes; https://arxiv.org/abs/2007.08398.

    Args:
        exclude: Q; nobody comes again while among the Q identities drawn last before the batch: the size of a
            prototype queue, in which the same person would be a negative. Who was drawn late comes late in the next
            epoch. (FaceX-Zoo leaves these identities out of the next epoch altogether.) `last=fill` would draw
            somebody again early, and goes with exclude=0 only.
    """

    exclude: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.batch_size % 2:
            raise InputError(f"sampler pairs: data.batch_size is {self.batch_size}, it must be even")
        check_exclude(self, self.exclude)

    @property
    def group(self) -> int:
        return 2

    @property
    def draws(self) -> int:
        return 2 * len(self.photos.counts)

    def epoch(self, epoch: int) -> Indices:
        rng = self.generator(epoch)
        order = identity_order(self, epoch, rng, len(self.photos.counts), self.exclude)
        return self.photos.of(order, 2, rng).ravel()


@SAMPLERS.register
@dataclass(frozen=True, eq=False)
class Branches(Sampler):
    """Equal parts of every set of a `multi` in each batch, in groups that stay on one rank.

    A group is `each` photos of an identity of the first set, then as many of one of the second set, and so on: the
    same identity in all sets, as a visible and an infrared photo, or identities that have nothing to do with each
    other. One epoch is one pass over the identities: those that are in all sets, or those of the largest set, during
    which the others are gone through again and again.

    Args:
        source: (N,) the set of every sample.
        classes: names as `multi` gives them, `0-NAME`, `1-NAME`.
        each: photos of an identity in a group; somebody's few photos come again.
        same: the same identity in all sets, known by its name; who is not in all of them is left out.
        exclude: with `same`, as for `pairs`.
    """

    source: Labels | None = None
    classes: Sequence[str] = ()
    each: int = 1
    same: bool = False
    exclude: int = 0

    def __post_init__(self) -> None:
        if self.source is None or not self.source.any():
            raise InputError('sampler branches: the data are one set; write data.train = multi:sets=["SET","SET"]')
        self.require(self.each >= 1, "each", "it must be at least 1")
        super().__post_init__()
        if self.batch_size % self.group:
            raise InputError(
                f"sampler branches: data.batch_size is {self.batch_size}, it must be a multiple of {self.group}: "
                f"{self.each} photos of {self.group // self.each} sets"
            )
        if not self.same:
            self.require(self.exclude == 0, "exclude", "it goes with same=true only")
        check_exclude(self, self.exclude)

    @cached_property
    def _identities(self) -> list[Indices]:
        """The classes of every set; with `same` in the same order and as many in each."""
        sets = class_sets(self.labels, self.source)
        found = [np.flatnonzero(sets == number) for number in range(int(sets.max()) + 1)]
        if not self.same:
            return found
        person = people(self.classes)
        everywhere = [set(person[classes].tolist()) for classes in found]
        shared = np.array(sorted(set.intersection(*everywhere)), np.int64)
        if not len(shared):
            raise InputError("sampler branches: no identity has the same name in all sets; leave same=true out")
        by_person = (classes[np.argsort(person[classes])] for classes in found)  # each person is there once
        return [classes[np.isin(person[classes], shared)] for classes in by_person]

    @property
    def group(self) -> int:
        return self.each * len(self._identities)

    @property
    def draws(self) -> int:
        return self.group * max(len(classes) for classes in self._identities)

    def epoch(self, epoch: int) -> Indices:
        rng = self.generator(epoch)
        if self.same:
            order = identity_order(self, epoch, rng, len(self._identities[0]), self.exclude)
            chosen = [classes[order] for classes in self._identities]
        else:
            count = self.size // self.group
            draws = [partial(rng.permutation, len(classes)) for classes in self._identities]
            chosen = [classes[passes(draw, count)] for classes, draw in zip(self._identities, draws, strict=True)]
        return self.photos.of(np.stack(chosen, axis=1).ravel(), self.each, rng).ravel()


def class_sets(labels: Labels, source: Labels | None) -> Labels:
    """(C,) the set of every class, from labels (N,) and sets (N,) of the samples; all 0 where the data are one set.

    Raises:
        InputError: a class has images in two sets.
    """
    sets = np.zeros(int(labels.max()) + 1, np.int64)
    if source is not None:
        sets[labels] = source
        if (sets[labels] != source).any():
            raise InputError("one class has images in two sets of the data; leave same=true of multi out")
    return sets


def people(classes: Sequence[str]) -> Labels:
    """(C,) a number for the person of every class: `0-NAME` and `1-NAME` have the same."""
    return np.unique([name.partition("-")[2] for name in classes], return_inverse=True)[1].astype(np.int64)


def check_exclude(sampler: Sampler, exclude: int) -> None:
    """Refuse an `exclude` that the identities of an epoch cannot keep."""
    if exclude and sampler.last == "fill":
        raise InputError(
            f"sampler {type(sampler).__name__.lower()}: exclude and last=fill do not go together; leave one of them out"
        )
    people, batch = sampler.size // sampler.group, sampler.batch_size // sampler.group
    most = max(0, people // 2 - batch)
    sampler.require(
        0 <= exclude <= most,
        "exclude",
        f"it must be 0 to {most:,}: half of an epoch's {people:,} identities less a batch's {batch:,}",
    )


def identity_order(sampler: Sampler, epoch: int, rng: np.random.Generator, people: int, exclude: int) -> Indices:
    """One pass over `people` identities, those drawn last in the epoch before moved back.

    They keep their old order and go to in front of the new order's own last ones, which stay: so an epoch depends on
    the one before it and on no earlier one.
    """

    def drawn(rng: np.random.Generator) -> Indices:
        return passes(lambda: rng.permutation(people), sampler.size // sampler.group)

    order = drawn(rng)
    if not (exclude and epoch):
        return order
    gap = exclude + sampler.batch_size // sampler.group
    body, end, recent = order[:-gap], order[-gap:], drawn(sampler.generator(epoch - 1))[-gap:]
    return np.concatenate([body[~np.isin(body, recent)], recent[np.isin(recent, body)], end])
