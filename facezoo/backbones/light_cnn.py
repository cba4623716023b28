"""Light CNN: of each pair of channels the larger value goes on; https://arxiv.org/abs/1511.02683."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facezoo.backbones.layers import FlattenLinear, Size, check_options, halved, height_width, through
from facezoo.registry import BACKBONES


class MaxFeatureMap(nn.Module):
    """A convolution with bias to twice the channels, and the larger of both halves."""

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, 2 * outputs, kernel, padding=kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        first, second = self.conv(x).chunk(2, dim=1)
        return torch.maximum(first, second)


class Residual(nn.Module):
    """Two 3x3 layers, added to the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = MaxFeatureMap(channels, channels, 3)
        self.second = MaxFeatureMap(channels, channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(self.first(x))


class Group(nn.Module):
    """A 1x1 layer and a 3x3 layer, the one that changes the channels."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.point = MaxFeatureMap(inputs, inputs, 1)
        self.spread = MaxFeatureMap(inputs, outputs, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.spread(self.point(x))


class LightCNN(nn.Module):
    """RGB crops (B, 3, H, W) in [-1, 1] to embeddings (B, embedding_dim), not normalised.

    The numbers before the options are the residual blocks before each of the four groups, and whether the maximum and
    the mean of 2x2 pixels are added where maps are halved; otherwise it is the maximum. The paper takes grey crops of
    128 pixels; colour and the output are FaceX-Zoo's.

    Args:
        embedding_dim: D.
        input_size: pixels of a crop's sides, or (height, width).
        dropout: share of the last map's values that is dropped in training.
        checkpointing: keep less for the backward pass, see `facezoo.backbones.layers.through`.
    """

    def __init__(
        self,
        blocks: tuple[int, int, int, int],
        mixed: bool,
        /,
        embedding_dim: int = 512,
        input_size: Size = 112,
        dropout: float = 0.2,
        checkpointing: bool = False,
    ) -> None:
        super().__init__()
        check_options("lightcnn", embedding_dim, dropout)
        self.embedding_dim, self.input_size = embedding_dim, height_width(input_size)
        self.mixed, self.checkpointing = mixed, checkpointing
        widths = (48, 96, 192, 128, 128)
        self.stem = MaxFeatureMap(3, widths[0], 5)
        self.blocks = nn.ModuleList(
            nn.Sequential(*(Residual(width) for _ in range(count))) for count, width in zip(blocks, widths[:4])
        )
        self.groups = nn.ModuleList(Group(*ends) for ends in pairwise(widths))
        self.output = FlattenLinear(widths[-1], halved(self.input_size, 4), embedding_dim, dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = self._halved(self.stem(x))
        for number, (blocks, group) in enumerate(zip(self.blocks, self.groups)):
            x = group(through(blocks, x, self.checkpointing))
            if number != 2:  # the third and the fourth group work on maps of one size
                x = self._halved(x)
        return self.output(x)

    def _halved(self, x: Tensor) -> Tensor:
        largest = F.max_pool2d(x, 2, ceil_mode=True)
        return largest + F.avg_pool2d(x, 2, ceil_mode=True) if self.mixed else largest


@BACKBONES.register
def lightcnn9(**options) -> LightCNN:
    return LightCNN((0, 0, 0, 0), False, **options)


@BACKBONES.register
def lightcnn29(**options) -> LightCNN:
    return LightCNN((1, 2, 3, 4), False, **options)


@BACKBONES.register
def lightcnn29v2(**options) -> LightCNN:
    return LightCNN((1, 2, 3, 4), True, **options)
