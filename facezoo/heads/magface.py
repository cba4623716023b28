"""MagFace: the embedding's norm is its quality, and sets the margin."""

from __future__ import annotations

import math

from torch import Tensor, nn

from facezoo.heads.margin import Fallback, arc_target, check_fallback, check_scale, put_target, take_target
from facezoo.registry import HEADS
from facezoo.types import InputError


@HEADS.register
class MagFace(nn.Module):
    """ArcFace with a margin that grows with the embedding's norm; https://arxiv.org/abs/2103.06627.

    With a = the norm kept in [low, high], m(a) rises in a straight line from low_margin to high_margin. The penalty
    asks for long embeddings. The network must give embeddings that are not normalised.

    Args:
        low, high: l_a and u_a, bounds of the norm.
        low_margin, high_margin: l_m and u_m, the margins there, radians.
        scale: s, the inverse temperature.
        penalty_weight: factor of the penalty, the mean of a / high^2 + 1 / a.
        easy_margin: put the margin only where cos(theta) > 0, as the authors do.
        fallback: without `easy_margin`, as in `arcface`.
        fallback_margin: as in `arcface`.
    """

    formula = "target s cos(theta + m(a)), a = clip(|x|, l, u); negatives s c_j; penalty w mean(a / u^2 + 1 / a)"

    def __init__(
        self,
        low: float = 10.0,
        high: float = 110.0,
        low_margin: float = 0.45,
        high_margin: float = 0.8,
        scale: float = 64.0,
        penalty_weight: float = 35.0,
        easy_margin: bool = True,
        fallback: Fallback = "linear",
        fallback_margin: float = 0.0,
    ) -> None:
        super().__init__()
        if not 0 < low < high:
            raise InputError(f"magface: norms from low={low} to high={high}; write 0 < low < high")
        if not 0 <= low_margin <= high_margin < math.pi / 2:
            raise InputError(
                f"magface: margins from low_margin={low_margin} to high_margin={high_margin}; "
                "write 0 <= low_margin <= high_margin < pi/2 radians"
            )
        check_scale("magface", scale)
        if penalty_weight < 0:
            raise InputError(f"magface: penalty_weight is {penalty_weight}, it must be at least 0")
        check_fallback("magface", fallback, fallback_margin, easy_margin)
        self.low, self.high, self.low_margin, self.high_margin = low, high, low_margin, high_margin
        self.scale, self.penalty_weight = scale, penalty_weight
        self.easy_margin, self.fallback, self.fallback_margin = easy_margin, fallback, fallback_margin

    def forward(self, cosine: Tensor, labels: Tensor, norms: Tensor) -> Tensor:
        """Logits (B, C) from cosines (B, C), labels (B,) and embedding norms (B, 1)."""
        share = (norms.clamp(self.low, self.high) - self.low) / (self.high - self.low)
        margin = self.low_margin + (self.high_margin - self.low_margin) * share
        plain = take_target(cosine, labels)
        target = arc_target(plain, margin, self.fallback, self.fallback_margin, self.easy_margin)
        return put_target(cosine, labels, target, self.scale)

    def penalty(self, norms: Tensor) -> Tensor:
        """penalty_weight times the mean over the norms (B, 1) of a / high^2 + 1 / a."""
        kept = norms.clamp(self.low, self.high)
        return self.penalty_weight * (kept / self.high**2 + 1 / kept).mean()


HEADS.preset("magface@facexzoo", "magface:penalty_weight=20,easy_margin=false,fallback=cosine")
HEADS.preset("magface@evolve", "magface:scale=32,penalty_weight=20,easy_margin=false,fallback=cosine")
