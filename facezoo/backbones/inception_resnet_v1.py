"""Inception-ResNet-v1, the network of FaceNet's public weights; https://arxiv.org/abs/1602.07261."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facezoo.backbones.layers import Size, check_options, height_width, through
from facezoo.registry import BACKBONES
from facezoo.types import InputError

SMALLEST_SIDE = 75
"""Pixels: of a smaller crop the convolutions without padding leave no map."""


class Conv(nn.Module):
    """Convolution, BatchNorm, ReLU; a kernel of stride 1 keeps the map's size if `padded`."""

    def __init__(
        self, inputs: int, outputs: int, kernel: tuple[int, int] | int = 1, stride: int = 1, padded: bool = True
    ) -> None:
        super().__init__()
        height, width = (kernel, kernel) if isinstance(kernel, int) else kernel
        padding = (height // 2, width // 2) if padded and stride == 1 else 0
        self.conv = nn.Conv2d(inputs, outputs, (height, width), stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x)).relu()


class Residual(nn.Module):
    """Branches side by side, a 1x1 convolution back to the input's channels, a share of it added to the input."""

    def __init__(self, channels: int, branches: list[nn.Module], width: int, scale: float, active: bool = True) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)
        self.conv = nn.Conv2d(width, channels, 1)
        self.scale, self.active = scale, active

    def forward(self, x: Tensor) -> Tensor:
        y = torch.cat([branch(x) for branch in self.branches], dim=1)
        y = x + self.scale * self.conv(y)
        return y.relu() if self.active else y


class Reduction(nn.Module):
    """Halves the map: branches and the maximum of 3x3 pixels, side by side."""

    def __init__(self, branches: list[nn.Module]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([*(branch(x) for branch in self.branches), F.max_pool2d(x, 3, stride=2)], dim=1)


def block_a() -> Residual:
    """On maps of 17 x 17 at 160 pixels: 1x1; 1x1 and 3x3; 1x1 and twice 3x3."""
    branches: list[nn.Module] = [
        Conv(256, 32),
        nn.Sequential(Conv(256, 32), Conv(32, 32, 3)),
        nn.Sequential(Conv(256, 32), Conv(32, 32, 3), Conv(32, 32, 3)),
    ]
    return Residual(256, branches, 96, 0.17)


def block_b() -> Residual:
    """On maps of 8 x 8 at 160 pixels: 1x1; 1x1, 1x7 and 7x1."""
    long = nn.Sequential(Conv(896, 128), Conv(128, 128, (1, 7)), Conv(128, 128, (7, 1)))
    return Residual(896, [Conv(896, 128), long], 256, 0.1)


def block_c(scale: float = 0.2, active: bool = True) -> Residual:
    """On maps of 3 x 3 at 160 pixels: 1x1; 1x1, 1x3 and 3x1."""
    long = nn.Sequential(Conv(1792, 192), Conv(192, 192, (1, 3)), Conv(192, 192, (3, 1)))
    return Residual(1792, [Conv(1792, 192), long], 384, scale, active)


@BACKBONES.register(name="inceptionresnetv1")
class InceptionResNetV1(nn.Module):
    """RGB crops (B, 3, H, W) in [-1, 1] to embeddings (B, embedding_dim), not normalised.

    The published weights were trained on crops of 160 pixels, normalised as (x - 127.5) / 128.

    Args:
        embedding_dim: D.
        input_size: pixels of a crop's sides, or (height, width); 75 at least.
        dropout: share of the mean map's channels that is dropped in training.
        checkpointing: keep less for the backward pass, see `facezoo.backbones.layers.through`.

    Raises:
        InputError: a side under 75 pixels.
    """

    def __init__(
        self,
        embedding_dim: int = 512,
        input_size: Size = 160,
        dropout: float = 0.6,
        checkpointing: bool = False,
    ) -> None:
        super().__init__()
        check_options("inceptionresnetv1", embedding_dim, dropout)
        self.embedding_dim, self.input_size = embedding_dim, height_width(input_size)
        if min(self.input_size) < SMALLEST_SIDE:
            height, width = self.input_size
            raise InputError(
                f"inceptionresnetv1: {height} x {width} is too small, sides must be {SMALLEST_SIDE} or more"
            )
        self.checkpointing = checkpointing
        self.stem = nn.Sequential(
            Conv(3, 32, 3, stride=2),
            Conv(32, 32, 3, padded=False),
            Conv(32, 64, 3),
            nn.MaxPool2d(3, stride=2),
            Conv(64, 80),
            Conv(80, 192, 3, padded=False),
            Conv(192, 256, 3, stride=2),
        )
        self.blocks_a = nn.Sequential(*(block_a() for _ in range(5)))
        self.reduction_a = Reduction(
            [Conv(256, 384, 3, stride=2), nn.Sequential(Conv(256, 192), Conv(192, 192, 3), Conv(192, 256, 3, stride=2))]
        )
        self.blocks_b = nn.Sequential(*(block_b() for _ in range(10)))
        self.reduction_b = Reduction(
            [
                nn.Sequential(Conv(896, 256), Conv(256, 384, 3, stride=2)),
                nn.Sequential(Conv(896, 256), Conv(256, 256, 3, stride=2)),
                nn.Sequential(Conv(896, 256), Conv(256, 256, 3), Conv(256, 256, 3, stride=2)),
            ]
        )
        self.blocks_c = nn.Sequential(*(block_c() for _ in range(5)), block_c(scale=1.0, active=False))
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(1792, embedding_dim, bias=False)
        self.norm = nn.BatchNorm1d(embedding_dim, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        x = through(self.blocks_a, self.stem(x), self.checkpointing)
        x = through(self.blocks_b, self.reduction_a(x), self.checkpointing)
        x = through(self.blocks_c, self.reduction_b(x), self.checkpointing)
        return self.norm(self.linear(self.dropout(x.mean((2, 3)))))
