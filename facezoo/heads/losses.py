"""What is made of the logits: a loss is a choice beside the margin.

A loss is an nn.Module with forward(logits (B, C), labels (B,)) -> scalar.
"""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from facezoo.registry import LOSSES
from facezoo.types import InputError


@LOSSES.register(name="cross_entropy")
class CrossEntropy(nn.Module):
    """Mean of -ln p over the batch, p the probability of the true class.

    Args:
        smoothing: epsilon of label smoothing, https://arxiv.org/abs/1512.00567: this share of the target is spread
            evenly over all classes.
    """

    def __init__(self, smoothing: float = 0.0) -> None:
        super().__init__()
        if not 0 <= smoothing < 1:
            raise InputError(f"cross_entropy: smoothing is {smoothing}, it must be at least 0 and below 1")
        self.smoothing = smoothing

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(logits, labels, label_smoothing=self.smoothing)


@LOSSES.register(name="label_smoothing")
def label_smoothing(smoothing: float = 0.1) -> CrossEntropy:
    """Cross-entropy with label smoothing; https://arxiv.org/abs/1512.00567."""
    return CrossEntropy(smoothing)


@LOSSES.register
class Focal(nn.Module):
    """Cross-entropy that turns away from easy samples, (1 - p)^gamma (-ln p); https://arxiv.org/abs/1708.02002.

    Args:
        gamma: focusing exponent; 0 is cross-entropy.
        reduction: `mean` weighs every sample by its own p, as the paper does; `batch_mean` weighs the mean
            cross-entropy by the probability it stands for, as face.evoLVe and TFace train.
    """

    def __init__(self, gamma: float = 2.0, reduction: Literal["mean", "batch_mean"] = "mean") -> None:
        super().__init__()
        if gamma < 0:
            raise InputError(f"focal: gamma is {gamma}, it must be at least 0")
        self.gamma, self.reduction = gamma, reduction

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        surprise = F.cross_entropy(logits, labels, reduction="mean" if self.reduction == "batch_mean" else "none")
        # expm1 keeps 1 - p exact for confident samples; the clamp keeps the power's slope finite where p rounds to 1.
        missing = (-(-surprise).expm1()).clamp(min=1e-12)
        return (missing**self.gamma * surprise).mean()
