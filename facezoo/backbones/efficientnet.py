"""EfficientNet as FaceX-Zoo and as TFace build it, and EfficientNetV2.

Papers: https://arxiv.org/abs/1905.11946, https://arxiv.org/abs/2104.00298.
"""

from __future__ import annotations

from typing import Any, Literal

import torch.nn.functional as F
from torch import Tensor, nn

from facezoo.backbones.adapted import Adapted, Stem, open_stem, timm_body
from facezoo.backbones.kernels import PReLU
from facezoo.backbones.layers import (
    GDC,
    ConvBNPReLU,
    FlattenLinear,
    Size,
    check_options,
    conv,
    halved,
    height_width,
    kaiming,
)
from facezoo.registry import BACKBONES
from facezoo.types import InputError

DROPOUT = 0.2
"""FaceX-Zoo's, where none is asked for."""


class EfficientNet(Adapted):
    """RGB crops (B, 3, H, W) in [-1, 1] to embeddings (B, embedding_dim), not normalised; the first stride is 1.

    Args:
        flavor: `facexzoo` is the form of FaceX-Zoo and face.evoLVe, with their padding (see `FixedPadding`) and all of
            the last map. `tface` has PReLUs, squeeze-and-excitation without biases, symmetric padding, a last
            convolution of 512 channels and a global depthwise convolution.
        embedding_dim: D.
        input_size: pixels of a crop's sides, or (height, width).
        dropout: share of the last map's values that is dropped in training: 0.2 unless given; `tface` has none.
        drop_path: share of the last block's crops that go around it in training, growing to it from the first.
        checkpointing: keep less for the backward pass, see `facezoo.backbones.layers.through`.

    Raises:
        InputError: dropout for the flavor `tface`.
    """

    def __init__(
        self,
        model: str,
        /,
        flavor: Literal["facexzoo", "tface"] = "facexzoo",
        embedding_dim: int = 512,
        input_size: Size = 112,
        dropout: float | None = None,
        drop_path: float = 0.2,
        checkpointing: bool = False,
    ) -> None:
        check_options("efficientnet", embedding_dim, dropout or 0.0)
        if not 0 <= drop_path < 1:
            raise InputError(f"efficientnet: drop_path is {drop_path}, it must be at least 0 and below 1")
        if flavor == "tface" and dropout is not None:
            raise InputError("efficientnet: the flavor tface has no dropout; leave dropout out or take facexzoo")
        size = height_width(input_size)
        # TensorFlow's momentum of 0.99 and slack of 1e-3 came with FaceX-Zoo's port, TFace has PyTorch's.
        norms = {"bn_eps": 1e-3, "bn_momentum": 0.01} if flavor == "facexzoo" else {}
        body = timm_body(model, drop_path_rate=drop_path, **norms)
        open_stem(body.conv_stem, "halve", size)
        if flavor == "facexzoo":
            map_size = _pad(body.blocks, size)
            head: nn.Module = nn.Sequential(body.conv_head, body.bn2)
            share = DROPOUT if dropout is None else dropout
            output: nn.Module = FlattenLinear(body.num_features, map_size, embedding_dim, share)
        else:
            head = ConvBNPReLU(body.conv_head.in_channels, 512)
            output = GDC(512, halved(size, 4), embedding_dim, affine=False)
            _to_prelu(body)
        super().__init__(
            nn.Sequential(body.conv_stem, body.bn1), body.blocks, head, output, embedding_dim, size, checkpointing
        )
        if flavor == "tface":
            kaiming(self)


