"""What is made of the logits: a loss is a choice beside the margin.

A loss is an nn.Module with forward(logits (B, C), labels (B,)) -> scalar, the mean over the batch. As for a margin,
the columns may be a part of the classes and a label may be -1: what sums over classes goes through `surprise` or
`facezoo.heads.margin.over_classes`.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from facezoo import distributed
from facezoo.heads.margin import take_target
from facezoo.registry import LOSSES
from facezoo.types import InputError


def surprise(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """-ln p (B,) of the true class, and the mean (B,) of -ln p over all classes, the columns of all ranks together.

    A logit of -inf is no class for its row. Nothing of the size of the logits is kept but the logits, and the backward
    pass makes one such matrix.
    """
    return _Surprise.apply(logits, labels)


class _Surprise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        top = distributed.largest(logits.amax(1))
        # Row by row: exponentials of the whole matrix would be a second one.
        sums = torch.stack([(row - high).exp_().sum() for row, high in zip(logits, top, strict=True)])
        present = labels >= 0
        true = take_target(logits, labels)[:, 0].masked_fill(~present, 0)
        columns, added = torch.full_like(sums, logits.shape[1]), logits.sum(1)
        ctx.closed = bool(added.isneginf().any())
        if ctx.closed:
            closed = logits.isneginf()
            columns, added = (~closed).sum(1).to(sums), logits.masked_fill(closed, 0).sum(1)
        sums, true, means, columns = distributed.total(torch.stack([sums, true, added, columns]))
        log_sum = top + sums.log()
        # Not log_sum - true: for a confident sample that loses what is small to the rounding of what is large.
        of_true = sums.log() + (top - true)
        ctx.save_for_backward(logits, labels, log_sum, of_true)
        ctx.columns = columns
        return of_true, log_sum - means / columns

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        logits, labels, log_sum, surprise = ctx.saved_tensors
        of_true, of_mean = distributed.total(torch.stack(gradients))
        result = (logits - log_sum[:, None]).exp_().mul_((of_true + of_mean)[:, None])
        result -= (of_mean / ctx.columns)[:, None]
        if ctx.closed:
            result.masked_fill_(logits.isneginf(), 0)
        index, present = labels.clamp(min=0)[:, None], (labels >= 0)[:, None]
        own = of_true * (-surprise).expm1() + of_mean * ((-surprise).exp() - 1 / ctx.columns)  # p - 1, exact near 1
        return result.scatter_(1, index, torch.where(present, own[:, None], result.gather(1, index))), None


@LOSSES.register(name="cross_entropy")
class CrossEntropy(nn.Module):
    """Mean of -ln p over the batch, p the probability of the true class.

    Args:
        smoothing: epsilon of label smoothing, https://arxiv.org/abs/1512.00567: this share of the target is spread
            evenly over all classes, under Partial FC over the sampled ones.
    """

    formula = "(1 - smoothing) (-ln p_y) + smoothing mean_j(-ln p_j)"

    def __init__(self, smoothing: float = 0.0) -> None:
        super().__init__()
        if not 0 <= smoothing < 1:
            raise InputError(f"cross_entropy: smoothing is {smoothing}, it must be at least 0 and below 1")
        self.smoothing = smoothing

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        true, spread = surprise(logits, labels)
        return ((1 - self.smoothing) * true + self.smoothing * spread).mean() if self.smoothing else true.mean()


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

    formula = "(1 - p_y)^gamma (-ln p_y)"

    def __init__(self, gamma: float = 2.0, reduction: Literal["mean", "batch_mean"] = "mean") -> None:
        super().__init__()
        if gamma < 0:
            raise InputError(f"focal: gamma is {gamma}, it must be at least 0")
        self.gamma, self.reduction = gamma, reduction

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        true, _ = surprise(logits, labels)
        if self.reduction == "batch_mean":
            true = true.mean()
        # expm1 keeps 1 - p exact for confident samples; the clamp keeps the power's slope finite where p rounds to 1.
        missing = (-(-true).expm1()).clamp(min=1e-12)
        return (missing**self.gamma * true).mean()


LOSSES.preset("focal@evolve", "focal:reduction=batch_mean")
LOSSES.preset("focal@tface", "focal:reduction=batch_mean")
