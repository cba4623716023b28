"""Probabilistic knowledge transfer: who is near whom in a batch, as probabilities."""

from __future__ import annotations

from torch import Tensor

from facezoo.distillation.loss import EmbeddingDistillation
from facezoo.heads.centres import split
from facezoo.registry import DISTILLATION_LOSSES

EPSILON = 1e-6
"""Keeps the logarithm finite; the authors' number."""


@DISTILLATION_LOSSES.register
class PKT(EmbeddingDistillation):
    """Divergence of the probabilities of being neighbours; https://arxiv.org/abs/1803.10837.

    The mean goes over all pairs of the batch, the image with itself included, as the authors compute it.

    Args:
        weight: factor of the loss.
    """

    formula = "mean_ij p_t(j|i) ln(p_t(j|i) / p_s(j|i)), p(j|i) = (1 + cos_ij) / sum_k (1 + cos_ik)"

    def loss(self, student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
        own, target = _neighbours(student), _neighbours(teacher)
        return (target * ((target + EPSILON) / (own + EPSILON)).log()).mean()


def _neighbours(embeddings: Tensor) -> Tensor:
    """Rows (B, B) of probabilities."""
    directions, _ = split(embeddings)
    nearness = (directions @ directions.T + 1) / 2
    return nearness / nearness.sum(1, keepdim=True)
