"""Attention transfer: where the student looks."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from facezoo.distillation.loss import MapDistillation, resized
from facezoo.registry import DISTILLATION_LOSSES


@DISTILLATION_LOSSES.register
class AT(MapDistillation):
    """Distances of the maps of attention, scaled to length 1, at every stage; https://arxiv.org/abs/1612.03928.

    A map of attention is the sum of squares over the channels at each place: the paper's F_sum^2, with p = 2 and its
    equation 2. (The authors' program takes squared distances.)

    Args:
        weight: beta.
    """

    formula = "1/2 sum over stages of mean_i |Q_s / |Q_s| - Q_t / |Q_t||, Q = sum_c F_c^2"

    def each(self, student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
        stages = [_length(attention(s) - attention(t)) for s, t in map(resized, student, teacher)]
        return sum(stages[1:], stages[0]) / 2


def attention(maps: Tensor) -> Tensor:
    """(B, H W) of length 1 from maps (B, C, H, W)."""
    return F.normalize(maps.square().sum(1).flatten(1))


def _length(rows: Tensor) -> Tensor:
    """Lengths (B,) of rows (B, n); at 0, where student and teacher agree, with gradient 0."""
    return rows.square().sum(1).clamp(min=1e-12).sqrt()
