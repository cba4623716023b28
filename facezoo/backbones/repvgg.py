"""RepVGG: three branches a block in training, one convolution in use; https://arxiv.org/abs/2101.03697."""

from __future__ import annotations

from copy import deepcopy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facezoo.backbones.layers import (
    ConvBN,
    FlattenLinear,
    Size,
    check_options,
    halved,
    height_width,
    kaiming,
    through,
)
from facezoo.registry import BACKBONES

A, B = (2, 4, 14, 1), (4, 6, 16, 1)
"""Blocks of the four stages after the first block."""


class FusedBlock(nn.Module):
    """One convolution 3x3 with bias and ReLU."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, stride, 1, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x).relu_()


class Block(nn.Module):
    """A convolution 3x3, one of 1x1 and the input itself, each with a BatchNorm; their sum, ReLU.

    The input is left out where the map's size or its channels change.
    """

    def __init__(self, inputs: int, outputs: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.dense = ConvBN(inputs, outputs, 3, stride, groups)
        self.point = ConvBN(inputs, outputs, 1, stride, groups)
        self.identity = nn.BatchNorm2d(inputs) if stride == 1 and inputs == outputs else None

    def forward(self, x: Tensor) -> Tensor:
        y = self.dense(x) + self.point(x)
        return (y if self.identity is None else y + self.identity(x)).relu()

    def fused(self) -> FusedBlock:
        """The block's function in evaluation mode as one convolution."""
        conv = self.dense.conv
        inputs = conv.in_channels // conv.groups
        kernel, bias = _scaled(conv.weight, self.dense.bn)
        for weight, bn in self._others(inputs):
            further, offset = _scaled(weight, bn)
            kernel, bias = kernel + F.pad(further, (1, 1, 1, 1)), bias + offset
        fused = FusedBlock(conv.in_channels, conv.out_channels, conv.stride[0], conv.groups).to(conv.weight)
        fused.conv.weight.data.copy_(kernel)
        assert fused.conv.bias is not None
        fused.conv.bias.data.copy_(bias)
        return fused

    def _others(self, inputs: int) -> list[tuple[Tensor, nn.BatchNorm2d]]:
        """The 1x1 kernels of the other branches; the identity's has a one where input and output channel agree."""
        branches = [(self.point.conv.weight, self.point.bn)]
        if self.identity is not None:
            channels = torch.arange(self.identity.num_features, device=self.point.conv.weight.device)
            ones = F.one_hot(channels % inputs, inputs).to(self.point.conv.weight)
            branches.append((ones[..., None, None], self.identity))
        return branches


def _scaled(weight: Tensor, bn: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Kernel and bias of a convolution and its BatchNorm in one, in float64: a sum of three must not lose digits."""
    assert bn.running_var is not None and bn.running_mean is not None
    slope = bn.weight.detach().double() / (bn.running_var.double() + bn.eps).sqrt()
    kernel = weight.detach().double() * slope[:, None, None, None]
    return kernel, bn.bias.detach().double() - bn.running_mean.double() * slope


class RepVGG(nn.Module):
    """RGB crops (B, 3, H, W) in [-1, 1] to embeddings (B, embedding_dim), not normalised.

    The numbers before the options are the blocks of the four stages, the factors of their widths (64, 128, 256, 512),
    and the groups of every second block. The first convolution has stride 1, as in FaceX-Zoo.

    Args:
        fused: build the form for inference, one convolution a block. `fused()` makes it from a trained network.
        embedding_dim: D.
        input_size: pixels of a crop's sides, or (height, width).
        dropout: share of the last map's values that is dropped in training.
        checkpointing: keep less for the backward pass, see `facezoo.backbones.layers.through`.
    """

    def __init__(
        self,
        blocks: tuple[int, int, int, int],
        widths: tuple[float, float, float, float],
        groups: int,
        /,
        fused: bool = False,
        embedding_dim: int = 512,
        input_size: Size = 112,
        dropout: float = 0.0,
        checkpointing: bool = False,
    ) -> None:
        super().__init__()
        check_options("repvgg", embedding_dim, dropout)
        self.embedding_dim, self.input_size = embedding_dim, height_width(input_size)
        self.checkpointing = checkpointing
        block = FusedBlock if fused else Block
        inputs = min(64, int(64 * widths[0]))
        self.stem = block(3, inputs)
        self.stages = nn.ModuleList()
        position = 1
        for count, base, width in zip(blocks, (64, 128, 256, 512), widths, strict=True):
            outputs, stage = int(base * width), nn.Sequential()
            for number in range(count):
                shared = groups if position % 2 == 0 else 1
                stage.append(block(inputs, outputs, 1 if number else 2, shared))
                inputs, position = outputs, position + 1
            self.stages.append(stage)
        self.output = FlattenLinear(inputs, halved(self.input_size, 4), embedding_dim, dropout)
        kaiming(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for stage in self.stages:
            x = through(stage, x, self.checkpointing)
        return self.output(x)

    def fused(self) -> RepVGG:
        """A copy in the form for inference: the same embeddings, in evaluation mode, from one convolution a block."""
        network = deepcopy(self).eval()
        for name, module in list(network.named_modules()):
            if isinstance(module, Block):
                network.set_submodule(name, module.fused())
        # With nothing between the convolutions, maps in this order gain more than they cost: measured on CPUs.
        return network.to(memory_format=torch.channels_last)


@BACKBONES.register
def repvgg_a0(**options) -> RepVGG:
    return RepVGG(A, (0.75, 0.75, 0.75, 2.5), 1, **options)


@BACKBONES.register
def repvgg_a1(**options) -> RepVGG:
    return RepVGG(A, (1, 1, 1, 2.5), 1, **options)


@BACKBONES.register
def repvgg_a2(**options) -> RepVGG:
    return RepVGG(A, (1.5, 1.5, 1.5, 2.75), 1, **options)


@BACKBONES.register
def repvgg_b0(**options) -> RepVGG:
    return RepVGG(B, (1, 1, 1, 2.5), 1, **options)


@BACKBONES.register
def repvgg_b1(**options) -> RepVGG:
    return RepVGG(B, (2, 2, 2, 4), 1, **options)


@BACKBONES.register
def repvgg_b1g2(**options) -> RepVGG:
    return RepVGG(B, (2, 2, 2, 4), 2, **options)


@BACKBONES.register
def repvgg_b1g4(**options) -> RepVGG:
    return RepVGG(B, (2, 2, 2, 4), 4, **options)


@BACKBONES.register
def repvgg_b2(**options) -> RepVGG:
    return RepVGG(B, (2.5, 2.5, 2.5, 5), 1, **options)


@BACKBONES.register
def repvgg_b2g2(**options) -> RepVGG:
    return RepVGG(B, (2.5, 2.5, 2.5, 5), 2, **options)


@BACKBONES.register
def repvgg_b2g4(**options) -> RepVGG:
    return RepVGG(B, (2.5, 2.5, 2.5, 5), 4, **options)


@BACKBONES.register
def repvgg_b3(**options) -> RepVGG:
    return RepVGG(B, (3, 3, 3, 5), 1, **options)


@BACKBONES.register
def repvgg_b3g2(**options) -> RepVGG:
    return RepVGG(B, (3, 3, 3, 5), 2, **options)


@BACKBONES.register
def repvgg_b3g4(**options) -> RepVGG:
    return RepVGG(B, (3, 3, 3, 5), 4, **options)
