"""Batches in which images that belong together stand side by side."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from facezoo.types import InputError


def groups(labels: Tensor, size: int, fits: Callable[[Tensor], Tensor], wanted: str) -> Tensor:
    """The places (g, size) in a batch of its groups of images.

    A photo that could not be read has another one in its place, which may show somebody else: such a group is left out.

    Args:
        labels: (b,).
        size: images a group.
        fits: from the labels (g, size) of groups, which of them (g,) belong together.
        wanted: what a group is and which sampler gives it, for the message.

    Raises:
        InputError: most of the batch is not made of such groups, or fewer than two are left, of which BatchNorm may
            have no statistics.
    """
    whole = labels[: len(labels) // size * size].view(-1, size)
    good = fits(whole)
    found = int(good.sum())
    if len(labels) % size or 2 * found < len(good):
        raise InputError(f"the images of a batch do not stand side by side as the mode takes them: {wanted}")
    if found < 2:
        raise InputError(f"{found} group of {size} images is too few for a process; raise data.batch_size")
    return torch.arange(whole.numel(), device=labels.device).view(-1, size)[good]


def branches(labels: Tensor, sets: Tensor, each: int, wanted: str, people: Tensor | None = None) -> Tensor:
    """The places (g, K, each) of the groups that the sampler `branches` makes of K sets.

    Args:
        labels: (b,).
        sets: (C,) the set of each class.
        each: images of an identity of a set.
        wanted: for the message, see `groups`.
        people: (C,) the person of each class, where a group shows one person in all sets.
    """
    count = int(sets.max()) + 1

    def fits(found: Tensor) -> Tensor:
        found = found.view(-1, count, each)
        good = (found == found[:, :, :1]).flatten(1).all(1)
        good &= (sets[found[:, :, 0]] == torch.arange(count, device=found.device)).all(1)
        return good if people is None else good & (people[found[:, :, 0]] == people[found[:, :1, 0]]).all(1)

    return groups(labels, count * each, fits, wanted).view(-1, count, each)
