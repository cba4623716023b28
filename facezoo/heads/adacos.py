"""AdaCos: the scale follows the training, there is no margin to choose."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from facezoo import distributed
from facezoo.heads.margin import put_target, true_cosine
from facezoo.registry import HEADS
from facezoo.types import InputError


@HEADS.register
class AdaCos(nn.Module):
    """Cosines with a scale from the batch's angles and its negatives; https://arxiv.org/abs/1905.00292.

    Every training batch sets s = ln B / cos(min(pi/4, theta_med)) before it uses it. B is the mean over the global
    batch of the negatives' sum of exp(s c_j) at the scale before, theta_med the median angle to the true class.
    Under Partial FC the sum over the sampled negatives stands for that over all.

    Args:
        num_classes: C.
        fixed: keep the first scale, sqrt(2) ln(C - 1).

    Attributes:
        scale: s, a buffer.
    """

    formula = "target s c, s = ln B / cos(min(pi/4, theta_med)); negatives s c_j"
    scale: Tensor

    def __init__(self, num_classes: int, fixed: bool = False) -> None:
        super().__init__()
        if num_classes < 3:
            raise InputError(f"adacos: {num_classes} classes; its scale sqrt(2) ln(classes - 1) needs at least 3")
        self.num_classes, self.fixed = num_classes, fixed
        self.determined = ("scale",) if fixed else ()
        self.register_buffer("scale", torch.tensor(math.sqrt(2) * math.log(num_classes - 1)))

    def forward(self, cosine: Tensor, labels: Tensor, norms: Tensor) -> Tensor:
        """Logits (B, C) from cosines (B, C), labels (B,) and embedding norms (B, 1)."""
        if self.training and not self.fixed:
            self._follow(cosine, labels)
        # A copy: the backward pass needs this step's scale, and the next step changes it in place.
        return cosine * self.scale.clone()

    @torch.no_grad()
    def _follow(self, cosine: Tensor, labels: Tensor) -> None:
        plain = true_cosine(cosine, labels)
        nothing = torch.full_like(plain, -math.inf)
        own = put_target(cosine, labels, nothing, self.scale).flatten().logsumexp(0)
        top = distributed.largest(own)
        log_sum = top + distributed.total((own - top).exp()).log()
        others = distributed.total(torch.full_like(own, cosine.shape[1])) - 1
        log_mean = log_sum - math.log(len(cosine)) + ((self.num_classes - 1) / others).log()
        angle = plain.clamp(-1, 1).acos().median().clamp(max=math.pi / 4)
        # A sample may hold no negative: then there is nothing to follow.
        self.scale.copy_(torch.where(top.isfinite(), log_mean / angle.cos(), self.scale))


HEADS.preset("adacos@facexzoo", "adacos:fixed=false")
HEADS.preset("adacos@evolve", "adacos:fixed=false")
