"""GhostNet as FaceX-Zoo and as TFace build it, and GhostFaceNet.

Papers: https://arxiv.org/abs/1911.11907 (v1), https://arxiv.org/abs/2211.12905 (v2),
https://doi.org/10.1109/ACCESS.2023.3266068 (GhostFaceNet).
"""

from __future__ import annotations

from typing import Any, Literal

from torch import nn

from facezoo.backbones.adapted import Adapted, open_stem
from facezoo.backbones.kernels import PReLU
from facezoo.backbones.layers import GDC, FlattenLinear, Size, check_options, halved, height_width, kaiming
from facezoo.registry import BACKBONES
from facezoo.types import InputError

DROPOUT = 0.2
"""FaceX-Zoo's, where none is asked for."""

SQUEEZE = 0.25

# kernel, hidden channels, output channels, squeeze-and-excitation, stride
STAGES = (
    ((3, 16, 16, 0, 1),),
    ((3, 48, 24, 0, 2),),
    ((3, 72, 24, 0, 1),),
    ((5, 72, 40, SQUEEZE, 2),),
    ((5, 120, 40, SQUEEZE, 1),),
    ((3, 240, 80, 0, 2),),
    (
        (3, 200, 80, 0, 1),
        (3, 184, 80, 0, 1),
        (3, 184, 80, 0, 1),
        (3, 480, 112, SQUEEZE, 1),
        (3, 672, 112, SQUEEZE, 1),
    ),
    ((5, 672, 160, SQUEEZE, 2),),
)
LAST = ((5, 960, 160, 0, 1), (5, 960, 160, SQUEEZE, 1), (5, 960, 160, 0, 1), (5, 960, 160, SQUEEZE, 1))
NARROW_LAST = (*LAST[:3], (5, 512, 160, SQUEEZE, 1))


class GhostNet(Adapted):
    """RGB crops (B, 3, H, W) in [-1, 1] to embeddings (B, embedding_dim), not normalised; the first stride is 1.

    Args:
        width: factor of all channels, rounded to multiples of 4.
        flavor: `facexzoo` is the form of FaceX-Zoo and face.evoLVe (their width is 1): ReLUs and all of the last map.
            `tface` (its width is 1.3) has PReLUs, a narrower last block and a global depthwise convolution.
        embedding_dim: D.
        input_size: pixels of a crop's sides, or (height, width).
        dropout: share of the last map's values that is dropped in training: 0.2 unless given; `tface` has none.
        checkpointing: keep less for the backward pass, see `facezoo.backbones.layers.through`.

    Raises:
        InputError: dropout for the flavor `tface`.
    """

    def __init__(
        self,
        width: float = 1.0,
        flavor: Literal["facexzoo", "tface"] = "facexzoo",
        embedding_dim: int = 512,
        input_size: Size = 112,
        dropout: float | None = None,
        checkpointing: bool = False,
    ) -> None:
        check_options("ghostnet", embedding_dim, dropout or 0.0)
        if flavor == "tface" and dropout is not None:
            raise InputError("ghostnet: the flavor tface has no dropout; leave dropout out or take facexzoo")
        body = _body("ghostnet", NARROW_LAST if flavor == "tface" else LAST, width, "v1")
        open_stem(body.conv_stem, "halve", input_size)
        map_size = halved(height_width(input_size), 4)
        if flavor == "tface":
            _to_prelu(body)
            output: nn.Module = GDC(body.num_features, map_size, embedding_dim, affine=False)
        else:
            share = DROPOUT if dropout is None else dropout
            output = FlattenLinear(body.num_features, map_size, embedding_dim, share)
        *stages, last = body.blocks
        stem = nn.Sequential(body.conv_stem, body.bn1, body.act1)
        super().__init__(stem, stages, last[0], output, embedding_dim, input_size, checkpointing)
        if flavor == "tface":
            kaiming(self)


class GhostFaceNet(Adapted):
    """RGB crops (B, 3, H, W) in [-1, 1] to embeddings (B, embedding_dim), not normalised.

    GhostNet with PReLUs, in squeeze-and-excitation too, and a global depthwise convolution. The version before the
    options is GhostNet's: 1 has the narrower last block, 2 attention along rows and columns in all blocks but the
    first two.

    Args:
        width: factor of all channels, rounded to multiples of 4.
        stride: of the first convolution, 1 or 2: the last figure of the paper's names, such as GhostFaceNetV1-1.3-2.
        embedding_dim: D.
        input_size: pixels of a crop's sides, or (height, width).
        checkpointing: keep less for the backward pass, see `facezoo.backbones.layers.through`.

    Raises:
        InputError: the attention of version 2 halves maps of one pixel.
    """

    def __init__(
        self,
        version: Literal[1, 2],
        /,
        width: float = 1.3,
        stride: int = 1,
        embedding_dim: int = 512,
        input_size: Size = 112,
        checkpointing: bool = False,
    ) -> None:
        name = f"ghostfacenet_v{version}"
        check_options(name, embedding_dim)
        if stride not in (1, 2):
            raise InputError(f"{name}: stride is {stride}, it must be 1 or 2")
        body = _body(name, NARROW_LAST if version == 1 else LAST, width, f"v{version}")
        halvings = open_stem(body.conv_stem, "halve" if stride == 1 else "keep", input_size)
        size = height_width(input_size)
        map_size = halved(size, halvings)
        if version == 2 and min(map_size) < 2:
            raise InputError(f"{name}: its last map of {size} crops is {map_size}, each side must be 2 or more")
        _to_prelu(body)
        for module in list(body.modules()):
            if hasattr(module, "conv_reduce"):
                module.act1 = PReLU(module.conv_reduce.out_channels)
        *stages, last = body.blocks
        super().__init__(
            nn.Sequential(body.conv_stem, body.bn1, body.act1),
            stages,
            last[0],
            GDC(body.num_features, map_size, embedding_dim),
            embedding_dim,
            size,
            checkpointing,
        )
        kaiming(self)


def _body(family: str, last: tuple, width: float, version: str) -> Any:
    from timm.models.ghostnet import GhostNet as Body

    if not 0.1 <= width <= 8:
        raise InputError(f"{family}: width is {width}, it must be 0.1 to 8")
    rows: Any = (*STAGES, last)
    return Body(rows, num_classes=0, width=width, version=version)


def _to_prelu(body: nn.Module) -> None:
    """PReLUs for the ReLUs behind convolutions; those of squeeze-and-excitation stay."""
    for module in list(body.modules()):
        part: Any = module
        if hasattr(module, "conv_stem"):
            part.act1 = PReLU(part.conv_stem.out_channels)
        elif hasattr(module, "primary_conv"):
            for branch in (part.primary_conv, part.cheap_operation):
                if isinstance(branch[2], nn.ReLU):
                    branch[2] = PReLU(branch[0].out_channels)
        elif isinstance(getattr(module, "act", None), nn.ReLU):
            part.act = PReLU(part.num_features)


@BACKBONES.register
def ghostnet(**options) -> GhostNet:
    return GhostNet(**options)


@BACKBONES.register
def ghostfacenet_v1(**options) -> GhostFaceNet:
    return GhostFaceNet(1, **options)


@BACKBONES.register
def ghostfacenet_v2(**options) -> GhostFaceNet:
    return GhostFaceNet(2, **options)
