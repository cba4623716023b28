"""Circle loss in its form for class labels."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from facezoo.heads.margin import check_cosine, check_scale, put_target, take_target
from facezoo.registry import HEADS


@HEADS.register
class CircleLoss(nn.Module):
    """Weighs every cosine by its distance to its optimum; https://arxiv.org/abs/2002.10857.

    The weights max(0, 1 + m - c) of the true class and max(0, c_j + m) of the negatives have no gradient.

    Args:
        margin: m; the optima are 1 + m and -m, the boundaries 1 - m and m.
        scale: gamma of the paper.
    """

    formula = "target s max(0, 1 + m - c) (c - 1 + m); negatives s max(0, c_j + m) (c_j - m)"

    def __init__(self, margin: float = 0.25, scale: float = 256.0) -> None:
        super().__init__()
        check_cosine("circleloss", margin)
        check_scale("circleloss", scale)
        self.margin, self.scale = margin, scale

    def forward(self, cosine: Tensor, labels: Tensor, norms: Tensor) -> Tensor:
        """Logits (B, C) from cosines (B, C), labels (B,) and embedding norms (B, 1)."""
        plain = take_target(cosine, labels)
        target = (1 + self.margin - plain).clamp(min=0).detach() * (plain - 1 + self.margin)
        with torch.no_grad():
            weight = (cosine + self.margin).clamp_(min=0)
        return put_target(weight * (cosine - self.margin), labels, target, self.scale)


HEADS.preset("circleloss@facexzoo", "circleloss:margin=0.25,scale=256")
HEADS.preset("circleloss@evolve", "circleloss:margin=0.25,scale=256")
