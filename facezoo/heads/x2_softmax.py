"""X2-Softmax: a parabola over the angle."""

from __future__ import annotations

from torch import Tensor, nn

from facezoo.heads.margin import check_scale, inside, put_target, take_target
from facezoo.registry import HEADS
from facezoo.types import InputError


@HEADS.register
class X2Softmax(nn.Module):
    """A margin that grows with the angle between classes; https://arxiv.org/abs/2312.05281.

    The defaults are those of the authors' training command. Their code lets the curve out of the gradient; here the
    gradient is that of the formula.

    Args:
        a: curvature, below 0.
        h: angle of the vertex, radians, at most 0, so that the logit falls with every angle.
        k: logit of the vertex, before the scale.
        scale: s, the inverse temperature.
    """

    formula = "target s (a (theta - h)^2 + k); negatives s c_j"

    def __init__(self, a: float = -0.9, h: float = 0.0, k: float = 0.65, scale: float = 64.0) -> None:
        super().__init__()
        check_scale("x2softmax", scale)
        if a >= 0:
            raise InputError(f"x2softmax: a is {a}, it must be below 0")
        if h > 0:
            raise InputError(f"x2softmax: h is {h}, it must be at most 0, or smaller angles would lower the logit")
        self.a, self.h, self.k, self.scale = a, h, k, scale

    def forward(self, cosine: Tensor, labels: Tensor, norms: Tensor) -> Tensor:
        """Logits (B, C) from cosines (B, C), labels (B,) and embedding norms (B, 1)."""
        angle = inside(take_target(cosine, labels)).acos()
        return put_target(cosine, labels, self.a * (angle - self.h).square() + self.k, self.scale)
