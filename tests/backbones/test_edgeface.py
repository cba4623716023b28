"""EdgeFace: linear maps of low rank."""

import pytest
import torch
from torch import nn

from facezoo.backbones.edgeface import LowRankLinear
from facezoo.backbones.keys import reference_keys
from facezoo.registry import BACKBONES


@pytest.mark.parametrize("gamma", [0.25, 0.6])
def test_gamma_is_the_share_of_the_smaller_width_that_is_left(gamma):
    with torch.device("meta"):
        network = BACKBONES.create(f"edgeface_xs:gamma={gamma}")
    maps = [module for module in network.modules() if isinstance(module, LowRankLinear)]
    assert maps
    for narrow, wide in maps:
        assert narrow.out_features == wide.in_features
        assert narrow.out_features == max(2, int(min(narrow.in_features, wide.out_features) * gamma))
        assert narrow.bias is None


def test_at_gamma_one_maps_are_whole():
    with torch.device("meta"):
        network = BACKBONES.create("edgeface_xs:gamma=1")
    assert not any(isinstance(module, LowRankLinear) for module in network.modules())
    assert any(isinstance(module, nn.Linear) for module in network.modules())


def test_its_files_number_both_halves_of_a_map():
    with torch.device("meta"):
        keys = reference_keys(BACKBONES.create("edgeface_xs"), "edgeface")
        whole = reference_keys(BACKBONES.create("edgeface_xxs"), "edgeface")
    assert keys["body.head.fc.0.weight"] == "model.head.fc.linear1.weight"
    assert keys["body.head.fc.1.bias"] == "model.head.fc.linear2.bias"
    assert keys["body.stem.0.weight"] == "model.stem.0.weight"
    assert whole["body.head.fc.bias"] == "model.head.fc.bias"
