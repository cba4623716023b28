"""Correlation congruence: kernel similarities between the images of a batch."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from facezoo.distillation.loss import EmbeddingDistillation
from facezoo.heads.centres import split
from facezoo.registry import DISTILLATION_LOSSES
from facezoo.types import InputError


@DISTILLATION_LOSSES.register(name="cc")
class Correlation(EmbeddingDistillation):
    """Squared differences of a Gaussian kernel's Taylor polynomial; https://arxiv.org/abs/1904.01802.

    Args:
        gamma: of the kernel exp(-gamma |x - y|^2).
        order: P, its highest power.
        weight: factor of the loss.
    """

    formula = "mean_ij (k(s_i, s_j) - k(t_i, t_j))^2, k = sum_{p <= P} e^(-2 gamma) (2 gamma)^p / p! cos^p"

    def __init__(self, gamma: float = 0.4, order: int = 2, weight: float = 1.0) -> None:
        super().__init__(weight)
        if not 0 < gamma < math.inf or not 1 <= order <= 10:
            raise InputError(f"cc: gamma is {gamma} and order is {order}; write gamma above 0 and order 1 to 10")
        self.gamma, self.order = gamma, order

    def loss(self, student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
        return F.mse_loss(self._kernel(student), self._kernel(teacher))

    def _kernel(self, embeddings: Tensor) -> Tensor:
        directions, _ = split(embeddings)
        cosine = directions @ directions.T
        terms = [
            math.exp(-2 * self.gamma) * (2 * self.gamma) ** power / math.factorial(power) * cosine**power
            for power in range(self.order + 1)
        ]
        return torch.stack(terms).sum(0)


DISTILLATION_LOSSES.preset("cc@tface", "cc:order=1")
