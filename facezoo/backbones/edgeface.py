"""EdgeFace: timm's EdgeNeXt with linear maps of low rank; https://arxiv.org/abs/2307.01838."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from facezoo.backbones.layers import Size, check_options, height_width
from facezoo.registry import BACKBONES
from facezoo.types import InputError


class LowRankLinear(nn.Sequential):
    """A linear map by way of fewer values."""

    def __init__(self, linear: nn.Linear, gamma: float) -> None:
        rank = max(2, int(min(linear.in_features, linear.out_features) * gamma))
        super().__init__(
            nn.Linear(linear.in_features, rank, bias=False),
            nn.Linear(rank, linear.out_features, bias=linear.bias is not None),
        )


class EdgeFace(nn.Module):
    """RGB crops (B, 3, H, W) in [-1, 1] to embeddings (B, embedding_dim), not normalised.

    The name before the options is timm's of the network without its classifier.

    Args:
        gamma: every linear map goes by way of this share of the smaller of its two widths; 1 leaves it whole.
        embedding_dim: D.
        input_size: pixels of a crop's sides, or (height, width).
        drop_path: share of the crops for which a residual branch is left out in training, growing towards the output.

    Raises:
        InputError: gamma or drop_path out of range.
    """

    def __init__(
        self,
        model: str,
        /,
        gamma: float = 1.0,
        embedding_dim: int = 512,
        input_size: Size = 112,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        import timm

        check_options("edgeface", embedding_dim)
        if not 0 < gamma <= 1:
            raise InputError(f"edgeface: gamma is {gamma}, it must be above 0 and at most 1")
        if not 0 <= drop_path < 1:
            raise InputError(f"edgeface: drop_path is {drop_path}, it must be at least 0 and below 1")
        self.embedding_dim, self.input_size = embedding_dim, height_width(input_size)
        self.body: Any = timm.create_model(model, num_classes=embedding_dim, drop_path_rate=drop_path)
        if gamma < 1:
            for name, module in list(self.body.named_modules()):
                if isinstance(module, nn.Linear):
                    self.body.set_submodule(name, LowRankLinear(module, gamma))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


@BACKBONES.register
def edgeface_xxs(**options) -> EdgeFace:
    return EdgeFace("edgenext_xx_small", **options)


@BACKBONES.register
def edgeface_xs(*, gamma: float = 0.6, **options) -> EdgeFace:
    return EdgeFace("edgenext_x_small", gamma=gamma, **options)


@BACKBONES.register
def edgeface_s(*, gamma: float = 0.5, **options) -> EdgeFace:
    return EdgeFace("edgenext_small", gamma=gamma, **options)


@BACKBONES.register
def edgeface_base(**options) -> EdgeFace:
    return EdgeFace("edgenext_base", **options)
