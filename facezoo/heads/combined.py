"""The combined margin: SphereFace's factor, ArcFace's angle and CosFace's cosine in one formula."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from facezoo.heads.margin import add_angle, inside, put_target, take_target
from facezoo.registry import HEADS
from facezoo.types import InputError


@HEADS.register
class Combined(nn.Module):
    """cos(m1 theta + m2) - m3 for the true class; https://arxiv.org/abs/1801.07698, section 2.3.

    The formula is taken as it stands: where m1 theta + m2 passes pi the cosine rises again.

    Args:
        m1: factor of the angle, at least 1.
        m2: added to the angle, radians.
        m3: taken from the cosine.
        scale: s, the inverse temperature.
        filter: negatives with a cosine above it are left out (cosine and gradient 0): they are taken for other
            photos of the same person; https://arxiv.org/abs/2203.15565. 0 filters nothing.
    """

    def __init__(
        self, m1: float = 1.0, m2: float = 0.3, m3: float = 0.2, scale: float = 64.0, filter: float = 0.0
    ) -> None:
        super().__init__()
        if m1 < 1:
            raise InputError(f"combined: m1 is {m1}, it must be at least 1")
        if not 0 <= filter < 1:
            raise InputError(f"combined: filter is {filter}, it must be a cosine from 0 (off) to below 1")
        self.m1, self.m2, self.m3, self.scale, self.filter = m1, m2, m3, scale, filter

    def forward(self, cosine: Tensor, labels: Tensor, norms: Tensor) -> Tensor:
        """Logits (B, C) from cosines (B, C), labels (B,) and embedding norms (B, 1)."""
        target = take_target(cosine, labels)
        if self.m1 == 1:  # no arccos is needed, and near 1 none is more exact
            target = add_angle(target, self.m2) - self.m3
        else:
            target = torch.cos(self.m1 * torch.acos(inside(target)) + self.m2) - self.m3
        if self.filter > 0:
            cosine = torch.where(cosine > self.filter, torch.zeros_like(cosine), cosine)
        return put_target(cosine, labels, target, self.scale)
