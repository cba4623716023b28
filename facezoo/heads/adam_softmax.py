"""AdaM-Softmax of AdaptiveFace: every class learns its margin."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from facezoo import distributed
from facezoo.heads.margin import check_scale, put_target, take_target
from facezoo.registry import HEADS
from facezoo.types import InputError


@HEADS.register
class AdaMSoftmax(nn.Module):
    """Takes a margin of the class's own from the true class's cosine, and rewards wide margins.

    https://openaccess.thecvf.com/content_CVPR_2019/papers/Liu_AdaptiveFace_Adaptive_Margin_and_Sampling_for_Face_Recognition_CVPR_2019_paper.pdf

    Args:
        num_classes: C.
        scale: s, the inverse temperature.
        penalty_weight: factor of the penalty 1 - mean of all margins.

    Attributes:
        margins: m_j, (C,), uniform in [0.3, 0.4] at the start. The optimiser may leave [0, 1]; a training batch first
            brings them back, in place, and evaluation uses them clipped.
    """

    formula = "target s (c - m_y); negatives s c_j; penalty w (1 - mean_j m_j)"
    per_class = ("margins",)

    def __init__(self, num_classes: int, scale: float = 30.0, penalty_weight: float = 70.0) -> None:
        super().__init__()
        if num_classes < 1:
            raise InputError(f"adamsoftmax: {num_classes} classes; there must be at least 1")
        check_scale("adamsoftmax", scale)
        if penalty_weight < 0:
            raise InputError(f"adamsoftmax: penalty_weight is {penalty_weight}, it must be at least 0")
        self.scale, self.penalty_weight = scale, penalty_weight
        self.margins = nn.Parameter(torch.empty(num_classes).uniform_(0.3, 0.4))

    def forward(self, cosine: Tensor, labels: Tensor, norms: Tensor, classes: Tensor) -> Tensor:
        """Logits (B, C) from cosines (B, C), labels (B,), embedding norms (B, 1) and classes (B,) among all."""
        if self.training:
            with torch.no_grad():
                self.margins.clamp_(0, 1)
        target = take_target(cosine, labels) - self._bounded()[classes][:, None]
        return put_target(cosine, labels, target, self.scale)

    def penalty(self, norms: Tensor) -> Tensor:
        """penalty_weight (1 - the mean margin of all classes); the norms (B, 1) have no say."""
        return self.penalty_weight * (1 - self._bounded().mean())

    def _bounded(self) -> Tensor:
        margins = distributed.replicated(self.margins)
        return margins if self.training else margins.clamp(0, 1)


HEADS.preset("adamsoftmax@facexzoo", "adamsoftmax:scale=32")
