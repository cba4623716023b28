"""ElasticFace: a margin that is drawn anew for every sample."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from facezoo import distributed
from facezoo.heads.margin import add_angle, check_angle, check_cosine, check_scale, put_target, take_target, true_cosine
from facezoo.registry import HEADS
from facezoo.types import InputError


class _Elastic(nn.Module):
    def __init__(self, margin: float, std: float, scale: float, plus: bool) -> None:
        super().__init__()
        name = type(self).__name__.lower()
        check_scale(name, scale)
        if std < 0:
            raise InputError(f"{name}: std is {std}, it must be at least 0")
        self.margin, self.std, self.scale, self.plus = margin, std, scale, plus

    def margins(self, cosine: Tensor, labels: Tensor) -> Tensor:
        """A margin (B, 1) for every row, the same on all ranks: m + std N(0, 1) in training, m otherwise."""
        if not self.training:
            return cosine.new_full((len(cosine), 1), self.margin)
        drawn = self.margin + self.std * distributed.broadcast(torch.randn_like(cosine[:, :1]))
        if not self.plus:
            return drawn
        hardest_first = true_cosine(cosine.detach(), labels)[:, 0].argsort(stable=True)
        given = torch.empty_like(drawn)
        given[hardest_first] = drawn.sort(dim=0, descending=True).values
        return given


@HEADS.register
class ElasticArc(_Elastic):
    """ArcFace with a drawn margin, ElasticFace-Arc and -Arc+; https://arxiv.org/abs/2109.09416.

    Args:
        margin: m, the mean of the margins, radians.
        std: sigma, their standard deviation; the paper has 0.05, for `plus` 0.0175.
        scale: s, the inverse temperature.
        plus: the largest margin of the batch goes to the smallest true cosine, and so on. (The authors' code means
            this and gives margins that have nothing to do with the cosines.)
    """

    formula = "target s cos(theta + m'), m' ~ N(m, std^2); negatives s c_j"

    def __init__(self, margin: float = 0.5, std: float = 0.05, scale: float = 64.0, plus: bool = False) -> None:
        check_angle("elasticarc", margin)
        super().__init__(margin, std, scale, plus)

    def forward(self, cosine: Tensor, labels: Tensor, norms: Tensor) -> Tensor:
        """Logits (B, C) from cosines (B, C), labels (B,) and embedding norms (B, 1)."""
        target = add_angle(take_target(cosine, labels), self.margins(cosine, labels))
        return put_target(cosine, labels, target, self.scale)


@HEADS.register
class ElasticCos(_Elastic):
    """CosFace with a drawn margin, ElasticFace-Cos and -Cos+; https://arxiv.org/abs/2109.09416.

    Args:
        margin: m, the mean of the margins.
        std: sigma, their standard deviation; the paper has 0.05, for `plus` 0.02.
        scale: s, the inverse temperature.
        plus: the largest margin of the batch goes to the smallest true cosine, and so on; see `ElasticArc`.
    """

    formula = "target s (c - m'), m' ~ N(m, std^2); negatives s c_j"

    def __init__(self, margin: float = 0.35, std: float = 0.05, scale: float = 64.0, plus: bool = False) -> None:
        check_cosine("elasticcos", margin)
        super().__init__(margin, std, scale, plus)

    def forward(self, cosine: Tensor, labels: Tensor, norms: Tensor) -> Tensor:
        """Logits (B, C) from cosines (B, C), labels (B,) and embedding norms (B, 1)."""
        target = take_target(cosine, labels) - self.margins(cosine, labels)
        return put_target(cosine, labels, target, self.scale)


HEADS.preset("elasticarc@plus", "elasticarc:std=0.0175,plus=true")
HEADS.preset("elasticcos@plus", "elasticcos:std=0.02,plus=true")
