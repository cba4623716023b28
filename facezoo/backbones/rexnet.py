"""ReXNet with the last layers of FaceX-Zoo; https://arxiv.org/abs/2007.00992."""

from __future__ import annotations

from torch import nn

from facezoo.backbones.adapted import Adapted, open_stem, timm_body
from facezoo.backbones.layers import FlattenLinear, Size, check_options, halved, height_width
from facezoo.registry import BACKBONES

SQUEEZE = 1 / 12


class ReXNet(Adapted):
    """RGB crops (B, 3, H, W) in [-1, 1] to embeddings (B, embedding_dim), not normalised; the first stride is 1.

    The number before the options is the factor of the channels.

    Args:
        squeeze: squeeze-and-excitation from the fourth block on, as the paper has it; the model that FaceX-Zoo
            publishes goes without.
        embedding_dim: D.
        input_size: pixels of a crop's sides, or (height, width).
        dropout: share of the last map's values that is dropped in training.
        checkpointing: keep less for the backward pass, see `facezoo.backbones.layers.through`.
    """

    def __init__(
        self,
        width: float,
        /,
        squeeze: bool = False,
        embedding_dim: int = 512,
        input_size: Size = 112,
        dropout: float = 0.2,
        checkpointing: bool = False,
    ) -> None:
        from timm.layers import ConvNormAct

        check_options("rexnet", embedding_dim, dropout)
        body = timm_body("rexnet_100", width_mult=width, se_ratio=SQUEEZE if squeeze else 0.0)
        open_stem(body.stem.conv, "halve", input_size)
        *blocks, last = body.features
        channels = round(512 * width)
        super().__init__(
            body.stem,
            (nn.Sequential(*blocks),),
            ConvNormAct(last.conv.in_channels, channels, act_layer="swish"),
            FlattenLinear(channels, halved(height_width(input_size), 4), embedding_dim, dropout),
            embedding_dim,
            input_size,
            checkpointing,
        )


@BACKBONES.register
def rexnet_100(**options) -> ReXNet:
    return ReXNet(1.0, **options)


@BACKBONES.register
def rexnet_130(**options) -> ReXNet:
    return ReXNet(1.3, **options)


@BACKBONES.register
def rexnet_150(**options) -> ReXNet:
    return ReXNet(1.5, **options)


@BACKBONES.register
def rexnet_200(**options) -> ReXNet:
    return ReXNet(2.0, **options)


@BACKBONES.register
def rexnet_300(**options) -> ReXNet:
    return ReXNet(3.0, **options)
