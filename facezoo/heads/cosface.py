"""CosFace, which is AM-Softmax: a margin on the cosine."""

from __future__ import annotations

from torch import Tensor, nn

from facezoo.heads.margin import check_cosine, check_scale, put_target, take_target
from facezoo.registry import HEADS


@HEADS.register
class CosFace(nn.Module):
    """Takes the margin from the true class's cosine; https://arxiv.org/abs/1801.09414.

    Args:
        margin: m.
        scale: s, the inverse temperature.
    """

    formula = "target s (c - m); negatives s c_j"

    def __init__(self, margin: float = 0.35, scale: float = 64.0) -> None:
        super().__init__()
        check_cosine("cosface", margin)
        check_scale("cosface", scale)
        self.margin, self.scale = margin, scale

    def forward(self, cosine: Tensor, labels: Tensor, norms: Tensor) -> Tensor:
        """Logits (B, C) from cosines (B, C), labels (B,) and embedding norms (B, 1)."""
        return put_target(cosine, labels, take_target(cosine, labels) - self.margin, self.scale)


@HEADS.register
def amsoftmax(margin: float = 0.35, scale: float = 30.0) -> CosFace:
    """CosFace with the scale of the AM-Softmax paper; https://arxiv.org/abs/1801.05599."""
    return CosFace(margin, scale)


HEADS.preset("cosface@tface", "cosface:margin=0.4")
HEADS.preset("cosface@insightface", "cosface:margin=0.4")
HEADS.preset("amsoftmax@facexzoo", "amsoftmax:scale=32")
HEADS.preset("amsoftmax@evolve", "amsoftmax:scale=32")
HEADS.preset("cosface@evolve", "cosface:margin=0.35,scale=64")
