"""What the families share: sizes, small blocks, embedding outputs, initialisation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from facezoo.backbones.kernels import PReLU, StridedDepthwise
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


def through(blocks: nn.Module, x: Tensor, checkpointing: bool = False) -> Tensor:
    """A map through the blocks of a sequence.

    With `checkpointing` only what goes from block to block is kept for the backward pass, which computes the rest
    again: less memory for a third more time; https://arxiv.org/abs/1604.06174.
    """
    for block in blocks.children():
        if checkpointing and torch.is_grad_enabled():
            x = checkpoint(block, x, use_reentrant=False, context_fn=partial(_contexts, block))
        else:
            x = block(x)
    return x


def _contexts(block: nn.Module) -> tuple[AbstractContextManager, AbstractContextManager]:
    return nullcontext(), _statistics_kept(block)


@contextmanager
def _statistics_kept(block: nn.Module) -> Iterator[None]:
    """While a block computes its batch again, its BatchNorms do not count the batch a second time."""
    norms: list[Any] = [
        m for m in block.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.track_running_stats
    ]
    momenta = [norm.momentum for norm in norms]
    counted = [norm.num_batches_tracked.clone() for norm in norms]
    for norm in norms:
        norm.momentum = 0.0  # the layer must save the same tensors as before: it goes on tracking, by nothing
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        for norm, count in zip(norms, counted, strict=True):
            norm.num_batches_tracked.copy_(count)


def conv(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """A convolution without bias that keeps the map's size but for its stride."""
    if stride == 2 and groups == inputs == outputs:
        return StridedDepthwise(inputs, kernel)
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
        self.prelu = PReLU(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.prelu(super().forward(x))


class SqueezeExcite(nn.Module):
    """Weighs the channels by what the whole map shows; https://arxiv.org/abs/1709.01507."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.reduce = conv(channels, channels // 16, 1)
        self.expand = conv(channels // 16, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.expand(self.reduce(x.mean((2, 3), keepdim=True)).relu()).sigmoid()


class Shortcut(nn.Module):
    """The way around a unit: every stride-th pixel, or a 1x1 convolution where the channels change."""

    def __init__(self, inputs: int, outputs: int, stride: int, projected: bool) -> None:
        super().__init__()
        self.stride = stride
        self.projection = ConvBN(inputs, outputs, 1, stride) if projected else None

    def forward(self, x: Tensor) -> Tensor:
        if self.projection is not None:
            return self.projection(x)
        return x if self.stride == 1 else x[:, :, :: self.stride, :: self.stride]


class BasicUnit(nn.Module):
    """BN, conv 3x3, BN, PReLU, conv 3x3, BN, added to the shortcut; no activation after the sum.

    Args:
        inner: have the second BatchNorm.
        squeeze: end in squeeze-and-excitation.
        projected: convolve the shortcut also where the channels stay the same.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        stride: int = 1,
        inner: bool = True,
        squeeze: bool = False,
        projected: bool = False,
    ) -> None:
        super().__init__()
        self.shortcut = Shortcut(inputs, outputs, stride, projected or inputs != outputs)
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = conv(inputs, outputs, 3)
        self.bn2 = nn.BatchNorm2d(outputs) if inner else nn.Identity()
        self.prelu = PReLU(outputs)
        self.conv2 = conv(outputs, outputs, 3, stride)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.se = SqueezeExcite(outputs) if squeeze else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = self.prelu(self.bn2(self.conv1(self.bn1(x))))
        return self.shortcut(x) + self.se(self.bn3(self.conv2(y)))


class BottleneckUnit(nn.Module):
    """As `BasicUnit`, by way of a quarter of the channels: conv 1x1, 3x3, 1x1; the last has the stride."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1, squeeze: bool = False) -> None:
        super().__init__()
        middle = outputs // 4
        self.shortcut = Shortcut(inputs, outputs, stride, inputs != outputs)
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = conv(inputs, middle, 1)
        self.bn2 = nn.BatchNorm2d(middle)
        self.prelu1 = PReLU(middle)
        self.conv2 = conv(middle, middle, 3)
        self.bn3 = nn.BatchNorm2d(middle)
        self.prelu2 = PReLU(middle)
        self.conv3 = conv(middle, outputs, 1, stride)
        self.bn4 = nn.BatchNorm2d(outputs)
        self.se = SqueezeExcite(outputs) if squeeze else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = self.prelu1(self.bn2(self.conv1(self.bn1(x))))
        y = self.prelu2(self.bn3(self.conv2(y)))
        return self.shortcut(x) + self.se(self.bn4(self.conv3(y)))


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
