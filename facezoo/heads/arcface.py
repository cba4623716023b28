"""ArcFace: a margin on the angle."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from facezoo.heads.margin import add_angle, put_target, take_target
from facezoo.registry import HEADS
from facezoo.types import InputError


@HEADS.register
class ArcFace(nn.Module):
    """Adds the margin to the true class's angle; https://arxiv.org/abs/1801.07698.

    Args:
        margin: m, radians.
        scale: s, the inverse temperature.
        fallback: what stands for cos(theta + m) where theta + m passes pi and the cosine would rise again.
            `linear` is cos(theta) - m sin(m), which keeps the logit falling; `cosine` is cos(theta), as FaceX-Zoo
            trains; `none` leaves the formula, as insightface does.
        easy_margin: put the margin only where cos(theta) > 0; then nothing passes pi and `fallback` has no place.
    """

    def __init__(
        self,
        margin: float = 0.5,
        scale: float = 64.0,
        fallback: Literal["linear", "cosine", "none"] = "linear",
        easy_margin: bool = False,
    ) -> None:
        super().__init__()
        if not 0 <= margin < math.pi / 2:
            raise InputError(f"arcface: margin is {margin}, it must be at least 0 and below pi/2 radians")
        if easy_margin and fallback != "linear":
            raise InputError(f"arcface: with easy_margin=true nothing passes pi; leave fallback={fallback} out")
        self.margin, self.scale, self.fallback, self.easy_margin = margin, scale, fallback, easy_margin

    def forward(self, cosine: Tensor, labels: Tensor, norms: Tensor) -> Tensor:
        """Logits (B, C) from cosines (B, C), labels (B,) and embedding norms (B, 1)."""
        target = take_target(cosine, labels)
        return put_target(cosine, labels, self._penalised(target), self.scale)

    def _penalised(self, target: Tensor) -> Tensor:
        moved = add_angle(target, self.margin)
        if self.easy_margin:
            return torch.where(target > 0, moved, target)
        if self.fallback == "none":
            return moved
        instead = target - self.margin * math.sin(self.margin) if self.fallback == "linear" else target
        return torch.where(target > -math.cos(self.margin), moved, instead)
