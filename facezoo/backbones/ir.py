"""IR and IR-SE networks in the two forms that published checkpoints have; https://arxiv.org/abs/1801.07698."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

from torch import Tensor, nn

from facezoo.backbones.layers import (
    BasicUnit,
    BottleneckUnit,
    ConvBNPReLU,
    FlattenLinear,
    Size,
    check_options,
    halved,
    height_width,
    kaiming,
    through,
)
from facezoo.registry import BACKBONES


class IR(nn.Module):
    """RGB crops (B, 3, H, W) in [-1, 1] to embeddings (B, embedding_dim), not normalised.

    The numbers before the options are the units of the four stages, whether units end in squeeze-and-excitation,
    and whether the depth is one at which TFace goes over to bottlenecks.

    Args:
        flavor: `tface` is the form of TFace, AdaFace and CVLface: a BatchNorm more in each unit, none of the last
            BatchNorm's slopes and offsets, bottlenecks from depth 152. `facexzoo` is that of FaceX-Zoo and
            face.evoLVe: basic units at every depth.
        embedding_dim: D.
        input_size: pixels of a crop's sides, or (height, width).
        dropout: share of the last map's values that is dropped in training.
        checkpointing: keep less for the backward pass, see `facezoo.backbones.layers.through`.
    """

    def __init__(
        self,
        units: tuple[int, int, int, int],
        squeeze: bool,
        deep: bool,
        /,
        flavor: Literal["tface", "facexzoo"] = "tface",
        embedding_dim: int = 512,
        input_size: Size = 112,
        dropout: float = 0.4,
        checkpointing: bool = False,
    ) -> None:
        super().__init__()
        check_options("ir", embedding_dim, dropout)
        self.embedding_dim, self.input_size = embedding_dim, height_width(input_size)
        self.checkpointing = checkpointing
        tface = flavor == "tface"
        self.stem = ConvBNPReLU(3, 64, 3)
        widths = (64, 256, 512, 1024, 2048) if tface and deep else (64, 64, 128, 256, 512)
        self.stages = nn.ModuleList()
        for count, (inputs, outputs) in zip(units, pairwise(widths), strict=True):
            ends = [(inputs, outputs, 2)] + [(outputs, outputs, 1)] * (count - 1)
            if tface and deep:
                self.stages.append(nn.Sequential(*(BottleneckUnit(*end, squeeze) for end in ends)))
            else:
                self.stages.append(nn.Sequential(*(BasicUnit(*end, tface, squeeze) for end in ends)))
        self.output = FlattenLinear(widths[-1], halved(self.input_size, 4), embedding_dim, dropout, affine=not tface)
        kaiming(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for stage in self.stages:
            x = through(stage, x, self.checkpointing)
        return self.output(x)


@BACKBONES.register
def ir18(**options) -> IR:
    return IR((2, 2, 2, 2), False, False, **options)


@BACKBONES.register
def ir34(**options) -> IR:
    return IR((3, 4, 6, 3), False, False, **options)


@BACKBONES.register
def ir50(**options) -> IR:
    return IR((3, 4, 14, 3), False, False, **options)


@BACKBONES.register
def ir101(**options) -> IR:
    return IR((3, 13, 30, 3), False, False, **options)


@BACKBONES.register
def ir152(**options) -> IR:
    return IR((3, 8, 36, 3), False, True, **options)


@BACKBONES.register
def ir200(**options) -> IR:
    return IR((3, 24, 36, 3), False, True, **options)


@BACKBONES.register
def ir_se18(**options) -> IR:
    return IR((2, 2, 2, 2), True, False, **options)


@BACKBONES.register
def ir_se34(**options) -> IR:
    return IR((3, 4, 6, 3), True, False, **options)


@BACKBONES.register
def ir_se50(**options) -> IR:
    return IR((3, 4, 14, 3), True, False, **options)


@BACKBONES.register
def ir_se101(**options) -> IR:
    return IR((3, 13, 30, 3), True, False, **options)


@BACKBONES.register
def ir_se152(**options) -> IR:
    return IR((3, 8, 36, 3), True, True, **options)


@BACKBONES.register
def ir_se200(**options) -> IR:
    return IR((3, 24, 36, 3), True, True, **options)
