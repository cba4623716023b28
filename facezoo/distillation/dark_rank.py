"""DarkRank: in which order the others stand, seen from each image of a batch."""

from __future__ import annotations

import torch
from torch import Tensor

from facezoo.distillation.loss import EmbeddingDistillation
from facezoo.heads.centres import split
from facezoo.heads.embedding_loss import distances
from facezoo.registry import DISTILLATION_LOSSES
from facezoo.types import InputError


@DISTILLATION_LOSSES.register
class DarkRank(EmbeddingDistillation):
    """How unlikely the teacher's order is by the student's distances, the hard loss; https://arxiv.org/abs/1707.01220.

    Args:
        alpha: factor of the scores.
        beta: power of the distances between directions.
        length: how many of the nearest, by the teacher, are put in order.
        weight: factor of the loss.
    """

    formula = "mean_i -ln prod_k exp(z_k) / sum_{l >= k} exp(z_l), z = -alpha d^beta in the teacher's order"
    least = 3

    def __init__(self, alpha: float = 3.0, beta: float = 3.0, length: int = 3, weight: float = 1.0) -> None:
        super().__init__(weight)
        if not (alpha > 0 and beta >= 1) or length < 2:
            raise InputError(
                f"darkrank: alpha is {alpha}, beta is {beta} and length is {length}; write alpha above 0, beta from 1 "
                "and length from 2"
            )
        self.alpha, self.beta, self.length = alpha, beta, length

    def loss(self, student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
        length = min(self.length, len(student) - 1)
        own, target = (distances(split(embeddings)[0]) for embeddings in (student, teacher))
        order = target.fill_diagonal_(torch.inf).topk(length, dim=1, largest=False).indices
        scores = -self.alpha * own.gather(1, order) ** self.beta
        behind = torch.stack([scores[:, place:].logsumexp(1) for place in range(length)], dim=1)
        return (behind - scores).sum(1).mean()
