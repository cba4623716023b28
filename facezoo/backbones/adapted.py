"""What families share whose blocks timm keeps; https://github.com/huggingface/pytorch-image-models."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, TypeAlias

from torch import Tensor, nn

from facezoo.backbones.layers import Size, height_width, through

SMALL_MAP = 7
"""Below this side of the last map a stem is opened: published face networks end with 7 x 7."""

Stem: TypeAlias = Literal["auto", "keep", "halve"]
"""`keep` the paper's first stride, `halve` it, or `auto`: halve it where the last map would be under 7 x 7."""


class Adapted(nn.Module):
    """RGB crops (B, 3, H, W) in [-1, 1] to embeddings (B, embedding_dim), not normalised.

    A stem, stages of blocks and a head make the last map, an output makes the embedding of it. A family takes from
    timm's network what the map passes through; classifiers stay behind, so that every parameter gets a gradient.
    """

    def __init__(
        self,
        stem: nn.Module,
        stages: Iterable[nn.Module],
        head: nn.Module,
        output: nn.Module,
        embedding_dim: int,
        input_size: Size,
        checkpointing: bool = False,
    ) -> None:
        super().__init__()
        self.embedding_dim, self.input_size = embedding_dim, height_width(input_size)
        self.checkpointing = checkpointing
        self.stem = stem
        self.stages = nn.ModuleList(stages)
        self.head = head
        self.output = output

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for stage in self.stages:
            x = through(stage, x, self.checkpointing)
        return self.output(self.head(x))


def timm_body(name: str, **options: Any) -> Any:
    """timm's network of that name, without its classifier and without weights."""
    import timm

    return timm.create_model(name, pretrained=False, num_classes=0, **options)


def open_stem(first: nn.Conv2d, stem: Stem, input_size: Size, halvings: int = 5) -> int:
    """Take the stride from a network's first convolution if `stem` says so.

    Args:
        halvings: how often the network halves the map as its paper has it.

    Returns:
        How often it halves the map now.
    """
    small = min(height_width(input_size)) / 2**halvings < SMALL_MAP
    if stem == "keep" or (stem == "auto" and not small):
        return halvings
    first.stride = (1, 1)
    return halvings - 1
