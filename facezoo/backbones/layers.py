"""What the families share: sizes, small blocks, embedding outputs, initialisation."""

from __future__ import annotations

from typing import TypeAlias

from torch import Tensor, nn

from facezoo.types import InputError

Size: TypeAlias = int | tuple[int, int]
"""Height and width of a crop in pixels, or one number for both."""

SMALLEST, LARGEST = 32, 1024
"""Crop sides a backbone is built for, pixels: below, no face is left; above, the output layer outgrows memory."""


def height_width(size: Size) -> tuple[int, int]:
    """(height, width) of a size.

    Raises:
        InputError: a side outside SMALLEST..LARGEST.
    """
    height, width = (size, size) if isinstance(size, int) else size
    if not (SMALLEST <= height <= LARGEST and SMALLEST <= width <= LARGEST):
        raise InputError(f"input_size is {height} x {width}, each side must be {SMALLEST} to {LARGEST} pixels")
    return height, width


def halved(size: tuple[int, int], times: int) -> tuple[int, int]:
    """The map's size after `times` convolutions of stride 2, each rounding up."""
    height, width = size
    for _ in range(times):
        height, width = (height + 1) // 2, (width + 1) // 2
    return height, width


def check_options(family: str, embedding_dim: int, dropout: float = 0.0) -> None:
    if not 1 <= embedding_dim <= 65536:
        raise InputError(f"{family}: embedding_dim is {embedding_dim}, it must be 1 to 65536")
    if not 0 <= dropout < 1:
        raise InputError(f"{family}: dropout is {dropout}, it must be at least 0 and below 1")


def conv(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """A convolution without bias that keeps the map's size but for its stride."""
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)


class ConvBN(nn.Module):
    """Convolution and BatchNorm: a projection without activation."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.conv = conv(inputs, outputs, kernel, stride, groups)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x))


class ConvBNPReLU(ConvBN):
    """Convolution, BatchNorm and a PReLU with one slope a channel."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride, groups)
        self.prelu = nn.PReLU(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.prelu(super().forward(x))


class GDC(nn.Module):
    """Global depthwise convolution to an embedding; https://arxiv.org/abs/1804.07573.

    One kernel a channel over the whole map (B, C, h, w), BatchNorm, a linear map to (B, D), BatchNorm.

    Args:
        affine: slope and offset in the last BatchNorm.
    """

    def __init__(self, channels: int, map_size: tuple[int, int], embedding_dim: int, affine: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, map_size, groups=channels, bias=False)
        self.bn = nn.BatchNorm2d(channels)
        self.linear = nn.Linear(channels, embedding_dim, bias=False)
        self.norm = nn.BatchNorm1d(embedding_dim, affine=affine)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.linear(self.bn(self.conv(x)).flatten(1)))


class FlattenLinear(nn.Module):
    """The output of the IR family, "E" in the ArcFace paper; https://arxiv.org/abs/1801.07698.

    BatchNorm, dropout, one linear map of all values of the map (B, C, h, w) to (B, D), BatchNorm.

    Args:
        affine: slope and offset in the last BatchNorm.
    """

    def __init__(
        self, channels: int, map_size: tuple[int, int], embedding_dim: int, dropout: float = 0.0, affine: bool = True
    ) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(channels)
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(channels * map_size[0] * map_size[1], embedding_dim)
        self.norm = nn.BatchNorm1d(embedding_dim, affine=affine)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.linear(self.dropout(self.bn(x)).flatten(1)))


class PoolLinear(nn.Module):
    """The mean over the map (B, C, h, w), dropout, a linear map to (B, D), BatchNorm."""

    def __init__(self, channels: int, embedding_dim: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(channels, embedding_dim, bias=False)
        self.norm = nn.BatchNorm1d(embedding_dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.linear(self.dropout(x.mean((2, 3)))))


def kaiming(network: nn.Module) -> None:
    """Kaiming normal (fan out, ReLU) for convolutions and linear maps, biases 0; https://arxiv.org/abs/1502.01852."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
