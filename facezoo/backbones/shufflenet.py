"""ShuffleNet v2 of torchvision with a global depthwise convolution as output; https://arxiv.org/abs/1807.11164."""

from __future__ import annotations

from typing import Any

from torch import nn

from facezoo.backbones.adapted import Adapted, Stem, open_stem
from facezoo.backbones.layers import GDC, Size, check_options, halved, height_width
from facezoo.registry import BACKBONES

REPEATS = (4, 8, 4)


class ShuffleNetV2(Adapted):
    """RGB crops (B, 3, H, W) in [-1, 1] to embeddings (B, embedding_dim), not normalised.

    The numbers before the options are the channels after the first convolution, of the three stages and of the last
    convolution.

    Args:
        stem: `keep` the first convolution's stride, `halve` it, or `auto`: halve it where the last map would be
            smaller than 7 x 7.
        embedding_dim: D.
        input_size: pixels of a crop's sides, or (height, width).
        checkpointing: keep less for the backward pass, see `facezoo.backbones.layers.through`.
    """

    def __init__(
        self,
        channels: tuple[int, int, int, int, int],
        /,
        stem: Stem = "auto",
        embedding_dim: int = 512,
        input_size: Size = 112,
        checkpointing: bool = False,
    ) -> None:
        from torchvision.models.shufflenetv2 import ShuffleNetV2 as Body  # type: ignore[import-untyped]

        check_options("shufflenet", embedding_dim)
        body: Any = Body(list(REPEATS), list(channels), num_classes=1)
        halvings = open_stem(body.conv1[0], stem, input_size)
        map_size = halved(height_width(input_size), halvings)
        super().__init__(
            nn.Sequential(body.conv1, body.maxpool),
            (body.stage2, body.stage3, body.stage4),
            body.conv5,
            GDC(channels[-1], map_size, embedding_dim),
            embedding_dim,
            input_size,
            checkpointing,
        )


@BACKBONES.register
def shufflenet_v2_x0_5(**options) -> ShuffleNetV2:
    return ShuffleNetV2((24, 48, 96, 192, 1024), **options)


@BACKBONES.register
def shufflenet_v2_x1_0(**options) -> ShuffleNetV2:
    return ShuffleNetV2((24, 116, 232, 464, 1024), **options)


@BACKBONES.register
def shufflenet_v2_x1_5(**options) -> ShuffleNetV2:
    return ShuffleNetV2((24, 176, 352, 704, 1024), **options)


@BACKBONES.register
def shufflenet_v2_x2_0(**options) -> ShuffleNetV2:
    return ShuffleNetV2((24, 244, 488, 976, 2048), **options)
