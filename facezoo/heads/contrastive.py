"""Contrastive losses: images of one identity attract each other, images of two repel."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from facezoo.heads.centres import split
from facezoo.heads.embedding_loss import EmbeddingLoss, distances, mean_or_zero
from facezoo.registry import EMBEDDING_LOSSES
from facezoo.types import InputError


@EMBEDDING_LOSSES.register
class Contrastive(EmbeddingLoss):
    """Pairs of a batch, pulled together or pushed a margin apart; Hadsell, Chopra and LeCun 2006.

    http://yann.lecun.com/exdb/publis/pdf/hadsell-chopra-lecun-06.pdf

    Args:
        margin: m, an L2 distance.
        mining: negative pairs: `all`, or as many of the nearest (`hard`) as there are positive pairs.
        unit: scale the embeddings to length 1 first.
        weight: factor of the loss.
    """

    formula = "(mean_pos d^2 + mean_neg [m - d]+^2) / 2"

    def __init__(
        self, margin: float = 1.0, mining: Literal["all", "hard"] = "all", unit: bool = True, weight: float = 1.0
    ) -> None:
        super().__init__(weight)
        if margin <= 0:
            raise InputError(f"contrastive: margin is {margin}, it must be above 0")
        self.margin, self.mining, self.unit = margin, mining, unit

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        measured = distances(split(embeddings)[0] if self.unit else embeddings)
        same = labels[:, None] == labels
        once = torch.ones_like(same).triu(1)
        positives, negatives = measured[same & once], measured[~same & once]
        if self.mining == "hard" and len(positives) < len(negatives):
            negatives = negatives.topk(len(positives), largest=False).values
        apart = (self.margin - negatives).clamp(min=0)
        return (mean_or_zero(positives.square()) + mean_or_zero(apart.square())) / 2


@EMBEDDING_LOSSES.register(name="supervised_contrastive")
class SupervisedContrastive(EmbeddingLoss):
    """Every image against all others, its own identity's to be the nearest; https://arxiv.org/abs/2004.11362.

    The form with the sum over positives outside of the logarithm, averaged over the images that have a positive.

    Args:
        temperature: tau.
        weight: factor of the loss.
    """

    formula = "mean_i mean_p -ln (e^(c_ip / tau) / sum_{a != i} e^(c_ia / tau))"

    def __init__(self, temperature: float = 0.1, weight: float = 1.0) -> None:
        super().__init__(weight)
        if temperature <= 0:
            raise InputError(f"supervised_contrastive: temperature is {temperature}, it must be above 0")
        self.temperature = temperature

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        directions, _ = split(embeddings)
        itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
        positives = (labels[:, None] == labels) & ~itself
        rows = positives.any(1)
        logits = (directions[rows] @ directions.T) / self.temperature
        surprise = logits.masked_fill(itself[rows], -torch.inf).logsumexp(1, keepdim=True) - logits
        positives = positives[rows]
        return mean_or_zero(surprise.masked_fill(~positives, 0).sum(1) / positives.sum(1))
