"""Centre loss: images are drawn to the mean of their identity."""

from __future__ import annotations

import torch
from torch import Tensor

from facezoo.heads.embedding_loss import EmbeddingLoss
from facezoo.registry import EMBEDDING_LOSSES
from facezoo.types import InputError


@EMBEDDING_LOSSES.register(name="centre")
class CentreLoss(EmbeddingLoss):
    """Squared distances to running means of the classes; ECCV 2016, https://ydwen.github.io/papers/WenECCV16.pdf.

    The paper sums over the batch, here as in its cross-entropy; both are means here. The centres are state of their
    own, all on every rank, and have nothing to do with those of the head. They start at 0 and move after the loss.

    Args:
        num_classes: C, given when the loss is made.
        embedding_dim: D, given when the loss is made.
        alpha: step of the centres.
        weight: lambda, factor of the loss.

    Attributes:
        centres: (C, D).
    """

    formula = "mean |x - z_y|^2 / 2; z_j -= alpha sum_{y = j} (z_j - x) / (1 + n_j)"
    per_class = ("centres",)
    centres: Tensor

    def __init__(self, num_classes: int, embedding_dim: int, alpha: float = 0.5, weight: float = 0.003) -> None:
        super().__init__(weight)
        if not 0 < alpha <= 1:
            raise InputError(f"centre: alpha is {alpha}, it must be above 0 and at most 1")
        self.alpha = alpha
        self.register_buffer("centres", torch.zeros(num_classes, embedding_dim))

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        from_centres = embeddings - self.centres[labels].to(embeddings.dtype)
        if self.training:
            self._move(from_centres.detach(), labels)
        return from_centres.square().sum(1).mean() / 2

    @torch.no_grad()
    def _move(self, from_centres: Tensor, labels: Tensor) -> None:
        classes, rows, counts = labels.unique(return_inverse=True, return_counts=True)
        sums = from_centres.new_zeros(len(classes), from_centres.shape[1]).index_add_(0, rows, from_centres)
        steps = self.alpha * sums / (1 + counts[:, None])
        self.centres.index_add_(0, classes, steps.to(self.centres.dtype))
