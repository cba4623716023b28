"""FitNet: the student's last feature map is to be the teacher's."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from facezoo.distillation.loss import MapDistillation, Shape, resized
from facezoo.registry import DISTILLATION_LOSSES
from facezoo.types import InputError


@DISTILLATION_LOSSES.register
class FitNet(MapDistillation):
    """Squared differences of the coarsest maps; https://arxiv.org/abs/1412.6550.

    Args:
        student_maps, teacher_maps: given when the loss is made.
        adapter: a 1 x 1 convolution, learnt along, takes the student's channels to the teacher's; without it they must
            be as many, as in FaceX-Zoo.
        weight: factor of the loss.
    """

    formula = "mean (a(F_s) - F_t)^2"

    def __init__(
        self, student_maps: list[Shape], teacher_maps: list[Shape], adapter: bool = False, weight: float = 1.0
    ) -> None:
        super().__init__(weight)
        here, there = student_maps[-1][0], teacher_maps[-1][0]
        if here != there and not adapter:
            raise InputError(f"fitnet: the maps have {here} channels and the teacher's {there}; write adapter=true")
        self.adapter = nn.Conv2d(here, there, 1, bias=False) if adapter else None

    def each(self, student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
        own, target = resized(student[-1], teacher[-1])
        adapted = own if self.adapter is None else self.adapter(own.to(self.adapter.weight.dtype))
        return (adapted - target).square().flatten(1).mean(1)
