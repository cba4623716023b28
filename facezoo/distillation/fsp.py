"""FSP: how features flow from one stage to the next."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from facezoo.distillation.loss import MapDistillation, Shape, resized
from facezoo.registry import DISTILLATION_LOSSES
from facezoo.types import InputError


@DISTILLATION_LOSSES.register
class FSP(MapDistillation):
    """Products of the maps of neighbouring stages, over all places; CVPR 2017,
    https://openaccess.thecvf.com/content_cvpr_2017/papers/Yim_A_Gift_From_CVPR_2017_paper.pdf.

    Student and teacher must have as many channels at every stage. The finer map of two is averaged down to the coarser.

    Args:
        student_maps, teacher_maps: given when the loss is made.
        weight: factor of the loss.
    """

    formula = "mean over pairs of stages of mean (G_s - G_t)^2, G = F_1 F_2' / (H W)"

    def __init__(self, student_maps: list[Shape], teacher_maps: list[Shape], weight: float = 1.0) -> None:
        super().__init__(weight)
        here, there = ([shape[0] for shape in shapes] for shapes in (student_maps, teacher_maps))
        if here != there:
            raise InputError(f"fsp: the stages have {here} channels, the teacher's {there}; they must be the same")
        if len(here) < 2:
            raise InputError("fsp: student and teacher have one stage in common, it takes two")

    def each(self, student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
        flows = [
            (flow(s, s_next) - flow(t, t_next)).square().flatten(1).mean(1)
            for s, s_next, t, t_next in zip(student, student[1:], teacher, teacher[1:])
        ]
        return sum(flows[1:], flows[0]) / len(flows)


def flow(first: Tensor, second: Tensor) -> Tensor:
    """The matrices (B, C_1, C_2) of maps (B, C, H, W) of two stages."""
    left, right = (maps.flatten(2) for maps in resized(first, second))
    return left @ right.transpose(1, 2) / left.shape[2]
