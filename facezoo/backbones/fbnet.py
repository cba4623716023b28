"""FBNet, searched for the latency of phones, in TFace's form; https://arxiv.org/abs/1812.03443."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from facezoo.backbones.layers import (
    ConvBN,
    FlattenLinear,
    Size,
    check_options,
    conv,
    halved,
    height_width,
    kaiming,
    through,
)
from facezoo.registry import BACKBONES

LARGE = 224
"""From this side of a crop on, pixels, the first convolution halves the map."""


class Row(NamedTuple):
    """One block of the paper's table: kernel, expansion, output channels, stride, groups of the 1x1 convolutions."""

    kernel: int
    expansion: int
    outputs: int
    stride: int = 1
    groups: int = 1


SKIP = None
"""A row that the search left empty: the block is the identity."""

A = (
    SKIP,
    *(Row(3, 3, 24, 2), Row(3, 1, 24), SKIP, SKIP),
    *(Row(5, 6, 32, 2), Row(3, 3, 32), Row(5, 1, 32), Row(3, 3, 32)),
    *(Row(5, 6, 64, 2), Row(5, 3, 64), Row(5, 1, 64, 1, 2), Row(5, 6, 64)),
    *(Row(3, 6, 112), Row(5, 1, 112, 1, 2), Row(5, 1, 112), Row(3, 1, 112, 1, 2)),
    *(Row(5, 6, 184, 2), Row(5, 6, 184), Row(5, 3, 184), Row(5, 6, 184), Row(5, 6, 352)),
)
B = (
    Row(3, 1, 16),
    *(Row(3, 6, 24, 2), Row(5, 1, 24), Row(3, 1, 24), Row(3, 1, 24)),
    *(Row(5, 6, 32, 2), Row(5, 3, 32), Row(3, 6, 32), Row(5, 6, 32)),
    *(Row(5, 6, 64, 2), Row(5, 1, 64), SKIP, Row(5, 3, 64)),
    *(Row(5, 6, 112), Row(3, 1, 112), Row(5, 1, 112), Row(5, 3, 112)),
    *(Row(5, 6, 184, 2), Row(5, 1, 184), Row(5, 6, 184), Row(5, 6, 184), Row(3, 6, 352)),
)
C = (
    Row(3, 1, 16),
    *(Row(3, 6, 24, 2), SKIP, Row(3, 1, 24), Row(3, 1, 24)),
    *(Row(5, 6, 32, 2), Row(5, 3, 32), Row(5, 6, 32), Row(3, 6, 32)),
    *(Row(5, 6, 64, 2), Row(5, 3, 64), Row(5, 6, 64), Row(5, 6, 64)),
    *(Row(5, 6, 112), Row(5, 6, 112), Row(5, 6, 112), Row(5, 3, 112)),
    *(Row(5, 6, 184, 2), Row(5, 6, 184), Row(5, 6, 184), Row(5, 6, 184), Row(3, 6, 352)),
)


class Block(nn.Module):
    """Widens, filters each channel by itself without norm or activation, projects; added to the input if it can be.

    Where the block does not widen, the first convolution is left out.
    """

    def __init__(self, inputs: int, row: Row) -> None:
        super().__init__()
        middle = inputs * row.expansion
        self.residual = row.stride == 1 and inputs == row.outputs
        self.expand = None if middle == inputs else ConvBN(inputs, middle, 1, 1, row.groups)
        self.shuffle = nn.ChannelShuffle(row.groups) if row.groups > 1 else nn.Identity()
        self.depthwise = conv(middle, middle, row.kernel, row.stride, middle)
        self.project = ConvBN(middle, row.outputs, 1, 1, row.groups)

    def forward(self, x: Tensor) -> Tensor:
        y = x if self.expand is None else self.expand(x).relu()
        y = self.project(self.depthwise(self.shuffle(y)))
        return x + y if self.residual else y


class FBNet(nn.Module):
    """RGB crops (B, 3, H, W) in [-1, 1] to embeddings (B, embedding_dim), not normalised.

    The rows before the options are the blocks. The first convolution keeps crops under 224 pixels at their size and
    halves larger ones.

    Args:
        embedding_dim: D.
        input_size: pixels of a crop's sides, or (height, width).
        dropout: share of the last map's values that is dropped in training.
        checkpointing: keep less for the backward pass, see `facezoo.backbones.layers.through`.
    """

    def __init__(
        self,
        rows: tuple[Row | None, ...],
        /,
        embedding_dim: int = 512,
        input_size: Size = 112,
        dropout: float = 0.4,
        checkpointing: bool = False,
    ) -> None:
        super().__init__()
        check_options("fbnet", embedding_dim, dropout)
        self.embedding_dim, self.input_size = embedding_dim, height_width(input_size)
        self.checkpointing = checkpointing
        large = max(self.input_size) >= LARGE
        inputs = 16
        self.stem = ConvBN(3, inputs, 3, 2 if large else 1)
        self.blocks = nn.Sequential()
        for row in rows:
            if row is None:
                self.blocks.append(nn.Identity())
            else:
                self.blocks.append(Block(inputs, row))
                inputs = row.outputs
        self.output = FlattenLinear(inputs, halved(self.input_size, 4 + large), embedding_dim, dropout, affine=False)
        kaiming(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(through(self.blocks, self.stem(x).relu(), self.checkpointing))


@BACKBONES.register
def fbnet_a(**options) -> FBNet:
    return FBNet(A, **options)


@BACKBONES.register
def fbnet_b(**options) -> FBNet:
    return FBNet(B, **options)


@BACKBONES.register
def fbnet_c(**options) -> FBNet:
    return FBNet(C, **options)
