"""The combined margin: SphereFace's factor, ArcFace's angle and CosFace's cosine in one formula."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from facezoo.heads.margin import (
    add_angle,
    check_angle,
    check_cosine,
    check_scale,
    inside,
    put_target,
    straight_through,
    take_target,
)
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
        gradient: `exact`, or `straight_through`, which leaves the margin out of the derivative, as insightface does.
    """

    formula = "target s (cos(m1 theta + m2) - m3); negatives s c_j, 0 where c_j > filter"

    def __init__(
        self,
        m1: float = 1.0,
        m2: float = 0.3,
        m3: float = 0.2,
        scale: float = 64.0,
        filter: float = 0.0,
        gradient: Literal["exact", "straight_through"] = "exact",
    ) -> None:
        super().__init__()
        if m1 < 1:
            raise InputError(f"combined: m1 is {m1}, it must be at least 1")
        check_angle("combined", m2, "m2")
        check_cosine("combined", m3, "m3")
        check_scale("combined", scale)
        if not 0 <= filter < 1:
            raise InputError(f"combined: filter is {filter}, it must be a cosine from 0 (off) to below 1")
        self.m1, self.m2, self.m3 = m1, m2, m3
        self.scale, self.filter, self.gradient = scale, filter, gradient

    def forward(self, cosine: Tensor, labels: Tensor, norms: Tensor) -> Tensor:
        """Logits (B, C) from cosines (B, C), labels (B,) and embedding norms (B, 1)."""
        plain = take_target(cosine, labels)
        if self.m1 == 1:  # no arccos is needed, and near 1 none is more exact
            target = add_angle(plain, self.m2) - self.m3
        else:
            target = torch.cos(self.m1 * torch.acos(inside(plain)) + self.m2) - self.m3
        if self.gradient == "straight_through":
            target = straight_through(target, plain)
        if self.filter > 0:
            cosine = torch.where(cosine > self.filter, torch.zeros_like(cosine), cosine)
        return put_target(cosine, labels, target, self.scale)


# insightface's own class drops m1 and m2 where m3 is set: its CosFace is `cosface@insightface`.
HEADS.preset("combined@insightface", "combined:m1=1,m2=0.5,m3=0,gradient=straight_through")
