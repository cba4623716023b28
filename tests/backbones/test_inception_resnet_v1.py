"""Inception-ResNet-v1, whose convolutions without padding need larger crops than other networks."""

import pytest
import torch

from facezoo.backbones.keys import LAYOUTS, reference_keys
from facezoo.checkpoint import load_model, save_model
from facezoo.registry import BACKBONES
from facezoo.types import Contract


def test_crops_are_160_pixels_unless_told_otherwise():
    with torch.device("meta"):
        assert BACKBONES.create("inceptionresnetv1").input_size == (160, 160)


@pytest.mark.parametrize(("size", "last"), [((75, 75), (1, 1)), ((112, 96), (2, 1)), ((160, 160), (3, 3))])
def test_the_last_map_is_as_large_as_the_paper_computes(size, last):
    with torch.device("meta"):
        network = BACKBONES.create("inceptionresnetv1", input_size=size)
        shapes = []
        network.reduction_b.register_forward_hook(lambda _, inputs, output: shapes.append(output.shape))
        network(torch.empty(2, 3, *size))
    assert shapes == [(2, 1792, *last)]


def test_every_parameter_gets_a_finite_gradient():
    torch.manual_seed(0)
    network = BACKBONES.create("inceptionresnetv1:input_size=80,embedding_dim=32,checkpointing=true")
    (network(torch.rand(4, 3, 80, 80) * 2 - 1) * torch.randn(4, 32)).sum().backward()
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all() and parameter.grad.any(), key


def test_the_last_block_has_no_relu():
    network = BACKBONES.create("inceptionresnetv1:input_size=80,embedding_dim=8").eval()
    last = network.blocks_c[-1]
    assert (last(-torch.ones(1, 1792, 1, 1)) < 0).any()
    assert (network.blocks_c[0](-torch.ones(1, 1792, 1, 1)) >= 0).all()


def test_a_model_file_rebuilds_the_network(tmp_path):
    spec = "inceptionresnetv1:input_size=80,embedding_dim=8"
    network = BACKBONES.create(spec).eval()
    save_model(tmp_path / "model.safetensors", network, spec, Contract(input_size=(80, 80), embedding_dim=8))
    crops = torch.rand(1, 3, 80, 80)
    assert torch.equal(load_model(tmp_path / "model.safetensors")[0](crops), network(crops))


def test_its_files_name_tensors_as_facenet_pytorch_does():
    with torch.device("meta"):
        keys = reference_keys(BACKBONES.create("inceptionresnetv1"), "inceptionresnetv1")
    assert keys["stem.4.conv.weight"] == "conv2d_3b.conv.weight"
    assert keys["blocks_a.2.branches.2.1.bn.weight"] == "repeat_1.2.branch2.1.bn.weight"
    assert keys["blocks_b.9.conv.bias"] == "repeat_2.9.conv2d.bias"
    assert keys["reduction_b.branches.0.1.conv.weight"] == "mixed_7a.branch0.1.conv.weight"
    assert keys["blocks_c.5.conv.bias"] == "block8.conv2d.bias"
    assert keys["norm.running_var"] == "last_bn.running_var"
    assert len(set(keys.values())) == len(keys)
    assert LAYOUTS["inceptionresnetv1"].dead == r"^logits\."
