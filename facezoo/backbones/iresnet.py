"""insightface's residual networks; https://arxiv.org/abs/1801.07698."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from facezoo.backbones.layers import (
    BasicUnit,
    ConvBNPReLU,
    FlattenLinear,
    Size,
    check_options,
    halved,
    height_width,
    through,
)
from facezoo.registry import BACKBONES


class IResNet(nn.Module):
    """RGB crops (B, 3, H, W) in [-1, 1] to embeddings (B, embedding_dim), not normalised.

    The numbers before the options are the units of the four stages.

    Args:
        embedding_dim: D.
        input_size: pixels of a crop's sides, or (height, width).
        dropout: share of the last map's values that is dropped in training.
        checkpointing: keep less for the backward pass, see `facezoo.backbones.layers.through`.
    """

    def __init__(
        self,
        units: tuple[int, int, int, int],
        /,
        embedding_dim: int = 512,
        input_size: Size = 112,
        dropout: float = 0.0,
        checkpointing: bool = False,
    ) -> None:
        super().__init__()
        check_options("iresnet", embedding_dim, dropout)
        self.embedding_dim, self.input_size = embedding_dim, height_width(input_size)
        self.checkpointing = checkpointing
        self.stem = ConvBNPReLU(3, 64, 3)
        widths = (64, 64, 128, 256, 512)
        self.stages = nn.ModuleList()
        for count, (inputs, outputs) in zip(units, pairwise(widths), strict=True):
            first = BasicUnit(inputs, outputs, 2, projected=True)
            rest = (BasicUnit(outputs, outputs) for _ in range(count - 1))
            self.stages.append(nn.Sequential(first, *rest))
        self.output = FlattenLinear(512, halved(self.input_size, 4), embedding_dim, dropout)
        # The last slope stays 1: the embedding's length is the features' business, not a parameter's.
        self.output.norm.weight.requires_grad_(False)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=0.1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for stage in self.stages:
            x = through(stage, x, self.checkpointing)
        return self.output(x)


@BACKBONES.register
def iresnet18(**options) -> IResNet:
    return IResNet((2, 2, 2, 2), **options)


@BACKBONES.register
def iresnet34(**options) -> IResNet:
    return IResNet((3, 4, 6, 3), **options)


@BACKBONES.register
def iresnet50(**options) -> IResNet:
    return IResNet((3, 4, 14, 3), **options)


@BACKBONES.register
def iresnet100(**options) -> IResNet:
    return IResNet((3, 13, 30, 3), **options)


@BACKBONES.register
def iresnet200(**options) -> IResNet:
    return IResNet((6, 26, 60, 6), **options)


@BACKBONES.register
def iresnet2060(**options) -> IResNet:
    return IResNet((3, 128, 896, 3), **options)
