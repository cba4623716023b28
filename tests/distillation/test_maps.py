"""Only the maps that are compared are collected."""

from __future__ import annotations

import torch

from facezoo.distillation.maps import Maps
from facezoo.registry import BACKBONES


def test_maps_that_nobody_wants_are_not_collected():
    network = BACKBONES.create("mobilefacenet:width=0.25,input_size=32").eval()
    images = torch.randn(2, 3, 32, 32)
    maps = Maps(network)
    embeddings, every = maps(images)
    coarsest = max(maps.shapes)

    maps.want([coarsest])
    again, kept = maps(images)

    assert len(every) > 1 and list(kept) == [coarsest]
    assert torch.equal(kept[coarsest], every[coarsest]) and torch.equal(again, embeddings)
