"""Residual attention networks; https://arxiv.org/abs/1704.06904."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from facezoo.backbones.layers import Size, check_options, conv, halved, height_width, kaiming, through
from facezoo.registry import BACKBONES


class Unit(nn.Module):
    """BN, ReLU and a convolution, three times: 1x1, 3x3, 1x1 by way of a quarter of the channels.

    Added to the input, or where size or channels change to a 1x1 convolution of the input after BN and ReLU.
    """

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        middle = outputs // 4
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = conv(inputs, middle, 1)
        self.bn2 = nn.BatchNorm2d(middle)
        self.conv2 = conv(middle, middle, 3, stride)
        self.bn3 = nn.BatchNorm2d(middle)
        self.conv3 = conv(middle, outputs, 1)
        self.shortcut = None if stride == 1 and inputs == outputs else conv(inputs, outputs, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        active = self.bn1(x).relu()
        y = self.conv2(self.bn2(self.conv1(active)).relu())
        y = self.conv3(self.bn3(y).relu())
        return y + (x if self.shortcut is None else self.shortcut(active))


class MaskBranch(nn.Module):
    """A map halved `levels` times and brought back, each size with a way across; then two 1x1 convolutions, sigmoid."""

    def __init__(self, channels: int, levels: int) -> None:
        super().__init__()
        self.down = nn.ModuleList(Unit(channels, channels) for _ in range(levels - 1))
        self.across = nn.ModuleList(Unit(channels, channels) for _ in range(levels - 1))
        self.bottom = nn.Sequential(Unit(channels, channels), Unit(channels, channels))
        self.up = nn.ModuleList(Unit(channels, channels) for _ in range(levels - 1))
        self.weights = nn.Sequential(
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            conv(channels, channels, 1),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            conv(channels, channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor, trunk: Tensor) -> Tensor:
        ways = []
        for down, across in zip(self.down, self.across):
            x = down(_half(x))
            ways.append(x + across(x))
        x = self.bottom(_half(x))
        for up, way in zip(self.up, reversed(ways)):
            x = up(_resized(x, way) + way)
        return self.weights(_resized(x, trunk) + trunk)


def _half(x: Tensor) -> Tensor:
    return F.max_pool2d(x, 3, stride=2, padding=1)


def _resized(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, like.shape[2:], mode="bilinear", align_corners=True)


class AttentionModule(nn.Module):
    """Two units whose values a second branch weighs by 1 to 2, between a unit before and one after."""

    def __init__(self, channels: int, levels: int) -> None:
        super().__init__()
        self.first = Unit(channels, channels)
        self.trunk = nn.Sequential(Unit(channels, channels), Unit(channels, channels))
        self.mask = MaskBranch(channels, levels)
        self.last = Unit(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        trunk = self.trunk(x)
        return self.last((1 + self.mask(x, trunk)) * trunk)


class AttentionNet(nn.Module):
    """RGB crops (B, 3, H, W) in [-1, 1] to embeddings (B, embedding_dim), not normalised.

    The numbers before the options are the attention modules of the three stages. The network is FaceX-Zoo's without
    the convolutions of its shortcuts that nothing passes through.

    Args:
        embedding_dim: D.
        input_size: pixels of a crop's sides, or (height, width).
        checkpointing: keep less for the backward pass, see `facezoo.backbones.layers.through`.
    """

    def __init__(
        self,
        modules: tuple[int, int, int],
        /,
        embedding_dim: int = 512,
        input_size: Size = 112,
        checkpointing: bool = False,
    ) -> None:
        super().__init__()
        check_options("attention", embedding_dim)
        self.embedding_dim, self.input_size = embedding_dim, height_width(input_size)
        self.checkpointing = checkpointing
        self.conv = conv(3, 64, 7, 2)
        self.bn = nn.BatchNorm2d(64)
        self.body = nn.Sequential()
        inputs = 64
        for stage, count in enumerate(modules):
            outputs = 256 * 2**stage
            self.body.append(Unit(inputs, outputs, 2 if stage else 1))
            # The smaller a stage's maps, the fewer halvings are left to its masks.
            self.body.extend(AttentionModule(outputs, 3 - stage) for _ in range(count))
            inputs = outputs
        self.body.extend((Unit(inputs, 2048, 2), Unit(2048, 2048), Unit(2048, 2048)))
        height, width = halved(self.input_size, 4)
        self.linear = nn.Linear(2048 * height * width, embedding_dim, bias=False)
        self.norm = nn.BatchNorm1d(embedding_dim)
        kaiming(self)

    def forward(self, x: Tensor) -> Tensor:
        x = through(self.body, self.bn(self.conv(x)).relu(), self.checkpointing)
        return self.norm(self.linear(x.flatten(1)))


@BACKBONES.register
def attention56(**options) -> AttentionNet:
    return AttentionNet((1, 1, 1), **options)


@BACKBONES.register
def attention92(**options) -> AttentionNet:
    return AttentionNet((1, 2, 3), **options)
