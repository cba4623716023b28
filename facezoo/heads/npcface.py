"""NPCFace: the harder the negatives, the larger the margin of the true class."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from facezoo.heads.margin import add_angle, check_scale, negatives, over_classes, put_target, true_cosine
from facezoo.registry import HEADS
from facezoo.types import InputError


@HEADS.register
class NPCFace(nn.Module):
    """Weighs hard negatives up and widens the true class's margin by them; https://arxiv.org/abs/2007.10172.

    A negative is hard if it is above cos(theta + m). The true class's margin is M = m0 + m1 mean of the hard
    negatives' cosines, without gradient; it is put where cos(theta) > 0.

    Args:
        margin: m, radians, which says what is hard.
        scale: s, the inverse temperature.
        m0: margin without hard negatives, radians.
        m1: what the hard negatives' mean cosine adds, radians.
        weight: t, a hard negative's factor.
        shift: a, what is added to a hard negative.
    """

    formula = "target s cos(theta + m0 + m1 mean_hard c_j); negatives s c_j, hard s (t c_j + a)"

    def __init__(
        self,
        margin: float = 0.5,
        scale: float = 64.0,
        m0: float = 0.4,
        m1: float = 0.2,
        weight: float = 1.1,
        shift: float = 0.2,
    ) -> None:
        super().__init__()
        if not 0 <= margin < math.pi / 2 or not 0 <= m0 <= m0 + m1 < math.pi / 2:
            raise InputError(
                f"npcface: margins are margin={margin}, m0={m0} and m0+m1={m0 + m1}, "
                "each must be at least 0 and below pi/2 radians, m1 at least 0"
            )
        check_scale("npcface", scale)
        self.margin, self.scale, self.m0, self.m1, self.weight, self.shift = margin, scale, m0, m1, weight, shift

    def forward(self, cosine: Tensor, labels: Tensor, norms: Tensor) -> Tensor:
        """Logits (B, C) from cosines (B, C), labels (B,) and embedding norms (B, 1)."""
        plain = true_cosine(cosine, labels)
        hard = cosine > add_angle(plain, self.margin)
        with torch.no_grad():
            counted = hard & negatives(cosine, labels)
            found = over_classes(counted.to(cosine.dtype))
            mean = over_classes(cosine.masked_fill(~counted, 0)) / found.clamp(min=1)
        target = torch.where(plain > 0, add_angle(plain, self.m0 + self.m1 * mean), plain)
        logits = torch.where(hard, self.weight * cosine + self.shift, cosine)
        return put_target(logits, labels, target, self.scale)


HEADS.preset("npcface@facexzoo", "npcface:margin=0.35,scale=32")
HEADS.preset("npcface@evolve", "npcface:margin=0.5,scale=64,m0=0.4,m1=0.2,weight=1.1,shift=0.2")
