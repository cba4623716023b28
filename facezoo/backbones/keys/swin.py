"""The tensor names of Swin transformers' files."""

from __future__ import annotations

import re

from torch import nn

from facezoo.backbones.keys.layout import Layout, Rules, register, renamed

_RULES: Rules = [
    (r"^stem\.", "patch_embed."),
    (r"^output\.tokens\.", "output_layer.0."),
    (r"^output\.linear\.", "output_layer.2."),
    (r"^output\.norm\.", "output_layer.3."),
]

_DEAD = r"^layers\.\d\.blocks\.\d+\.(attn_mask|attn\.relative_position_index)$"
"""Masks and indices that follow from the window's size; the network computes its own."""


def _rename(network: nn.Module, key: str) -> str:
    """A merging of patches ends the stage before in files, and begins its stage here."""
    found = re.match(r"^stages\.(\d)\.(\d+)\.", key)
    if found is None:
        return renamed(key, _RULES)
    stage, place = int(found[1]), int(found[2])
    rest = key[found.end() :]
    return f"layers.{stage - 1}.downsample.{rest}" if place == 0 else f"layers.{stage}.blocks.{place - 1}.{rest}"


register(Layout("swin", ("FaceX-Zoo",), _rename, ("swin_*",), _DEAD))
