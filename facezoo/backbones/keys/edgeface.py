"""The tensor names of EdgeFace files."""

from __future__ import annotations

from torch import nn

from facezoo.backbones.edgeface import LowRankLinear
from facezoo.backbones.keys.layout import Layout, register


def _rename(network: nn.Module, key: str) -> str:
    """The two halves of a low-rank map are linear1 and linear2."""
    part, _, tensor = key.rpartition(".")
    outer, _, half = part.rpartition(".")
    if outer and isinstance(network.get_submodule(outer), LowRankLinear):
        key = f"{outer}.linear{int(half) + 1}.{tensor}"
    return key.replace("body.", "model.", 1)


register(Layout("edgeface", ("EdgeFace",), _rename, ("edgeface_*",)))
