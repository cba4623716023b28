"""ResNet, SE-ResNet, ResNeXt and SE-ResNeXt with the output of face.evoLVe.

Papers: https://arxiv.org/abs/1512.03385, https://arxiv.org/abs/1709.01507, https://arxiv.org/abs/1611.05431.
"""

from __future__ import annotations

from typing import Literal

from torch import nn

from facezoo.backbones.adapted import Adapted, Stem, open_stem, timm_body
from facezoo.backbones.layers import FlattenLinear, Size, check_options, halved, height_width
from facezoo.registry import BACKBONES


class ResNet(Adapted):
    """RGB crops (B, 3, H, W) in [-1, 1] to embeddings (B, embedding_dim), not normalised.

    Args:
        stem: `keep` is face.evoLVe's form, whose last map is 4 x 4 at 112 pixels; `halve` makes it 7 x 7 for four
            times the work, `auto` does so where the map would be smaller than 7 x 7.
        embedding_dim: D.
        input_size: pixels of a crop's sides, or (height, width).
        dropout: share of the last map's values that is dropped in training.
        checkpointing: keep less for the backward pass, see `facezoo.backbones.layers.through`.
        form: `b` is the usual one; `c` begins with three 3 x 3 convolutions in place of one of 7 x 7; `d` also takes
            means where a shortcut halves the map, instead of every second pixel; https://arxiv.org/abs/1812.01187.
    """

    def __init__(
        self,
        model: str,
        /,
        stem: Stem = "keep",
        embedding_dim: int = 512,
        input_size: Size = 112,
        dropout: float = 0.5,
        checkpointing: bool = False,
        form: Literal["b", "c", "d"] = "b",
    ) -> None:
        check_options("resnet", embedding_dim, dropout)
        deep = {} if form == "b" else {"stem_type": "deep", "stem_width": 32}
        body = timm_body(model, **deep, avg_down=form == "d")
        halvings = open_stem(body.conv1 if form == "b" else body.conv1[0], stem, input_size)
        map_size = halved(height_width(input_size), halvings)
        super().__init__(
            nn.Sequential(body.conv1, body.bn1, body.act1, body.maxpool),
            (body.layer1, body.layer2, body.layer3, body.layer4),
            nn.Identity(),
            FlattenLinear(body.num_features, map_size, embedding_dim, dropout),
            embedding_dim,
            input_size,
            checkpointing,
        )


@BACKBONES.register
def resnet18(**options) -> ResNet:
    return ResNet("resnet18", **options)


@BACKBONES.register
def resnet34(**options) -> ResNet:
    return ResNet("resnet34", **options)


@BACKBONES.register
def resnet50(**options) -> ResNet:
    return ResNet("resnet50", **options)


@BACKBONES.register
def resnet101(**options) -> ResNet:
    return ResNet("resnet101", **options)


@BACKBONES.register
def resnet152(**options) -> ResNet:
    return ResNet("resnet152", **options)


@BACKBONES.register
def resnext50_32x4d(**options) -> ResNet:
    return ResNet("resnext50_32x4d", **options)


@BACKBONES.register
def resnext101_32x4d(**options) -> ResNet:
    return ResNet("resnext101_32x4d", **options)


@BACKBONES.register
def resnext101_64x4d(**options) -> ResNet:
    return ResNet("resnext101_64x4d", **options)


@BACKBONES.register
def seresnet18(**options) -> ResNet:
    return ResNet("seresnet18", **options)


@BACKBONES.register
def seresnet34(**options) -> ResNet:
    return ResNet("seresnet34", **options)


@BACKBONES.register
def seresnet50(**options) -> ResNet:
    return ResNet("seresnet50", **options)


@BACKBONES.register
def seresnet101(**options) -> ResNet:
    return ResNet("seresnet101", **options)


@BACKBONES.register
def seresnet152(**options) -> ResNet:
    return ResNet("seresnet152", **options)


@BACKBONES.register
def seresnext50_32x4d(**options) -> ResNet:
    return ResNet("seresnext50_32x4d", **options)


@BACKBONES.register
def seresnext101_32x4d(**options) -> ResNet:
    return ResNet("seresnext101_32x4d", **options)
