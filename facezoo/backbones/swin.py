"""Swin transformers with the output of FaceX-Zoo; https://arxiv.org/abs/2103.14030."""

from __future__ import annotations

from torch import Tensor, nn

from facezoo.backbones.adapted import SMALL_MAP, Adapted, timm_body
from facezoo.backbones.layers import Size, check_options, halved, height_width
from facezoo.registry import BACKBONES
from facezoo.types import InputError

LARGE_PATCH = 4


class TokensLinear(nn.Module):
    """LayerNorm of each token, one linear map of all of (B, h, w, C) to (B, D), BatchNorm."""

    def __init__(self, channels: int, map_size: tuple[int, int], embedding_dim: int, dropout: float) -> None:
        super().__init__()
        self.tokens = nn.LayerNorm(channels)
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(channels * map_size[0] * map_size[1], embedding_dim)
        self.norm = nn.BatchNorm1d(embedding_dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.linear(self.dropout(self.tokens(x)).flatten(1)))


class Swin(Adapted):
    """RGB crops (B, 3, H, W) in [-1, 1] to embeddings (B, embedding_dim), not normalised.

    Windows are of 7 x 7 tokens. Maps that are no multiple of it are filled up for the windows and cut again; a map
    that is smaller along one side is one window along it.

    Args:
        patch: pixels of a token's side, 2 or 4; 0 takes 4 where the last map keeps 7 tokens a side, as at 224
            pixels, where it is the paper's network, and 2 below: at 112 pixels that gives the maps of 224.
        embedding_dim: D.
        input_size: pixels of a crop's sides, or (height, width): multiples of the patch.
        dropout: share of the last map's values that is dropped in training.
        drop_path: share of the last block's crops that go around it in training, growing to it from the first.
        checkpointing: keep less for the backward pass, see `facezoo.backbones.layers.through`.

    Raises:
        InputError: a side is no multiple of the patch, or there is no such patch.
    """

    def __init__(
        self,
        model: str,
        /,
        patch: int = 0,
        embedding_dim: int = 512,
        input_size: Size = 112,
        dropout: float = 0.0,
        drop_path: float = 0.3,
        checkpointing: bool = False,
    ) -> None:
        check_options("swin", embedding_dim, dropout)
        if not 0 <= drop_path < 1:
            raise InputError(f"swin: drop_path is {drop_path}, it must be at least 0 and below 1")
        if patch not in (0, LARGE_PATCH // 2, LARGE_PATCH):
            raise InputError(f"swin: patch is {patch}, it must be 2, 4 or 0 to choose by the crop's size")
        size = height_width(input_size)
        side = patch or (LARGE_PATCH if min(size) >= 8 * LARGE_PATCH * SMALL_MAP else LARGE_PATCH // 2)
        if size[0] % side or size[1] % side:
            raise InputError(f"swin: input_size is {size[0]} x {size[1]}, each side must be a multiple of {side}")
        body = timm_body(model, img_size=size, patch_size=side, drop_path_rate=drop_path)
        map_size = halved((size[0] // side, size[1] // side), 3)
        super().__init__(
            body.patch_embed,
            (nn.Sequential(layer.downsample, *layer.blocks) for layer in body.layers),
            nn.Identity(),
            TokensLinear(body.num_features, map_size, embedding_dim, dropout),
            embedding_dim,
            size,
            checkpointing,
        )


@BACKBONES.register
def swin_t(**options) -> Swin:
    return Swin("swin_tiny_patch4_window7_224", **options)


@BACKBONES.register
def swin_s(**options) -> Swin:
    return Swin("swin_small_patch4_window7_224", **options)


@BACKBONES.register
def swin_b(**options) -> Swin:
    return Swin("swin_base_patch4_window7_224", **options)
