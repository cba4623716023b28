"""SphereFace: a margin that multiplies the angle."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from facezoo.heads.margin import put_target, take_target
from facezoo.registry import HEADS
from facezoo.types import InputError

LARGEST_MARGIN = 16


@HEADS.register
class SphereFace(nn.Module):
    """Multiplies the true class's angle and keeps the embedding's norm; https://arxiv.org/abs/1704.08063.

    The cosine is led over into psi(theta) = (-1)^k cos(m theta) - 2 k, k = floor(m theta / pi), by a weight
    lambda = max(lambda_min, base (1 + gamma n)^-power) that falls with the training batches n.

    Args:
        margin: m, a whole number.
        base, gamma, power, lambda_min: how lambda falls.

    Attributes:
        iteration: n, the training batches so far, a buffer; under `optim.accumulate` a step has several.
    """

    formula = "target |x| (lambda c + psi) / (1 + lambda); negatives |x| c_j; psi = (-1)^k cos(m theta) - 2 k"
    iteration: Tensor

    def __init__(
        self,
        margin: int = 4,
        base: float = 1000.0,
        gamma: float = 0.12,
        power: float = 1.0,
        lambda_min: float = 5.0,
    ) -> None:
        super().__init__()
        if not 1 <= margin <= LARGEST_MARGIN:
            raise InputError(f"sphereface: margin is {margin}, it must be a whole number from 1 to {LARGEST_MARGIN}")
        if min(base, gamma, power, lambda_min) < 0:
            raise InputError("sphereface: base, gamma, power and lambda_min must be at least 0")
        self.margin, self.base, self.gamma, self.power, self.lambda_min = margin, base, gamma, power, lambda_min
        self.register_buffer("iteration", torch.zeros((), dtype=torch.int64))

    def forward(self, cosine: Tensor, labels: Tensor, norms: Tensor) -> Tensor:
        """Logits (B, C) from cosines (B, C), labels (B,) and embedding norms (B, 1)."""
        if self.training:
            self.iteration += 1
        plain = take_target(cosine, labels)
        return norms * put_target(cosine, labels, plain + (self._psi(plain) - plain) / (1 + self.annealing(plain)))

    def annealing(self, like: Tensor) -> Tensor:
        """lambda of the batches so far, in the dtype of `like`."""
        return (self.base * (1 + self.gamma * self.iteration.to(like.dtype)) ** -self.power).clamp(min=self.lambda_min)

    def _psi(self, cosine: Tensor) -> Tensor:
        # cos(m theta) by its recurrence: a polynomial in the cosine has finite gradients at -1 and 1, arccos has not.
        before, multiple = torch.ones_like(cosine), cosine
        for _ in range(self.margin - 1):
            before, multiple = multiple, 2 * cosine * multiple - before
        turns = (self.margin * torch.acos(cosine.detach().clamp(-1, 1)) / math.pi).floor()
        return (1 - 2 * (turns % 2)) * multiple - 2 * turns


HEADS.preset("sphereface@evolve", "sphereface:margin=4,base=1000,gamma=0.12,power=1,lambda_min=5")
