"""ArcFace: a margin on the angle."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from facezoo.heads.margin import (
    Fallback,
    arc_target,
    check_angle,
    check_fallback,
    check_scale,
    put_target,
    straight_through,
    take_target,
)
from facezoo.registry import HEADS


@HEADS.register
class ArcFace(nn.Module):
    """Adds the margin to the true class's angle; https://arxiv.org/abs/1801.07698.

    Args:
        margin: m, radians.
        scale: s, the inverse temperature.
        fallback: what stands for cos(theta + m) where theta + m passes pi and the cosine would rise again.
            `linear` is cos(theta) - m sin(m), which keeps the logit falling; `cosine` is
            cos(theta) - fallback_margin, as FaceX-Zoo trains; `none` leaves the formula, as insightface does.
        fallback_margin: see `fallback`; FaceX-Zoo's margin_am.
        easy_margin: put the margin only where cos(theta) > 0; then nothing passes pi and `fallback` has no place.
        gradient: `exact`, or `straight_through`, which leaves the margin out of the derivative: that of every logit
            by its cosine is s, as in insightface, whose margin autograd does not see.
    """

    formula = "target s cos(theta + m); negatives s c_j"

    def __init__(
        self,
        margin: float = 0.5,
        scale: float = 64.0,
        fallback: Fallback = "linear",
        fallback_margin: float = 0.0,
        easy_margin: bool = False,
        gradient: Literal["exact", "straight_through"] = "exact",
    ) -> None:
        super().__init__()
        check_angle("arcface", margin)
        check_scale("arcface", scale)
        check_fallback("arcface", fallback, fallback_margin, easy_margin)
        self.margin, self.scale, self.gradient = margin, scale, gradient
        self.fallback, self.fallback_margin, self.easy_margin = fallback, fallback_margin, easy_margin

    def forward(self, cosine: Tensor, labels: Tensor, norms: Tensor) -> Tensor:
        """Logits (B, C) from cosines (B, C), labels (B,) and embedding norms (B, 1)."""
        plain = take_target(cosine, labels)
        target = arc_target(plain, self.margin, self.fallback, self.fallback_margin, self.easy_margin)
        if self.gradient == "straight_through":
            target = straight_through(target, plain)
        return put_target(cosine, labels, target, self.scale)


HEADS.preset("arcface@facexzoo", "arcface:margin=0.35,scale=32,fallback=cosine")
HEADS.preset("arcface@insightface", "arcface:fallback=none,gradient=straight_through")
HEADS.preset("arcface@evolve", "arcface:margin=0.5,scale=64")
HEADS.preset("arcface@tface", "arcface:margin=0.5,scale=64")
