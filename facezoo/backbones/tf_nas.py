"""TF-NAS, a searched network whose blocks have widths of their own; https://arxiv.org/abs/2008.05314."""

from __future__ import annotations

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from facezoo.backbones.layers import (
    ConvBN,
    Size,
    check_options,
    halved,
    height_width,
    through,
)
from facezoo.registry import BACKBONES


class Row(NamedTuple):
    """One block: channels inside, of the squeeze (0: none) and of the output, kernel, stride."""

    middle: int
    squeeze: int
    outputs: int
    kernel: int
    stride: int = 1


Stages = tuple[tuple[Row, ...], ...]

A: Stages = (
    (Row(83, 32, 24, 3, 2), Row(128, 0, 24, 5)),
    (Row(138, 48, 40, 3, 2), Row(297, 0, 40, 3), Row(170, 80, 40, 5)),
    (Row(248, 80, 80, 5, 2), Row(500, 0, 80, 3), Row(424, 0, 80, 3), Row(477, 0, 80, 3)),
    (Row(504, 160, 112, 3), Row(796, 0, 112, 3), Row(723, 224, 112, 3), Row(555, 224, 112, 3)),
    (Row(813, 0, 192, 3, 2), Row(1370, 0, 192, 3), Row(1138, 384, 192, 3), Row(1359, 384, 192, 3)),
    (Row(1203, 384, 320, 5),),
)


class Squeeze(nn.Module):
    """Weighs the channels by what the whole map shows; https://arxiv.org/abs/1709.01507."""

    def __init__(self, channels: int, squeeze: int, activation: nn.Module) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, squeeze, 1)
        self.activation = activation
        self.expand = nn.Conv2d(squeeze, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.expand(self.activation(self.reduce(x.mean((2, 3), keepdim=True)))).sigmoid()


class Block(nn.Module):
    """Widens, filters each channel by itself, weighs the channels, projects; added to the input where sizes agree."""

    def __init__(self, inputs: int, row: Row, activation: nn.Module, widened: bool = True) -> None:
        super().__init__()
        self.residual = row.stride == 1 and inputs == row.outputs
        self.expand = ConvBN(inputs, row.middle) if widened else None
        self.depthwise = ConvBN(row.middle, row.middle, row.kernel, row.stride, row.middle)
        self.se = Squeeze(row.middle, row.squeeze, activation) if row.squeeze else nn.Identity()
        self.project = ConvBN(row.middle, row.outputs)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        y = x if self.expand is None else self.activation(self.expand(x))
        y = self.project(self.se(self.activation(self.depthwise(y))))
        return x + y if self.residual else y


class TFNAS(nn.Module):
    """RGB crops (B, 3, H, W) in [-1, 1] to embeddings (B, embedding_dim), not normalised.

    The rows before the options are the blocks of the six stages. The first convolution has stride 1 and the output is
    one linear map of all values, as in FaceX-Zoo.

    Args:
        embedding_dim: D.
        input_size: pixels of a crop's sides, or (height, width).
        dropout: share of the last map's values that is dropped in training.
        checkpointing: keep less for the backward pass, see `facezoo.backbones.layers.through`.
    """

    def __init__(
        self,
        stages: Stages,
        /,
        embedding_dim: int = 512,
        input_size: Size = 112,
        dropout: float = 0.2,
        checkpointing: bool = False,
    ) -> None:
        super().__init__()
        check_options("tf_nas", embedding_dim, dropout)
        self.embedding_dim, self.input_size = embedding_dim, height_width(input_size)
        self.checkpointing = checkpointing
        self.stem = ConvBN(3, 32, 3)
        self.second = Block(32, Row(32, 8, 16, 3), nn.ReLU(), widened=False)
        self.stages, inputs = nn.ModuleList(), 16
        for number, rows in enumerate(stages):
            activation = nn.SiLU() if number else nn.ReLU()
            stage = nn.Sequential()
            for row in rows:
                stage.append(Block(inputs, row, activation))
                inputs = row.outputs
            self.stages.append(stage)
        self.mix = ConvBN(inputs, 1280)
        self.dropout = nn.Dropout(dropout)
        height, width = halved(self.input_size, 4)
        self.linear = nn.Linear(1280 * height * width, embedding_dim)
        self.norm = nn.BatchNorm1d(embedding_dim)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = self.second(F.relu(self.stem(x)))
        for stage in self.stages:
            x = through(stage, x, self.checkpointing)
        return self.norm(self.linear(self.dropout(self.mix(x)).flatten(1)))


@BACKBONES.register
def tf_nas_a(**options) -> TFNAS:
    return TFNAS(A, **options)
