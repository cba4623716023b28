"""MobileNet's four generations with a global depthwise convolution as output.

Papers: https://arxiv.org/abs/1704.04861 (v1), https://arxiv.org/abs/1801.04381 (v2),
https://arxiv.org/abs/1905.02244 (v3), https://arxiv.org/abs/2404.10518 (v4).
"""

from __future__ import annotations

from torch import nn

from facezoo.backbones.adapted import Adapted, Stem, open_stem, timm_body
from facezoo.backbones.layers import GDC, Size, check_options, halved, height_width
from facezoo.registry import BACKBONES


class MobileNet(Adapted):
    """RGB crops (B, 3, H, W) in [-1, 1] to embeddings (B, embedding_dim), not normalised.

    What v3 and v4 have behind their pooling stays behind: the global depthwise convolution takes its place.

    Args:
        stem: `keep` the first convolution's stride, `halve` it, or `auto`: halve it where the last map would be
            smaller than 7 x 7.
        embedding_dim: D.
        input_size: pixels of a crop's sides, or (height, width).
        checkpointing: keep less for the backward pass, see `facezoo.backbones.layers.through`.
    """

    def __init__(
        self,
        model: str,
        pooled_head: bool,
        /,
        stem: Stem = "auto",
        embedding_dim: int = 512,
        input_size: Size = 112,
        checkpointing: bool = False,
    ) -> None:
        check_options("mobilenet", embedding_dim)
        body = timm_body(model)
        halvings = open_stem(body.conv_stem, stem, input_size)
        map_size = halved(height_width(input_size), halvings)
        super().__init__(
            nn.Sequential(body.conv_stem, body.bn1),
            body.blocks,
            nn.Identity() if pooled_head else nn.Sequential(body.conv_head, body.bn2),
            GDC(body.num_features, map_size, embedding_dim),
            embedding_dim,
            input_size,
            checkpointing,
        )


@BACKBONES.register
def mobilenetv1_100(**options) -> MobileNet:
    return MobileNet("mobilenetv1_100", False, **options)


@BACKBONES.register
def mobilenetv2_050(**options) -> MobileNet:
    return MobileNet("mobilenetv2_050", False, **options)


@BACKBONES.register
def mobilenetv2_100(**options) -> MobileNet:
    return MobileNet("mobilenetv2_100", False, **options)


@BACKBONES.register
def mobilenetv2_140(**options) -> MobileNet:
    return MobileNet("mobilenetv2_140", False, **options)


@BACKBONES.register
def mobilenetv3_small_100(**options) -> MobileNet:
    return MobileNet("mobilenetv3_small_100", True, **options)


@BACKBONES.register
def mobilenetv3_large_100(**options) -> MobileNet:
    return MobileNet("mobilenetv3_large_100", True, **options)


@BACKBONES.register
def mobilenetv4_conv_small(**options) -> MobileNet:
    return MobileNet("mobilenetv4_conv_small", True, **options)


@BACKBONES.register
def mobilenetv4_conv_medium(**options) -> MobileNet:
    return MobileNet("mobilenetv4_conv_medium", True, **options)


@BACKBONES.register
def mobilenetv4_conv_large(**options) -> MobileNet:
    return MobileNet("mobilenetv4_conv_large", True, **options)
