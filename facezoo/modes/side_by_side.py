"""Batches in which the images of a person stand side by side."""

from __future__ import annotations

from torch import Tensor

from facezoo.types import InputError


def side_by_side(images: Tensor, labels: Tensor, each: int, sampler: str) -> tuple[list[Tensor], Tensor]:
    """The first, second, ... images of every person, `each` times (b, 3, H, W), and the labels (b,).

    A photo that could not be read has another one in its place, which may show somebody else: such a group is left out.

    Args:
        images: (b * each, 3, H, W).
        labels: (b * each,).
        each: images a person.
        sampler: what gives such batches, for the message.

    Raises:
        InputError: the batch is not made of such groups.
    """
    groups = len(labels) // each
    agree = (labels[: groups * each].view(groups, each) == labels[::each][:groups, None]).all(1)
    if len(labels) % each or 2 * int(agree.sum()) < groups:
        raise InputError(
            f"a batch must hold {each} images of each identity side by side; write data.sampler = {sampler!r}"
        )
    kinds = [images[number::each] for number in range(each)]
    labels = labels[::each]
    if not agree.all():
        return [kind[agree] for kind in kinds], labels[agree]
    return kinds, labels
