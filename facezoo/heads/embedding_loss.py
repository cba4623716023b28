"""Losses that compare the embeddings of a batch with each other instead of with class centres.

An embedding loss is a module with forward(embeddings (b, D), labels (b,)) -> scalar. One is written as `loss`, which
sees the batch of all ranks together; `EmbeddingLoss` gathers it. State is buffers, updated in place and in training
only; with `per_class` as for a margin, see `facezoo.heads.margin`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from facezoo import distributed
from facezoo.registry import EMBEDDING_LOSSES
from facezoo.types import InputError


class EmbeddingLoss(nn.Module):
    """The base: float32 (float64 stays) also under autocast, and the same scalar on any number of ranks.

    Args:
        weight: factor of the loss.
    """

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__()
        if not weight > 0:
            raise InputError(f"{type(self).__name__.lower()}: weight is {weight}, it must be above 0")
        self.weight = weight

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """The loss of the batch of all ranks from this rank's embeddings (b, D), not normalised, and labels (b,)."""
        with torch.autocast(embeddings.device.type, enabled=False):
            exact = torch.promote_types(embeddings.dtype, torch.float32)
            return distributed.shared(self.weight * self.loss(*distributed.gather_batch(embeddings.to(exact), labels)))

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """The loss before the weight, of embeddings (B, D) and labels (B,) of all ranks."""
        raise NotImplementedError


def distances(embeddings: Tensor) -> Tensor:
    """Euclidean distances (B, B) of embeddings (B, D), exact also for near ones; at distance 0 the gradient is 0."""
    return torch.cdist(embeddings, embeddings, compute_mode="donot_use_mm_for_euclid_dist")


def mean_or_zero(values: Tensor) -> Tensor:
    """The mean of what was found in a batch; 0, with gradients of 0, where nothing was."""
    return values.mean() if values.numel() else values.sum()


def create_embedding_losses(specs: Sequence[str], num_classes: int, embedding_dim: int) -> nn.ModuleDict:
    """Embedding losses by name from spec strings such as `triplet:margin=0.2`, for so many classes and dimensions.

    Raises:
        InputError: a spec cannot be made or sets what is given here, or two have one name.
    """
    given = {"num_classes": num_classes, "embedding_dim": embedding_dim}
    return nn.ModuleDict(EMBEDDING_LOSSES.create_each(specs, "embedding losses", **given))
