"""RepVGG's form for inference: one convolution a block, the same embeddings."""

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from facezoo.backbones.keys import reference_keys
from facezoo.backbones.repvgg import Block
from facezoo.checkpoint import save_model
from facezoo.export import export_onnx
from facezoo.image import write_image
from facezoo.registry import BACKBONES
from facezoo.types import Contract

SPEC = "repvgg_a0:input_size=48,embedding_dim=16"


def trained(network):
    """The network in evaluation mode, as if its BatchNorms had seen something."""
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
    return network.eval()


def test_the_fused_form_embeds_as_the_training_form():
    network, crops = trained(BACKBONES.create(SPEC)), torch.rand(3, 3, 48, 48) * 2 - 1
    with torch.inference_mode():
        wanted, fused = network(crops), network.fused()(crops)
        exact = network.double().fused()(crops.double()) - network(crops.double())
    assert (fused - wanted).abs().max() <= 1e-4 * wanted.abs().max()
    assert exact.abs().max() <= 1e-10 * wanted.abs().max()


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize(("outputs", "stride"), [(8, 1), (8, 2), (16, 1)])
def test_a_block_fuses_whatever_its_branches(outputs, stride, groups):
    block, maps = trained(Block(8, outputs, stride, groups)).double(), torch.randn(2, 8, 9, 7).double()
    torch.testing.assert_close(block.fused()(maps), block(maps))


def test_fusing_leaves_the_network_as_it_is():
    network = trained(BACKBONES.create(SPEC)).train()
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    fused = network.fused()
    assert network.training and not fused.training
    assert all(torch.equal(before[key], tensor) for key, tensor in network.state_dict().items())


def test_fused_weights_load_into_a_network_built_fused():
    network, crops = trained(BACKBONES.create(SPEC)), torch.rand(2, 3, 48, 48)
    built = BACKBONES.create(SPEC, fused=True).eval()
    built.load_state_dict(network.fused().state_dict())
    torch.testing.assert_close(built(crops), network.fused()(crops), rtol=1e-4, atol=1e-5)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in built.stages.modules())


def test_an_exported_file_holds_one_convolution_a_block(tmp_path):
    contract = Contract(input_size=(48, 48), embedding_dim=16)
    save_model(tmp_path / "model.safetensors", trained(BACKBONES.create(SPEC)), SPEC, contract)
    for number in range(3):
        crop = np.random.default_rng(number).integers(0, 256, (48, 48, 3), dtype=np.uint8)
        write_image(tmp_path / "crops" / f"{number}.png", crop)
    parity = export_onnx(tmp_path / "model.safetensors", tmp_path / "model.onnx", tmp_path / "crops")
    nodes = onnx.load(str(tmp_path / "model.onnx")).graph.node
    assert sum(node.op_type == "Conv" for node in nodes) == 1 + 2 + 4 + 14 + 1
    assert parity.difference <= 1e-4


@pytest.mark.golden
def test_fused_embeddings_are_the_originals(golden, golden_root, golden_fill):
    facts = golden_fill.load_spec(golden_root / "backbones" / "facexzoo__repvgg_a0.json.gz")
    deployed = golden_fill.load_spec(golden_root / "backbones" / "facexzoo__repvgg_a0_deploy.json.gz")
    _, wanted, _ = golden.load("backbones/facexzoo__repvgg_a0_deploy.npz")
    with torch.device("meta"):
        network = BACKBONES.create("repvgg_a0").eval()
    arrays = golden_fill.fill(facts["keys"], facts["salt"], facts["gain"])
    keys = reference_keys(network, "repvgg")
    network.load_state_dict({own: torch.from_numpy(np.asarray(arrays[key])) for own, key in keys.items()}, assign=True)

    fused = network.fused()
    theirs = reference_keys(fused, "repvgg")
    shapes = {theirs[key]: list(tensor.shape) for key, tensor in fused.state_dict().items()}
    with torch.inference_mode():
        got = fused(torch.from_numpy(golden.image_input("112")).float()).numpy()

    assert shapes == {key: shape for key, shape, _ in deployed["keys"]}
    assert np.abs(got - wanted["embedding"]).max() <= 1e-4 * np.abs(wanted["embedding"]).max()
