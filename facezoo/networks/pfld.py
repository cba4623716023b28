"""106 landmarks of a face crop by FaceX-Zoo's PFLD on MobileNetV3 blocks; https://arxiv.org/abs/1902.10859."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facezoo.backbones.layers import ConvBN
from facezoo.registry import NETWORKS

# outputs, kernel, stride, expanded channels, squeeze-and-excitation, hard swish instead of ReLU
BLOCKS = (
    (16, 3, 1, 16, False, False),
    (24, 3, 2, 64, False, False),
    (24, 3, 1, 72, False, False),
    (40, 5, 2, 72, True, False),
    (40, 5, 1, 120, True, False),
    (40, 5, 1, 120, True, False),
    (80, 3, 2, 240, False, False),
    (80, 3, 1, 200, False, True),
    (112, 3, 1, 480, True, True),
    (112, 3, 1, 672, True, True),
    (160, 3, 1, 672, True, True),
    (16, 3, 1, 320, False, True),
)


class Gate(nn.Module):
    """Squeeze-and-excitation with a hard sigmoid; https://arxiv.org/abs/1905.02244."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.reduce = nn.Linear(channels, channels // 4, bias=False)
        self.expand = nn.Linear(channels // 4, channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gate = F.hardsigmoid(self.expand(self.reduce(x.mean((2, 3))).relu()))
        return x * gate[..., None, None]


class Block(nn.Module):
    """MobileNetV3's block: widen, filter each channel, weigh the channels, project."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int, middle: int, squeeze: bool, swish: bool
    ) -> None:
        super().__init__()
        self.residual = stride == 1 and inputs == outputs
        self.expand = ConvBN(inputs, middle)
        self.depthwise = ConvBN(middle, middle, kernel, stride, groups=middle)
        self.gate = Gate(middle) if squeeze else nn.Identity()
        self.project = ConvBN(middle, outputs)
        self.activation = nn.Hardswish() if swish else nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        y = self.depthwise(self.activation(self.expand(x)))
        y = self.project(self.activation(self.gate(y)))
        return x + y if self.residual else y


@NETWORKS.register(name="pfld_mobilenetv3")
class PFLD(nn.Module):
    """Square face crops (B, 3, 112, 112), BGR in 0..1, to 106 points (B, 212): x, y, ... as shares of the crop."""

    colors, mean, std = "bgr", (0.0, 0.0, 0.0), (255.0, 255.0, 255.0)
    input_size = (112, 112)

    def __init__(self) -> None:
        super().__init__()
        self.stem = ConvBN(3, 16, 3)
        inputs = [16, *(block[0] for block in BLOCKS)]
        self.blocks = nn.Sequential(*(Block(before, *block) for before, block in zip(inputs, BLOCKS)))
        self.middle = nn.Conv2d(16, 32, 3, 2, 1)
        self.coarse = nn.Conv2d(32, 128, 7)
        self.output = nn.Linear(16 + 32 + 128, 212)

    def forward(self, x: Tensor) -> Tensor:
        fine = self.blocks(F.hardswish(self.stem(x)))
        middle = self.middle(fine)
        coarse = self.coarse(middle)
        return self.output(torch.cat([fine.mean((2, 3)), middle.mean((2, 3)), coarse.flatten(1)], dim=1))
