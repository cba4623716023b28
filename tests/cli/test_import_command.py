"""The commands import, list backbones and info."""

import json

import pytest
import torch

from facezoo.backbones.keys import reference_keys
from facezoo.registry import BACKBONES

SPEC = "mobilefacenet:width=0.25,embedding_dim=32,input_size=64"


@pytest.fixture
def checkpoint(tmp_path):
    torch.manual_seed(0)
    network = BACKBONES.create(SPEC)
    names = reference_keys(network, "mobilefacenet")
    state = {f"backbone.{names[key]}": tensor for key, tensor in network.state_dict().items()}
    path = tmp_path / "Epoch_17.pt"
    torch.save({"state_dict": state | {"head.weight": torch.zeros(32, 99)}, "epoch": 17, "batch_id": 3}, path)
    return path


def test_an_imported_checkpoint_is_a_model(run, checkpoint, tmp_path):
    code, out, err = run("import", checkpoint, tmp_path / "model.safetensors")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        f"{checkpoint}: {SPEC} of FaceX-Zoo; 333 tensors; under 'state_dict.backbone.'; left out: head (1) of 99 "
        "classes",
        f"{tmp_path / 'model.safetensors'}: 32-d, BGR 64 x 64 crops, mean 127.5, std 128, template arcface",
    ]
    code, out, err = run("info", tmp_path / "model.safetensors", "--threads", 1)
    assert (code, err) == (0, "")
    rows = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert rows["network"] == SPEC and rows["color"] == "bgr" and "batch of 32" in out and "1 thread," in out
    code, out, _ = run("info", tmp_path / "model.safetensors", "--json")
    assert json.loads(out)["contract"]["std"] == [128.0] * 3


def test_what_the_user_says_of_the_input_is_kept(run, checkpoint, tmp_path):
    options = ("--color", "rgb", "--mean", 104, 117, 123, "--std", 1, "--name", "mine", "--json")
    code, out, err = run("import", checkpoint, tmp_path / "model.safetensors", *options)
    assert (code, err) == (0, "")
    contract = json.loads(out)["contract"]
    assert (contract["color"], contract["mean"], contract["std"]) == ("rgb", [104, 117, 123], [1, 1, 1])
    assert contract["name"] == "mine"


def test_a_wrong_backbone_ends_with_2_and_one_sentence(run, checkpoint, tmp_path):
    code, out, err = run("import", checkpoint, tmp_path / "model.safetensors", "--as", "mbf")
    assert (code, out) == (2, "") and err.count("\n") == 1
    assert err.startswith(f"facezoo: {checkpoint}: not mbf: ")
    assert err.endswith(f"the tensors are those of {SPEC}: leave --as out\n")
    assert not (tmp_path / "model.safetensors").exists()


def test_a_file_of_something_else_ends_with_2(run, tmp_path):
    (tmp_path / "a.pt").write_bytes(b"hello")
    code, _, err = run("import", tmp_path / "a.pt", tmp_path / "b.safetensors")
    assert code == 2 and "read are files of torch.save" in err
    code, _, err = run("info", tmp_path / "a.pt")
    assert code == 2 and "a model is a .safetensors or .onnx file" in err


def test_backbones_are_listed_with_their_cost(run):
    code, out, _ = run("list", "backbones")
    lines = out.splitlines()
    assert code == 0
    assert "mobilefacenet  https://arxiv.org/abs/1804.07573" in lines
    (line,) = (line for line in lines if line.split()[0] == "mobilefacenet" and "MACs" in line)
    assert " ".join(line.split()) == ("mobilefacenet 1.20 M 221 M MACs 112x112 imports FaceX-Zoo, face.evoLVe, TFace")
    code, out, _ = run("list", "backbones", "--json")
    rows = {row["name"]: row for row in json.loads(out)}
    assert set(rows) == set(BACKBONES.names())
    assert (rows["mobilefacenet"]["parameters"], rows["mobilefacenet"]["macs"]) == (1_200_512, 221_161_984)
    assert rows["timm"]["macs"] is None
