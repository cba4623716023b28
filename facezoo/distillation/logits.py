"""The student's logits are to be the teacher's: numbers, or the probabilities they stand for."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from facezoo import distributed
from facezoo.distillation.loss import LogitDistillation
from facezoo.heads.margin import over_classes
from facezoo.registry import DISTILLATION_LOSSES
from facezoo.types import InputError


@DISTILLATION_LOSSES.register(name="soft_target")
class SoftTarget(LogitDistillation):
    """Divergence of the student's softened probabilities from the teacher's; https://arxiv.org/abs/1503.02531.

    Args:
        temperature: T; the square of it keeps the gradient's size.
        weight: factor of the loss.
    """

    formula = "T^2 mean_i KL(softmax(t_i / T) || softmax(s_i / T))"

    def __init__(self, temperature: float = 4.0, weight: float = 1.0) -> None:
        super().__init__(weight)
        if not 0 < temperature < math.inf:
            raise InputError(f"soft_target: temperature is {temperature}, it must be above 0")
        self.temperature = temperature

    def loss(self, student: Tensor, teacher: Tensor) -> Tensor:
        own, target = (_log_softmax(logits / self.temperature) for logits in (student, teacher))
        closed = teacher.isneginf()
        terms = target.exp() * (target - own).masked_fill(closed, 0)
        return self.temperature**2 * over_classes(terms).mean()


DISTILLATION_LOSSES.preset("kl@tface", "soft_target")


@DISTILLATION_LOSSES.register(name="snn_mimic")
class SNNMimic(LogitDistillation):
    """Squared differences of logits; NIPS 2014, https://arxiv.org/abs/1312.6184.

    Args:
        weight: factor of the loss.
    """

    formula = "mean_ij (s_ij - t_ij)^2"

    def loss(self, student: Tensor, teacher: Tensor) -> Tensor:
        closed = teacher.isneginf()
        squares = (student.masked_fill(closed, 0) - teacher.masked_fill(closed, 0)).square()
        return over_classes(squares).sum() / distributed.total((~closed).sum())


def _log_softmax(logits: Tensor) -> Tensor:
    """Logarithms of the probabilities (B, C_r) over the columns of all ranks."""
    with torch.no_grad():
        top = distributed.largest(logits.amax(1, keepdim=True))
    shifted = logits - top
    return shifted - over_classes(shifted.exp()).log()
