"""CIFP: the false positive rate of every instance is pulled towards the one of all."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from facezoo import distributed
from facezoo.heads.margin import (
    check_cosine,
    check_scale,
    negatives,
    over_classes,
    put_target,
    take_target,
    true_cosine,
)
from facezoo.registry import HEADS
from facezoo.types import InputError


@HEADS.register
class CIFP(nn.Module):
    """CosFace with a penalty on a sample's false positives; https://arxiv.org/abs/2106.05519.

    A threshold T is the cosine that the share `far` of all negatives of the batch passes, those above their own true
    cosine left out. r is the mean of c_j^2 over a sample's negatives with T < c_j <= c. In r, negatives from c - m on
    move the embedding only and not the class centres; so does the c of r's factor.

    Args:
        margin: m.
        scale: s, the inverse temperature.
        far: false accept rate that sets T; None is 1 / (C - 1), one false accept a sample.
    """

    formula = "target s (c - m - (1 + c) r), r = mean c_j^2 over T < c_j <= c; negatives s c_j"
    fixed_centres = True

    def __init__(self, margin: float = 0.35, scale: float = 64.0, far: float | None = None) -> None:
        super().__init__()
        check_cosine("cifp", margin)
        check_scale("cifp", scale)
        if far is not None and not 0 < far < 1:
            raise InputError(f"cifp: far is {far}, it must be between 0 and 1")
        self.margin, self.scale, self.far = margin, scale, far

    def forward(self, cosine: Tensor, labels: Tensor, norms: Tensor, fixed: Tensor | None = None) -> Tensor:
        """Logits (B, C) from cosines (B, C), labels (B,) and embedding norms (B, 1).

        `fixed` are the cosines with a gradient to the embeddings only; without them the centres get all of it.
        """
        fixed = cosine if fixed is None else fixed
        with torch.no_grad():
            true = true_cosine(cosine, labels)
            below = negatives(cosine, labels) & (cosine <= true)
            counted = below & (cosine > self._threshold(cosine, labels, below))
            count = over_classes(counted.to(cosine.dtype)).clamp(min=1)
        mixed = torch.where(cosine < true - self.margin, cosine, fixed)
        rate = over_classes(mixed.square().masked_fill(~counted, 0)) / count
        target = take_target(cosine, labels)
        target = target - self.margin - (1 + take_target(fixed, labels)) * rate
        return put_target(cosine, labels, target, self.scale)

    def _threshold(self, cosine: Tensor, labels: Tensor, below: Tensor) -> Tensor:
        """T: among the negatives of all ranks that are not above their true cosine, the k-th largest cosine."""
        columns = torch.tensor(cosine.shape[1], device=cosine.device)
        eligible, classes = (int(value) for value in distributed.total(torch.stack([below.sum(), columns])))
        # Integers: as a float the product can lie a rounding step above a whole number.
        k = -(-eligible // max(1, classes - 1)) if self.far is None else math.ceil(self.far * eligible)
        if k == 0:
            return cosine.new_tensor(torch.inf)
        candidates = cosine.masked_fill(~below, -torch.inf).flatten()
        best = distributed.gather_rows(candidates.topk(min(k, len(candidates))).values)
        return best.topk(k).values[-1]


HEADS.preset("cifp@tface", "cifp:margin=0.35,scale=64")
