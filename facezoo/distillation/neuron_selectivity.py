"""Neuron selectivity transfer: the same places excite the student's channels and the teacher's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from facezoo.distillation.loss import MapDistillation, resized
from facezoo.heads.centres import split
from facezoo.registry import DISTILLATION_LOSSES
from facezoo.types import InputError


@DISTILLATION_LOSSES.register
class NST(MapDistillation):
    """Squared maximum mean discrepancy of the channels of the coarsest maps; https://arxiv.org/abs/1707.01219.

    A channel is a point: its numbers over all places, scaled to length 1. Student and teacher need not have as many.

    Args:
        kernel: `linear` is x'y, `polynomial` (x'y)^2, `gaussian` exp(-|x - y|^2 / (2 v)), v being the mean of |x - y|^2
            between the channels of student and teacher.
        weight: lambda.
    """

    formula = "1/2 mean_i (mean k(t, t') + mean k(s, s') - 2 mean k(t, s))"

    def __init__(self, kernel: Literal["linear", "polynomial", "gaussian"] = "polynomial", weight: float = 1.0) -> None:
        super().__init__(weight)
        if kernel not in ("linear", "polynomial", "gaussian"):
            raise InputError(f"nst: kernel is {kernel!r}, it must be linear, polynomial or gaussian")
        self.kernel = kernel

    def each(self, student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
        own, target = (_points(maps) for maps in resized(student[-1], teacher[-1]))
        spread = _squares(target, own).flatten(1).mean(1).detach()
        within = [self._similar(points, points, spread) for points in (own, target)]
        return (within[0] + within[1]) / 2 - self._similar(target, own, spread)

    def _similar(self, left: Tensor, right: Tensor, spread: Tensor) -> Tensor:
        """The kernel's mean (B,) over the pairs of points (B, n, D) and (B, m, D)."""
        if self.kernel == "gaussian":
            width = 2 * spread.clamp(min=torch.finfo(spread.dtype).eps)
            similar = (-_squares(left, right) / width[:, None, None]).exp()
        else:
            similar = left @ right.transpose(1, 2)
            similar = similar.square() if self.kernel == "polynomial" else similar
        return similar.flatten(1).mean(1)


def _points(maps: Tensor) -> Tensor:
    """Channels (B, C, H W) of length 1; a dead one, which is 0 all over, stays at 0 and has no gradient."""
    return split(maps.flatten(2).flatten(0, 1))[0].unflatten(0, maps.shape[:2])


def _squares(left: Tensor, right: Tensor) -> Tensor:
    """|x - y|^2 (B, n, m) of points (B, n, D) and (B, m, D)."""
    lengths = [points.square().sum(2) for points in (left, right)]
    # Rounding would make those of the same points negative.
    return (lengths[0][:, :, None] + lengths[1][:, None] - 2 * left @ right.transpose(1, 2)).clamp(min=0)
