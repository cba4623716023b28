"""Heads without a margin."""

from __future__ import annotations

from torch import Tensor, nn

from facezoo.registry import HEADS


@HEADS.register
class Softmax(nn.Module):
    """The plain classifier: inner products of embeddings and class centres, no bias, no margin, no scale."""

    unit_centres = False

    def forward(self, cosine: Tensor, labels: Tensor, norms: Tensor) -> Tensor:
        """Logits (B, C) from unit embeddings times centres (B, C), labels (B,) and embedding norms (B, 1)."""
        return cosine * norms


@HEADS.register
class NormFace(nn.Module):
    """Scaled cosines, no margin; https://arxiv.org/abs/1704.06369, with a scale that is given, not learnt.

    Args:
        scale: s, the inverse temperature.
    """

    def __init__(self, scale: float = 64.0) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, cosine: Tensor, labels: Tensor, norms: Tensor) -> Tensor:
        """Logits (B, C) from cosines (B, C), labels (B,) and embedding norms (B, 1)."""
        return self.scale * cosine
