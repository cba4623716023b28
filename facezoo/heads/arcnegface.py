"""ArcNegFace: negatives near the true class count more, far ones less."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from facezoo.heads.margin import arc_target, check_angle, check_scale, put_target, true_cosine
from facezoo.registry import HEADS
from facezoo.types import InputError


@HEADS.register
class ArcNegFace(nn.Module):
    """ArcFace with negatives weighed by their distance to the true class; https://arxiv.org/abs/1909.00632.

    A negative becomes w_j c_j + w_j - 1, w_j = alpha exp(-(c_j - a)^2 / sigma) without gradient, a the true class's
    cosine after the margin.

    Args:
        margin: m, radians.
        scale: s, the inverse temperature.
        alpha: weight of a negative as near as the true class.
        sigma: how fast the weight falls with the distance.
    """

    formula = "target s a, a = cos(theta + m); negatives s (w_j c_j + w_j - 1), w_j = alpha exp(-(c_j - a)^2 / sigma)"

    def __init__(self, margin: float = 0.5, scale: float = 64.0, alpha: float = 1.2, sigma: float = 2.0) -> None:
        super().__init__()
        check_angle("arcnegface", margin)
        check_scale("arcnegface", scale)
        if sigma <= 0:
            raise InputError(f"arcnegface: sigma is {sigma}, it must be above 0")
        self.margin, self.scale, self.alpha, self.sigma = margin, scale, alpha, sigma

    def forward(self, cosine: Tensor, labels: Tensor, norms: Tensor) -> Tensor:
        """Logits (B, C) from cosines (B, C), labels (B,) and embedding norms (B, 1)."""
        target = arc_target(true_cosine(cosine, labels), self.margin)
        with torch.no_grad():
            weight = (cosine - target).square_().mul_(-1 / self.sigma).exp_().mul_(self.alpha)
        return put_target(torch.addcmul(weight - 1, weight, cosine), labels, target, self.scale)


HEADS.preset("arcnegface@facexzoo", "arcnegface:margin=0.5,scale=64,alpha=1.2,sigma=2")
HEADS.preset("arcnegface@evolve", "arcnegface:margin=0.5,scale=64,alpha=1.2,sigma=2")
