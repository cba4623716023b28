"""Dual path networks: residual and dense connections side by side; https://arxiv.org/abs/1707.01629."""

from __future__ import annotations

from torch import nn

from facezoo.backbones.adapted import Adapted, Stem, open_stem, timm_body
from facezoo.backbones.layers import FlattenLinear, Size, check_options, halved, height_width
from facezoo.registry import BACKBONES


class DPN(Adapted):
    """RGB crops (B, 3, H, W) in [-1, 1] to embeddings (B, embedding_dim), not normalised.

    Args:
        stem: `keep` the first convolution's stride, `halve` it, or `auto`: halve it where the last map would be
            smaller than 7 x 7.
        embedding_dim: D.
        input_size: pixels of a crop's sides, or (height, width).
        dropout: share of the last map's values that is dropped in training.
        checkpointing: keep less for the backward pass, see `facezoo.backbones.layers.through`.
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
        check_options("dpn", embedding_dim, dropout)
        body = timm_body(model)
        first, pool, *blocks, last = body.features
        halvings = open_stem(first.conv, stem, input_size)
        map_size = halved(height_width(input_size), halvings)
        super().__init__(
            nn.Sequential(first, pool),
            (nn.Sequential(*blocks),),
            last,
            FlattenLinear(body.num_features, map_size, embedding_dim, dropout),
            embedding_dim,
            input_size,
            checkpointing,
        )


@BACKBONES.register
def dpn68(**options) -> DPN:
    return DPN("dpn68", **options)


@BACKBONES.register
def dpn92(**options) -> DPN:
    return DPN("dpn92", **options)


@BACKBONES.register
def dpn98(**options) -> DPN:
    return DPN("dpn98", **options)


@BACKBONES.register
def dpn107(**options) -> DPN:
    return DPN("dpn107", **options)


@BACKBONES.register
def dpn131(**options) -> DPN:
    return DPN("dpn131", **options)
