"""CurricularFace: hard negatives count more as the training goes on."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from facezoo.heads.margin import add_angle, arc_target, check_angle, check_scale, put_target, true_cosine
from facezoo.registry import HEADS
from facezoo.types import InputError


@HEADS.register
class CurricularFace(nn.Module):
    """ArcFace with hard negatives weighed by the progress of the training; https://arxiv.org/abs/2004.00288.

    A negative above cos(theta + m) becomes c_j (t + c_j). t is the running mean of the true class's cosine over the
    global batch; a training batch updates it before it is used, also under `optim.accumulate`.

    Args:
        margin: m, radians.
        scale: s, the inverse temperature.
        alpha: share of the newest batch in t.

    Attributes:
        t: (1,), 0 at the start, a buffer.
    """

    formula = "target s cos(theta + m); negatives s c_j, s c_j (t + c_j) where c_j > cos(theta + m)"
    t: Tensor

    def __init__(self, margin: float = 0.5, scale: float = 64.0, alpha: float = 0.01) -> None:
        super().__init__()
        check_angle("curricularface", margin)
        check_scale("curricularface", scale)
        if not 0 < alpha <= 1:
            raise InputError(f"curricularface: alpha is {alpha}, it must be above 0 and at most 1")
        self.margin, self.scale, self.alpha = margin, scale, alpha
        self.register_buffer("t", torch.zeros(1))

    def forward(self, cosine: Tensor, labels: Tensor, norms: Tensor) -> Tensor:
        """Logits (B, C) from cosines (B, C), labels (B,) and embedding norms (B, 1)."""
        plain = true_cosine(cosine, labels)
        if self.training:
            with torch.no_grad():
                self.t.lerp_(plain.mean().to(self.t.dtype), self.alpha)
        hard = cosine > add_angle(plain, self.margin)  # by the formula, also where the target takes the fallback
        logits = cosine * torch.where(hard, self.t + cosine, 1)
        return put_target(logits, labels, arc_target(plain, self.margin), self.scale)


HEADS.preset("curricularface@tface", "curricularface:alpha=0.1")
HEADS.preset("curricularface@facexzoo", "curricularface:margin=0.5,scale=64,alpha=0.01")
HEADS.preset("curricularface@evolve", "curricularface:margin=0.5,scale=64,alpha=0.01")
