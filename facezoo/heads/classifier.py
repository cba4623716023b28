"""The one owner of class centres: any margin with any loss behind one signature."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facezoo.registry import HEADS, LOSSES
from facezoo.types import InputError

SHORTEST = 1e-6
"""A vector shorter than this has no direction: its cosines and gradients are 0."""


class Classifier(nn.Module):
    """Class centres with a margin and a loss: embeddings and labels to named losses.

    It computes in float32 (float64 stays), also under autocast: near 1 a half-precision cosine moves in steps that
    are wider than a margin's effect.

    Args:
        embedding_dim: D.
        num_classes: C.
        margin: forward(cosine (B, C), labels (B,), norms (B, 1)) -> logits (B, C); see `facezoo.heads.margin`.
        loss: forward(logits (B, C), labels (B,)) -> scalar; see `facezoo.heads.losses`.

    Attributes:
        weight: the class centres (C, D), of any length.
    """

    def __init__(self, embedding_dim: int, num_classes: int, margin: nn.Module, loss: nn.Module) -> None:
        super().__init__()
        if embedding_dim < 1 or num_classes < 1:
            raise InputError(f"head: {num_classes} classes of {embedding_dim} dimensions; both must be at least 1")
        self.embedding_dim, self.num_classes = embedding_dim, num_classes
        self.margin, self.loss = margin, loss
        self.weight = nn.Parameter(torch.empty(num_classes, embedding_dim))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the centres from N(0, 0.01)."""
        nn.init.normal_(self.weight, std=0.01)

    def forward(self, embeddings: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Losses by name from embeddings (B, D), not normalised, and labels (B,) int64.

        `classification`, and the margin's `penalty` if it has one; their sum is what to minimise.
        """
        with torch.autocast(embeddings.device.type, enabled=False):
            logits, norms = self._logits(embeddings, labels)
            losses = {"classification": self.loss(logits, labels)}
            if penalty := getattr(self.margin, "penalty", None):
                losses["penalty"] = penalty(norms)
        return losses

    def logits(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Logits (B, C) with the margin, float32."""
        with torch.autocast(embeddings.device.type, enabled=False):
            return self._logits(embeddings, labels)[0]

    def _logits(self, embeddings: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        exact = torch.promote_types(embeddings.dtype, torch.float32)
        directions, norms = split(embeddings.to(exact))
        centres = self.weight.to(exact)
        if getattr(self.margin, "unit_centres", True):
            centres = split(centres)[0]
        return self.margin(F.linear(directions, centres), labels, norms), norms

    def extra_repr(self) -> str:
        return f"embedding_dim={self.embedding_dim}, num_classes={self.num_classes}"


def split(vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Directions (N, D) and norms (N, 1) of (N, D); a vector without length has direction 0 and gradient 0."""
    norms = torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
    return vectors / norms.masked_fill(norms < SHORTEST, torch.inf), norms


def create_head(spec: str, embedding_dim: int, num_classes: int, loss: str = "cross_entropy") -> Classifier:
    """A classifier from the spec strings of a margin and a loss, such as `arcface:margin=0.5` and `focal:gamma=2`."""
    return Classifier(embedding_dim, num_classes, HEADS.create(spec), LOSSES.create(loss))
