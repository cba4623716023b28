"""UniFace's unified cross-entropy: one threshold for all positive and negative pairs."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facezoo import distributed
from facezoo.heads.margin import negatives, over_classes, true_cosine
from facezoo.registry import LOSSES
from facezoo.types import InputError


@LOSSES.register
class UniFace(nn.Module):
    """Every logit is told from a learnt bias b, which all samples share; ICCV 2023.

    https://openaccess.thecvf.com/content/ICCV2023/papers/Zhou_UniFace_Unified_Cross-Entropy_Loss_for_Deep_Face_Recognition_ICCV_2023_paper.pdf

    A loss beside the margin; the authors' head is `cosface:margin=0.4` with it.

    Args:
        num_classes: C, given when the head is made.
        negative_weight: l, of the negatives' sum.
        start: b at the start; None is ln(10 C), as the authors'.

    Attributes:
        bias: b.
    """

    formula = "ln(1 + e^(b - z_y)) + negative_weight sum_j ln(1 + e^(z_j - b))"

    def __init__(self, num_classes: int, negative_weight: float = 1.0, start: float | None = None) -> None:
        super().__init__()
        if negative_weight <= 0:
            raise InputError(f"uniface: negative_weight is {negative_weight}, it must be above 0")
        self.negative_weight = negative_weight
        self.bias = nn.Parameter(torch.tensor(math.log(10 * num_classes) if start is None else start))

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        bias = distributed.replicated(self.bias)
        missed = F.softplus(bias - true_cosine(logits, labels))
        taken = F.softplus(logits - bias).masked_fill(~negatives(logits, labels), 0)
        return (missed + self.negative_weight * over_classes(taken)).mean()
