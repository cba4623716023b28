"""Multiply-adds are those of the published tables, memory is what lives at once."""

import json
from dataclasses import asdict

import pytest
import torch
from torch import nn

from facezoo.checkpoint import save_model
from facezoo.export.onnx import _write
from facezoo.measure import measure_model
from facezoo.measure.backbones import COUNTS, backbone_rows, count_backbone, counted
from facezoo.measure.counts import count, peak_bytes
from facezoo.measure.onnx_graph import OnnxGraph
from facezoo.registry import BACKBONES
from facezoo.types import Contract, InputError

MACS = {
    "mobilefacenet": 221_161_984,
    "mbf": 437_520_896,
    "ir50": 6_296_485_888,
    "ir_se50": 6_296_708_608,
    "ir18:input_size=224": 10_388_439_040,
    "iresnet18": 2_609_954_816,
    "ghostnet": 162_726_192,
    "efficientnet_b0": 416_647_392,
    "tf_nas_a": 487_508_495,
    "lightcnn29v2": 2_831_130_624,
    "repvgg_a0": 1_543_413_760,
    "repvgg_a0:fused=true": 1_392_283_648,
    "fbnet_a": 212_447_928,
    "vit_t": 1_504_882_688,
    "swin_t:input_size=224": 4_509_066_240,
    "pfld_mobilenetv3": 192_429_824,
    "retinaface_mnet025": 981_145_600,
}


@pytest.mark.parametrize("spec", MACS)
def test_multiply_adds_are_as_many_as_published(spec):
    assert count_backbone(spec)[1] == MACS[spec]


def test_every_backbone_has_its_stored_counts():
    rows = {row.name for row in backbone_rows() if row.parameters is not None}
    assert set(json.loads(COUNTS.read_text())) == rows == set(BACKBONES.names()) - {"timm"}


@pytest.mark.parametrize("name", ["mobilefacenet", "mbf", "fbnet_a", "ghostnet", "edgeface_xs", "lightcnn9"])
def test_stored_counts_are_the_networks(name):
    assert counted(name) == count_backbone(name)


@pytest.mark.slow
def test_all_stored_counts_are_the_networks():
    assert all(counted(name) == count_backbone(name) for name in BACKBONES.names() if name != "timm")


def test_a_row_tells_family_paper_and_whose_checkpoints_fit():
    (row,) = (row for row in backbone_rows() if row.name == "iresnet50")
    assert (row.family, row.input_size, row.imports) == ("iresnet", (112, 112), ("insightface", "MagFace"))
    assert row.paper == "https://arxiv.org/abs/1801.07698" and row.options["embedding_dim"] == "512"


def test_memory_at_most_is_the_largest_sum_of_living_maps():
    with torch.device("meta"):
        network = nn.Sequential(nn.Conv2d(3, 8, 1, bias=False), nn.ReLU(inplace=True), nn.Conv2d(8, 1, 1, bias=False))
    pixels = 16 * 16 * 4
    assert peak_bytes(network, (16, 16), 2) == (3 * 8 + 8) * 4 + 2 * pixels * (3 + 8 + 1)
    assert count(network, (16, 16)).macs == 16 * 16 * (3 * 8 + 8)
    assert network.training


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    spec = "mobilefacenet:width=0.25,embedding_dim=32,input_size=64"
    contract = Contract(name="small", input_size=(64, 64), embedding_dim=32)
    network = BACKBONES.create(spec).eval()
    save_model(folder / "small.safetensors", network, spec, contract)
    _write(network, contract, folder / "small.onnx")
    return folder, spec


@pytest.mark.parametrize("name", ["small.safetensors", "small.onnx"])
def test_a_models_costs_are_measured(files, name):
    folder, spec = files
    found = measure_model(folder / name, threads=1)
    assert found.macs == count_backbone(spec)[1]
    assert found.contract.name == "small" and found.threads == 1
    assert set(found.milliseconds) == set(found.peak_bytes) == {1, 32}
    assert found.peak_bytes[32] > found.peak_bytes[1] > found.weight_bytes > 4 * found.parameters * 0.99
    assert json.dumps(found.to_dict()) and asdict(found.contract)


def test_the_parameters_of_a_folded_graph_are_fewer(files):
    graph = OnnxGraph(files[0] / "small.onnx", (64, 64), 1)
    assert 0.9 * count_backbone(files[1])[0] < graph.parameters < count_backbone(files[1])[0]


@pytest.mark.parametrize(
    ("name", "says"), [("a.pt", "is a .safetensors or .onnx file"), ("a.onnx", "no such file"), ("", "no such file")]
)
def test_what_is_no_model_is_refused(tmp_path, name, says):
    with pytest.raises(InputError, match=says):
        measure_model(tmp_path / name)
