"""DenseNet: every layer sees the maps of all before it; https://arxiv.org/abs/1608.06993."""

from __future__ import annotations

from torch import nn

from facezoo.backbones.adapted import Adapted, Stem, open_stem, timm_body
from facezoo.backbones.layers import FlattenLinear, Size, check_options, halved, height_width
from facezoo.registry import BACKBONES


class DenseNet(Adapted):
    """RGB crops (B, 3, H, W) in [-1, 1] to embeddings (B, embedding_dim), not normalised.

    Args:
        stem: `keep` the first convolution's stride, `halve` it, or `auto`: halve it where the last map would be
            smaller than 7 x 7.
        embedding_dim: D.
        input_size: pixels of a crop's sides, or (height, width).
        dropout: share of the last map's values that is dropped in training.
        checkpointing: keep of each dense block its input alone for the backward pass, see
            `facezoo.backbones.layers.through`.
    """

    def __init__(
        self,
        model: str,
        /,
        stem: Stem = "auto",
        embedding_dim: int = 512,
        input_size: Size = 112,
        dropout: float = 0.4,
        checkpointing: bool = False,
    ) -> None:
        check_options("densenet", embedding_dim, dropout)
        body = timm_body(model)
        parts = body.features
        halvings = open_stem(parts.conv0, stem, input_size)
        height, width = halved(height_width(input_size), halvings - 3)
        # The three transitions average whole 2 x 2 squares and leave an odd last row out.
        map_size = max(1, height // 8), max(1, width // 8)
        super().__init__(
            nn.Sequential(parts.conv0, parts.norm0, parts.pool0),
            (
                nn.Sequential(parts.denseblock1),
                nn.Sequential(parts.transition1, parts.denseblock2),
                nn.Sequential(parts.transition2, parts.denseblock3),
                nn.Sequential(parts.transition3, parts.denseblock4),
            ),
            parts.norm5,
            FlattenLinear(body.num_features, map_size, embedding_dim, dropout),
            embedding_dim,
            input_size,
            checkpointing,
        )


@BACKBONES.register
def densenet121(**options) -> DenseNet:
    return DenseNet("densenet121", **options)


@BACKBONES.register
def densenet161(**options) -> DenseNet:
    return DenseNet("densenet161", **options)


@BACKBONES.register
def densenet169(**options) -> DenseNet:
    return DenseNet("densenet169", **options)


@BACKBONES.register
def densenet201(**options) -> DenseNet:
    return DenseNet("densenet201", **options)
