"""Neuron selectivity transfer: the same places excite the student's channels and the teacher's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from facezoo.distillation.loss import MapDistillation, resized
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
        own, target = (F.normalize(maps.flatten(2), dim=2) for maps in resized(student[-1], teacher[-1]))
        between = target @ own.transpose(1, 2)
        spread = (2 - 2 * between).flatten(1).mean(1)
        within = [self._similar(points @ points.transpose(1, 2), spread) for points in (own, target)]
        return (within[0] + within[1]) / 2 - self._similar(between, spread)

    def _similar(self, products: Tensor, spread: Tensor) -> Tensor:
        """The kernel's mean (B,) over products (B, n, m) of points of length 1."""
        if self.kernel == "polynomial":
            products = products.square()
        elif self.kernel == "gaussian":
            # Points of length 1: |x - y|^2 = 2 - 2 x'y.
            width = spread.detach().clamp(min=torch.finfo(spread.dtype).tiny)
            products = ((products - 1) / width[:, None, None]).exp()
        return products.flatten(1).mean(1)
