"""Factor transfer: the student learns a translation of what a paraphraser makes of the teacher's map."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from facezoo.distillation.loss import MapDistillation, Shape, resized
from facezoo.registry import DISTILLATION_LOSSES
from facezoo.types import InputError


def _layers(kind: type[nn.Module], *channels: int) -> nn.Sequential:
    """3 x 3 convolutions between these numbers of channels, each with BatchNorm and a leaky ReLU."""
    layers: list[nn.Module] = []
    for before, after in pairwise(channels):
        layers += [kind(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.LeakyReLU(0.1)]
    return nn.Sequential(*layers)


class Paraphraser(nn.Module):
    """Maps (B, C, H, W) of the teacher to factors (B, rate C, H, W), from which the maps can be made again."""

    def __init__(self, channels: int, rate: float = 0.5) -> None:
        super().__init__()
        factors = max(1, int(channels * rate))
        self.encoder = _layers(nn.Conv2d, channels, channels, factors, factors)
        self.decoder = _layers(nn.ConvTranspose2d, factors, factors, channels, channels)

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Factors and the maps made of them."""
        factors = self.encoder(maps)
        return factors, self.decoder(factors)


class Translator(nn.Module):
    """Maps (B, C_s, H, W) of the student to as many factors as the teacher's."""

    def __init__(self, channels: int, teacher_channels: int, rate: float = 0.5) -> None:
        super().__init__()
        factors = max(1, int(teacher_channels * rate))
        self.encoder = _layers(nn.Conv2d, channels, channels, factors, factors)

    def forward(self, maps: Tensor) -> Tensor:
        return self.encoder(maps)


@DISTILLATION_LOSSES.register(name="ft")
class FactorTransfer(MapDistillation):
    """Differences of the factors, scaled to length 1, of the coarsest maps; https://arxiv.org/abs/1802.04977.

    The paraphraser is learnt along with the student, by making the teacher's maps of its factors; the student's loss
    does not move it. (The paper, and FaceX-Zoo for two epochs, train it before.)

    Args:
        student_maps, teacher_maps: given when the loss is made.
        rate: k, factors for each of the teacher's channels.
        weight: beta, factor of the loss, of the paraphraser's part too.
    """

    formula = "mean |f_s / |f_s| - f_t / |f_t||_1 + mean (F_t' - F_t)^2"

    def __init__(
        self, student_maps: list[Shape], teacher_maps: list[Shape], rate: float = 0.5, weight: float = 1.0
    ) -> None:
        super().__init__(weight)
        if not 0 < rate <= 8:
            raise InputError(f"ft: rate is {rate}, it must be above 0 and at most 8")
        there = teacher_maps[-1][0]
        self.paraphraser = Paraphraser(there, rate)
        self.translator = Translator(student_maps[-1][0], there, rate)

    def each(self, student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
        dtype = next(self.parameters()).dtype
        target = teacher[-1].to(dtype)
        factors, again = self.paraphraser(target)
        own = self.translator(student[-1].to(dtype))
        repeated = (again - target).square().flatten(1).mean(1)
        return factor_distance(*resized(own, factors.detach())) + repeated


def factor_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean differences (B,) of factors (B, C, H, W), each image's scaled to length 1."""
    own, target = (F.normalize(factors.flatten(1)) for factors in (student, teacher))
    return (own - target).abs().mean(1)
