"""Split-attention networks with the stem and output of FaceX-Zoo; https://arxiv.org/abs/2004.08955."""

from __future__ import annotations

from typing import Any

from torch import nn

from facezoo.backbones.adapted import Adapted
from facezoo.backbones.layers import ConvBNPReLU, FlattenLinear, Size, check_options, halved, height_width, kaiming
from facezoo.registry import BACKBONES

RADIX = 2


class ResNeSt(Adapted):
    """RGB crops (B, 3, H, W) in [-1, 1] to embeddings (B, embedding_dim), not normalised.

    The embeddings are those of FaceX-Zoo before it divides them by their L2 norm: here every backbone leaves the norm
    to who uses it. The numbers before the options are the channels after the first convolution and the units of the
    four stages.

    Args:
        embedding_dim: D.
        input_size: pixels of a crop's sides, or (height, width).
        dropout: share of the last map's values that is dropped in training.
        checkpointing: keep less for the backward pass, see `facezoo.backbones.layers.through`.
    """

    def __init__(
        self,
        first: int,
        units: tuple[int, int, int, int],
        /,
        embedding_dim: int = 512,
        input_size: Size = 112,
        dropout: float = 0.4,
        checkpointing: bool = False,
    ) -> None:
        check_options("resnest", embedding_dim, dropout)
        map_size = halved(height_width(input_size), 4)
        inputs, stages = first, []
        for stage, count in enumerate(units):
            channels = 64 * 2**stage
            stages.append(
                nn.Sequential(*(_unit(inputs if i == 0 else 4 * channels, channels, i) for i in range(count)))
            )
            inputs = 4 * channels
        super().__init__(
            ConvBNPReLU(3, first, 3),
            stages,
            nn.Identity(),
            FlattenLinear(inputs, map_size, embedding_dim, dropout),
            embedding_dim,
            input_size,
            checkpointing,
        )
        kaiming(self)


def _unit(inputs: int, channels: int, place: int) -> nn.Module:
    """A bottleneck to 4 x `channels`; a stage's first halves the map, by averages, in its body and its shortcut."""
    from timm.models.resnest import ResNestBottleneck
    from timm.models.resnet import downsample_avg

    stride = 2 if place == 0 else 1
    shortcut: Any = downsample_avg(inputs, 4 * channels, kernel_size=1, stride=stride) if place == 0 else None
    return ResNestBottleneck(inputs, channels, stride, shortcut, radix=RADIX, avd=True)


@BACKBONES.register
def resnest50(**options) -> ResNeSt:
    return ResNeSt(64, (3, 4, 6, 3), **options)


@BACKBONES.register
def resnest101(**options) -> ResNeSt:
    return ResNeSt(128, (3, 4, 23, 3), **options)


@BACKBONES.register
def resnest200(**options) -> ResNeSt:
    return ResNeSt(128, (3, 24, 36, 3), **options)


@BACKBONES.register
def resnest269(**options) -> ResNeSt:
    return ResNeSt(128, (3, 30, 48, 8), **options)
