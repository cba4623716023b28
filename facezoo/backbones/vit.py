"""Vision transformers in the forms of insightface's arcface_torch and of CVLface; https://arxiv.org/abs/2010.11929."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facezoo.backbones.layers import Size, check_options, height_width, through
from facezoo.registry import BACKBONES
from facezoo.types import InputError


class DropPath(nn.Module):
    """In training leaves a branch out for a share of the crops; https://arxiv.org/abs/1603.09382."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.share == 0:
            return x
        kept = torch.rand(x.shape[0], *(1,) * (x.dim() - 1), device=x.device) >= self.share
        return x * kept / (1 - self.share)


class Attention(nn.Module):
    """Every token (B, N, C) gathers from all; queries, keys and values have no bias."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = self.qkv(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        return self.proj(F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Attention and two linear maps with ReLU6 between, each after a LayerNorm and added to its input."""

    def __init__(self, width: int, heads: int, expansion: int, drop_path: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.widen = nn.Linear(width, expansion * width)
        self.narrow = nn.Linear(expansion * width, width)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.drop_path(self.attention(self.norm1(x)))
        return x + self.drop_path(self.narrow(F.relu6(self.widen(self.norm2(x)))))


class ViT(nn.Module):
    """RGB crops (B, 3, H, W) in [-1, 1] to embeddings (B, embedding_dim), not normalised.

    Patches become tokens without a class token; all tokens side by side go through two linear maps. Rows and columns
    that do not fill a patch are not seen: the last 4 of 112 pixels at a patch of 9.

    The numbers before the options are the patch's side, the tokens' width, the blocks, the heads and the factor by
    which a block widens tokens.

    Args:
        embedding_dim: D.
        input_size: pixels of a crop's sides, or (height, width).
        drop_path: share of the crops for which the last block's branches are left out in training; earlier blocks
            have less, the first 0. Published recipes take 0.05 or 0.1.
        mask_ratio: share of the tokens that is left out in training; a learned token stands in after the last block.
            Published recipes take 0, 0.05 or 0.1.
        checkpointing: keep less for the backward pass, see `facezoo.backbones.layers.through`.
    """

    def __init__(
        self,
        patch: int,
        width: int,
        depth: int,
        heads: int,
        expansion: int,
        /,
        embedding_dim: int = 512,
        input_size: Size = 112,
        drop_path: float = 0.0,
        mask_ratio: float = 0.0,
        checkpointing: bool = False,
    ) -> None:
        super().__init__()
        check_options("vit", embedding_dim)
        for name, share in (("drop_path", drop_path), ("mask_ratio", mask_ratio)):
            if not 0 <= share < 1:
                raise InputError(f"vit: {name} is {share}, it must be at least 0 and below 1")
        self.embedding_dim, self.input_size = embedding_dim, height_width(input_size)
        self.checkpointing = checkpointing
        tokens = (self.input_size[0] // patch) * (self.input_size[1] // patch)
        self.kept = int(tokens * (1 - mask_ratio))
        if self.kept == 0:
            raise InputError(f"vit: mask_ratio is {mask_ratio}, it leaves none of {tokens} tokens")
        self.patches = nn.Conv2d(3, width, patch, patch)
        self.position = nn.Parameter(torch.empty(1, tokens, width))
        self.mask = nn.Parameter(torch.empty(1, 1, width)) if mask_ratio > 0 else None
        shares = (drop_path * block / (depth - 1) for block in range(depth))
        self.blocks = nn.Sequential(*(Block(width, heads, expansion, share) for share in shares))
        self.norm = nn.LayerNorm(width)
        self.output = nn.Sequential(
            nn.Linear(tokens * width, width, bias=False),
            nn.BatchNorm1d(width, eps=2e-5),
            nn.Linear(width, embedding_dim, bias=False),
            nn.BatchNorm1d(embedding_dim, eps=2e-5),
        )
        self._initialise()

    def _initialise(self) -> None:
        nn.init.trunc_normal_(self.position, std=0.02)
        if self.mask is not None:
            nn.init.normal_(self.mask, std=0.02)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2) + self.position
        if self.mask is None or not self.training:
            x = self.norm(through(self.blocks, x, self.checkpointing))
        else:
            order = torch.rand(x.shape[:2], device=x.device).argsort(dim=1)
            place = order[:, : self.kept, None].expand(-1, -1, x.shape[2])
            seen = self.norm(through(self.blocks, x.gather(1, place), self.checkpointing))
            x = self.mask.to(seen.dtype).expand_as(x).scatter(1, place, seen)
        return self.output(x.flatten(1))


@BACKBONES.register
def vit_t(**options) -> ViT:
    return ViT(9, 256, 12, 8, 4, **options)


@BACKBONES.register
def vit_s(**options) -> ViT:
    return ViT(9, 512, 12, 8, 4, **options)


@BACKBONES.register
def vit_b(*, checkpointing: bool = True, **options) -> ViT:
    return ViT(9, 512, 24, 8, 4, checkpointing=checkpointing, **options)


@BACKBONES.register
def vit_l(*, checkpointing: bool = True, **options) -> ViT:
    return ViT(9, 768, 24, 8, 4, checkpointing=checkpointing, **options)


@BACKBONES.register
def vit_h(*, checkpointing: bool = True, **options) -> ViT:
    return ViT(9, 1024, 48, 8, 4, checkpointing=checkpointing, **options)


@BACKBONES.register
def vit_s_cvlface(**options) -> ViT:
    """CVLface's small one: patches of 8 pixels, wider blocks."""
    return ViT(8, 512, 12, 8, 5, **options)


@BACKBONES.register
def vit_b_cvlface(**options) -> ViT:
    """CVLface's base one: patches of 8 pixels, 16 heads, narrower blocks."""
    return ViT(8, 512, 24, 16, 3, **options)
