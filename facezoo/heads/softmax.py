"""Heads without a margin."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from facezoo import distributed
from facezoo.heads.margin import check_scale
from facezoo.registry import HEADS
from facezoo.types import InputError


@HEADS.register
class Softmax(nn.Module):
    """The plain classifier: inner products of embeddings and class centres, no margin, no scale.

    Faces learnt as classes, as in DeepID2's identification signal; https://arxiv.org/abs/1406.4773.

    Args:
        num_classes: C.
        bias: learn a bias b_j for every class, 0 at the start.
    """

    formula = "target |x| |w| c + b; negatives |x| |w_j| c_j + b_j"
    unit_centres = False

    def __init__(self, num_classes: int, bias: bool = False) -> None:
        super().__init__()
        if num_classes < 1:
            raise InputError(f"softmax: {num_classes} classes; there must be at least 1")
        self.bias = nn.Parameter(torch.zeros(num_classes)) if bias else None
        self.per_class = ("bias",) if bias else ()
        self.column_classes = bias

    def forward(
        self,
        cosine: Tensor,
        labels: Tensor,
        norms: Tensor,
        classes: Tensor | None = None,
        columns: Tensor | None = None,
    ) -> Tensor:
        """Logits (B, C) from unit embeddings times centres (B, C), labels (B,) and embedding norms (B, 1).

        With a bias also from the rows' classes (B,) and the columns' classes (C,) among all classes.
        """
        logits = cosine * norms
        return logits if self.bias is None else logits + distributed.replicated(self.bias)[columns]


@HEADS.register
class NormFace(nn.Module):
    """Scaled cosines, no margin; https://arxiv.org/abs/1704.06369.

    Args:
        scale: s, the inverse temperature.
        learn_scale: learn s, as the paper does, from `scale` on; off, it stays.
    """

    formula = "target s c; negatives s c_j"

    def __init__(self, scale: float = 64.0, learn_scale: bool = False) -> None:
        super().__init__()
        check_scale("normface", scale)
        self.scale = nn.Parameter(torch.tensor(float(scale))) if learn_scale else scale

    def forward(self, cosine: Tensor, labels: Tensor, norms: Tensor) -> Tensor:
        """Logits (B, C) from cosines (B, C), labels (B,) and embedding norms (B, 1)."""
        scale = distributed.replicated(self.scale) if isinstance(self.scale, Tensor) else self.scale
        return scale * cosine


HEADS.preset("softmax@evolve", "softmax:bias=true")
HEADS.preset("normface@tface", "normface:scale=64")
