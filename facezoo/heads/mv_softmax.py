"""MV-Softmax: hard negatives count more."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from facezoo.heads.margin import add_angle, check_angle, check_cosine, check_scale, put_target, true_cosine
from facezoo.registry import HEADS
from facezoo.types import InputError


@HEADS.register
class MVSoftmax(nn.Module):
    """Weighs misclassified negatives up; https://arxiv.org/abs/1912.00833.

    A negative is hard if its cosine is above the true class's cosine after the margin.

    Args:
        margin: m, taken from the cosine of the true class (`am`) or added to its angle, radians (`arc`).
        weight: t; at 1 a hard negative counts as any other.
        scale: s, the inverse temperature.
        kind: `am` or `arc`, the margin's form.
        easy_margin: put the margin on the true class only where its cosine is above m (`am`) or 0 (`arc`), as the
            authors' code does; the paper's formula has no such condition.
    """

    formula = "target s a, a = c - m or cos(theta + m); negatives s c_j, s (t c_j + t - 1) where c_j > a"

    def __init__(
        self,
        margin: float = 0.35,
        weight: float = 1.12,
        scale: float = 32.0,
        kind: Literal["am", "arc"] = "am",
        easy_margin: bool = False,
    ) -> None:
        super().__init__()
        (check_cosine if kind == "am" else check_angle)("mvsoftmax", margin)
        check_scale("mvsoftmax", scale)
        if weight < 1:
            raise InputError(
                f"mvsoftmax: weight is {weight}, it must be at least 1, or hard negatives would count less"
            )
        self.margin, self.weight, self.scale, self.kind, self.easy_margin = margin, weight, scale, kind, easy_margin

    def forward(self, cosine: Tensor, labels: Tensor, norms: Tensor) -> Tensor:
        """Logits (B, C) from cosines (B, C), labels (B,) and embedding norms (B, 1)."""
        plain = true_cosine(cosine, labels)
        target = plain - self.margin if self.kind == "am" else add_angle(plain, self.margin)
        hard = self.weight * cosine + self.weight - 1
        logits = torch.where(cosine > target, hard, cosine)
        if self.easy_margin:
            target = torch.where(plain > (self.margin if self.kind == "am" else 0), target, plain)
        return put_target(logits, labels, target, self.scale)


HEADS.preset("mvsoftmax@facexzoo", "mvsoftmax:easy_margin=true")
HEADS.preset("mvsoftmax@evolve", "mvsoftmax:easy_margin=true")
