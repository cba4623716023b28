"""What a student is taught by: a loss between what it gives and what its teacher gives for the same images.

A distillation loss is one of three kinds, by what it sees:

- `EmbeddingDistillation`: the embeddings of both, of all ranks together;
- `LogitDistillation`: the logits of both over the classes, of which a rank has its own columns;
- `MapDistillation`: the feature maps of both at the resolutions they have in common.

An option is given when the loss is made, instead of being written, if it is one of

- `student_maps`, `teacher_maps`: the shapes (C, H, W) of the maps that it will see, in their order;
- `embedding_dim`: of the teacher.

A gradient goes to the student alone. State is buffers, updated in place and in training only, alike on all ranks;
what is learnt on the side (an adapter) is parameters, which DistributedDataParallel averages.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facezoo import distributed
from facezoo.registry import DISTILLATION_LOSSES
from facezoo.types import InputError

Kind: TypeAlias = Literal["embeddings", "logits", "maps"]

Shape: TypeAlias = tuple[int, int, int]
"""Channels, height and width of a feature map."""


class DistillationLoss(nn.Module):
    """The base: float32 (float64 stays) also under autocast, and the same scalar on any number of ranks.

    Args:
        weight: factor of the loss.

    Attributes:
        sees: what of the student and the teacher it compares.
    """

    sees: ClassVar[Kind]

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__()
        if not 0 < weight < math.inf:
            raise InputError(f"{type(self).__name__.lower()}: weight is {weight}, it must be above 0")
        self.weight = weight


class EmbeddingDistillation(DistillationLoss):
    """Compares embeddings: as they are, or what lies between those of a batch.

    Attributes:
        same_size: a student's embedding is compared with its teacher's number by number. Where their dimensions differ,
            a linear map that is learnt along takes the student's to the teacher's.
        least: images without which there is nothing to compare.
    """

    sees = "embeddings"
    same_size: ClassVar[bool] = False
    least: ClassVar[int] = 1

    def forward(self, student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
        """The loss of the batch of all ranks from this rank's (b, D) and (b, D_t), not normalised, and labels (b,)."""
        with torch.autocast(student.device.type, enabled=False):
            exact = torch.promote_types(student.dtype, torch.float32)
            whole = distributed.gather_batch(student.to(exact), teacher.detach().to(exact), labels)
            value = self.loss(*whole) if len(whole[0]) >= self.least else whole[0].sum() * 0
            return distributed.shared(self.weight * value)

    def loss(self, student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
        """The loss before the weight, of embeddings (B, D) and (B, D_t) and labels (B,) of all ranks."""
        raise NotImplementedError


class LogitDistillation(DistillationLoss):
    """Compares logits: rows are the whole batch of all ranks, columns this rank's classes.

    A logit of -inf is no class for its row; it is so for both.
    """

    sees = "logits"

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """The loss from logits (B, C_r), with margin and scale."""
        with torch.autocast(student.device.type, enabled=False):
            if not len(student):
                return student.sum() * 0
            return distributed.shared(self.weight * self.loss(student, teacher.detach().to(student.dtype)))

    def loss(self, student: Tensor, teacher: Tensor) -> Tensor:
        """The loss before the weight; what sums over classes goes through `facezoo.heads.margin.over_classes`."""
        raise NotImplementedError


class MapDistillation(DistillationLoss):
    """Compares feature maps (b, C, H, W), from fine to coarse, image by image."""

    sees = "maps"

    def forward(self, student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
        """The mean over the batch of all ranks from this rank's maps; student and teacher may differ in (C, H, W)."""
        with torch.autocast(student[0].device.type, enabled=False):
            exact = torch.promote_types(student[0].dtype, torch.float32)
            values = self.each([m.to(exact) for m in student], [m.detach().to(exact) for m in teacher])
            return distributed.shared(self.weight * distributed.gather_rows(values).mean())

    def each(self, student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
        """The losses (b,) of the images, before the weight."""
        raise NotImplementedError


def resized(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """Two maps (B, C, H, W) at the size of the smaller: the larger is averaged."""
    size = min(student.shape[2], teacher.shape[2]), min(student.shape[3], teacher.shape[3])
    return F.adaptive_avg_pool2d(student, size), F.adaptive_avg_pool2d(teacher, size)


def kinds(specs: Sequence[str]) -> set[Kind]:
    """What the losses of spec strings see."""
    return {DISTILLATION_LOSSES.factory_of(spec).sees for spec in specs}  # type: ignore[attr-defined]


def create_distillation(specs: Sequence[str], **given: Any) -> nn.ModuleDict:
    """Distillation losses by name from spec strings such as `cosine:weight=10`.

    Raises:
        InputError: there is none, a spec cannot be made or sets what is given here, or two have one name.
    """
    if not specs:
        raise InputError('model.distillation names no loss; write one or several, such as ["cosine:weight=10"]')
    return nn.ModuleDict(DISTILLATION_LOSSES.create_each(specs, "model.distillation", **given))