class FixedPadding(nn.Conv2d):
    """A depthwise convolution of stride 2 that pads for a map of `nominal` pixels, whatever it is given.

    FaceX-Zoo computes TensorFlow's padding for a square crop as if the first convolution had kept its stride of 2: for
    a map half as large as the real one. So some paddings are larger than needed and most are one-sided.
    """

    def __init__(self, channels: int, kernel: int, nominal: int) -> None:
        super().__init__(channels, channels, kernel, 2, groups=channels, bias=False)
        total = max(2 * ((nominal + 1) // 2 - 1) + kernel - nominal, 0)
        self.before, self.after = total // 2, total - total // 2

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.pad(x, (self.before, self.after) * 2))

    def given(self, size: tuple[int, int]) -> tuple[int, int]:
        """The size it makes of a map's."""
        height, width = ((side + self.before + self.after - self.kernel_size[0]) // 2 + 1 for side in size)
        return height, width


def _pad(blocks: nn.Module, size: tuple[int, int]) -> tuple[int, int]:
    """Give the blocks FaceX-Zoo's padding; the last map's size."""
    nominal = (max(size) + 1) // 2
    for module in list(blocks.modules()):
        depthwise = getattr(module, "conv_dw", None)
        if isinstance(depthwise, nn.Conv2d) and depthwise.stride == (2, 2):
            module.conv_dw = FixedPadding(depthwise.in_channels, depthwise.kernel_size[0], nominal)
            size, nominal = module.conv_dw.given(size), (nominal + 1) // 2
    return size


def _to_prelu(body: nn.Module) -> None:
    """PReLUs behind the BatchNorms that have an activation; squeeze-and-excitation with ReLU and without biases."""
    for module in list(body.modules()):
        part: Any = module
        if isinstance(module, nn.BatchNorm2d) and not isinstance(part.act, nn.Identity):
            part.act = PReLU(module.num_features)
        elif hasattr(module, "conv_reduce"):
            inner, outer = part.conv_reduce.out_channels, part.conv_reduce.in_channels
            part.conv_reduce, part.conv_expand, part.act1 = conv(outer, inner, 1), conv(inner, outer, 1), nn.ReLU()


class EfficientNetV2(Adapted):
    """RGB crops (B, 3, H, W) in [-1, 1] to embeddings (B, embedding_dim), not normalised.

    Args:
        stem: `keep` the first convolution's stride, `halve` it, or `auto`: halve it where the last map would be
            smaller than 7 x 7.
        embedding_dim: D.
        input_size: pixels of a crop's sides, or (height, width).
        dropout: share of the last map's values that is dropped in training.
        drop_path: share of the last block's crops that go around it in training, growing to it from the first.
        checkpointing: keep less for the backward pass, see `facezoo.backbones.layers.through`.
    """

    def __init__(
        self,
        model: str,
        /,
        stem: Stem = "auto",
        embedding_dim: int = 512,
        input_size: Size = 112,
        dropout: float = 0.2,
        drop_path: float = 0.2,
        checkpointing: bool = False,
    ) -> None:
        check_options("efficientnetv2", embedding_dim, dropout)
        if not 0 <= drop_path < 1:
            raise InputError(f"efficientnetv2: drop_path is {drop_path}, it must be at least 0 and below 1")
        body = timm_body(model, drop_path_rate=drop_path, pad_type="")
        halvings = open_stem(body.conv_stem, stem, input_size)
        map_size = halved(height_width(input_size), halvings)
        super().__init__(
            nn.Sequential(body.conv_stem, body.bn1),
            body.blocks,
            nn.Sequential(body.conv_head, body.bn2),
            FlattenLinear(body.num_features, map_size, embedding_dim, dropout),
            embedding_dim,
            input_size,
            checkpointing,
        )


@BACKBONES.register
def efficientnet_b0(**options) -> EfficientNet:
    return EfficientNet("efficientnet_b0", **options)


@BACKBONES.register
def efficientnet_b1(**options) -> EfficientNet:
    return EfficientNet("efficientnet_b1", **options)


@BACKBONES.register
def efficientnet_b2(**options) -> EfficientNet:
    return EfficientNet("efficientnet_b2", **options)


@BACKBONES.register
def efficientnet_b3(**options) -> EfficientNet:
    return EfficientNet("efficientnet_b3", **options)


@BACKBONES.register
def efficientnet_b4(**options) -> EfficientNet:
    return EfficientNet("efficientnet_b4", **options)


@BACKBONES.register
def efficientnet_b5(**options) -> EfficientNet:
    return EfficientNet("efficientnet_b5", **options)


@BACKBONES.register
def efficientnet_b6(**options) -> EfficientNet:
    return EfficientNet("efficientnet_b6", **options)


@BACKBONES.register
def efficientnet_b7(**options) -> EfficientNet:
    return EfficientNet("efficientnet_b7", **options)


@BACKBONES.register
def efficientnetv2_b0(**options) -> EfficientNetV2:
    return EfficientNetV2("tf_efficientnetv2_b0", **options)


@BACKBONES.register
def efficientnetv2_b1(**options) -> EfficientNetV2:
    return EfficientNetV2("tf_efficientnetv2_b1", **options)


@BACKBONES.register
def efficientnetv2_b2(**options) -> EfficientNetV2:
    return EfficientNetV2("tf_efficientnetv2_b2", **options)


@BACKBONES.register
def efficientnetv2_b3(**options) -> EfficientNetV2:
    return EfficientNetV2("tf_efficientnetv2_b3", **options)


@BACKBONES.register
def efficientnetv2_s(**options) -> EfficientNetV2:
    return EfficientNetV2("efficientnetv2_s", **options)


@BACKBONES.register
def efficientnetv2_m(**options) -> EfficientNetV2:
    return EfficientNetV2("efficientnetv2_m", **options)


@BACKBONES.register
def efficientnetv2_l(**options) -> EfficientNetV2:
    return EfficientNetV2("efficientnetv2_l", **options)
