"""AdaFace: the margin follows the embedding's norm, which stands for image quality."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from facezoo.heads.margin import check_cosine, check_scale, inside, put_target, take_target
from facezoo.registry import HEADS
from facezoo.types import InputError

SHORTEST, LONGEST = 1e-3, 100.0
"""Norms are clipped to this range, as in the authors' code."""
LIMIT = 1e-3
"""The true class's cosine is kept this far from -1 and 1, its angle after the margin this far from 0 and pi."""


@HEADS.register
class AdaFace(nn.Module):
    """Emphasises hard samples where the norm is large, easy ones where it is small; https://arxiv.org/abs/2204.00964.

    z = clip(h (norm - mean) / std, -1, 1), with a running mean and standard deviation of the norms. The norms have no
    gradient here, and no margin moves an angle beyond 0 or pi.

    Args:
        margin: m.
        concentration: h; at 0.333 the clip leaves about 2 of 3 norms as they are, were they Gaussian.
        scale: s, the inverse temperature.
        alpha: share of the batch in the running mean and standard deviation; the recipes of the paper have 0.01.

    Attributes:
        mean, std: of the norms, over all ranks, moved by every training batch; std is the sample's.
    """

    formula = "target s (cos(theta - m z) - m - m z), z = clip(h (norm - mean) / std, -1, 1); negatives s c_j"
    mean: Tensor
    std: Tensor

    def __init__(
        self, margin: float = 0.4, concentration: float = 0.333, scale: float = 64.0, alpha: float = 0.01
    ) -> None:
        super().__init__()
        check_cosine("adaface", margin)
        check_scale("adaface", scale)
        if not 0 <= alpha <= 1:
            raise InputError(f"adaface: alpha is {alpha}, it must be 0 to 1")
        self.margin, self.concentration, self.scale, self.alpha = margin, concentration, scale, alpha
        # What the authors start from, about the norms of a network that has just been drawn.
        self.register_buffer("mean", torch.tensor(20.0))
        self.register_buffer("std", torch.tensor(100.0))

    def forward(self, cosine: Tensor, labels: Tensor, norms: Tensor) -> Tensor:
        """Logits (B, C) from cosines (B, C), labels (B,) and embedding norms (B, 1)."""
        quality = self.margin * self._spread(norms.detach().clamp(SHORTEST, LONGEST))
        target = take_target(cosine, labels).clamp(LIMIT - 1, 1 - LIMIT)
        angle = (inside(target).acos() - quality).clamp(LIMIT, math.pi - LIMIT)
        return put_target(cosine, labels, angle.cos() - self.margin - quality, self.scale)

    def _spread(self, norms: Tensor) -> Tensor:
        """z (B, 1); the statistics move first, with every batch of the training."""
        if self.training:
            self.mean.lerp_(norms.mean().to(self.mean.dtype), self.alpha)
            if len(norms) > 1:  # one norm has no deviation
                self.std.lerp_(norms.std().to(self.std.dtype), self.alpha)
        return (self.concentration * (norms - self.mean) / (self.std + LIMIT)).clamp(-1, 1)


HEADS.preset("adaface@authors", "adaface:alpha=1.0")  # the default of their class: the batch's own statistics
