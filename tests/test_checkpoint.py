"""A model file rebuilds its network, states its contract, and refuses what does not fit."""

from __future__ import annotations

import pytest
import safetensors.torch
import torch

from facezoo.checkpoint import BACKBONE_KEY, load_model, load_weights, read_header, save_model, state_digest
from facezoo.contract import CONTRACT_KEY
from facezoo.registry import BACKBONES
from facezoo.types import Contract, InputError

SPEC = "mobilefacenet:embedding_dim=16,width=0.25,input_size=32"


@pytest.fixture
def network():
    torch.manual_seed(0)
    return BACKBONES.create(SPEC).eval()


@pytest.fixture
def saved(network, tmp_path):
    path = tmp_path / "model.safetensors"
    save_model(path, network, SPEC, Contract("tiny", (32, 32), embedding_dim=16, threshold=0.3))
    return path


def test_a_model_file_gives_back_network_and_contract(network, saved):
    again, contract = load_model(saved)
    images = torch.randn(2, 3, 32, 32)

    assert torch.equal(again(images), network(images))
    assert (contract.name, contract.threshold, contract.input_size) == ("tiny", 0.3, (32, 32))
    assert read_header(saved)[0] == SPEC


def test_a_model_is_written_with_the_same_bytes_every_time(network, tmp_path):
    contract = Contract(name="Zoë", embedding_dim=16)
    files = [tmp_path / f"{k}.safetensors" for k in range(12)]
    for file in files:
        save_model(file, network, "mobilefacenet", contract)

    assert len({file.read_bytes() for file in files}) == 1
    assert read_header(files[0])[1].name == "Zoë"


def test_a_run_folder_stands_for_its_best_model(network, saved):
    best = saved.rename(saved.with_name("best.safetensors"))

    assert load_model(best.parent)[1] == load_model(best)[1]
    with pytest.raises(InputError, match=r"best\.safetensors: no such file"):
        load_model(best.parent / "..")


def test_weights_that_the_contract_does_not_describe_are_refused(saved):
    with safetensors.safe_open(saved, framework="pt") as file:
        header = file.metadata()
    tensors = safetensors.torch.load_file(saved)
    tensors["stem.conv.weight"] = tensors["stem.conv.weight"] + 1e-3
    safetensors.torch.save_file(tensors, saved, metadata=header)
    with pytest.raises(InputError, match="not those its contract describes"):
        load_model(saved)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({}, "names no backbone"),
        ({BACKBONE_KEY: "resnet9000", CONTRACT_KEY: Contract().to_json()}, "unknown backbone"),
        ({BACKBONE_KEY: SPEC.replace("16", "8"), CONTRACT_KEY: Contract().to_json()}, "the network has"),
        ({BACKBONE_KEY: SPEC, CONTRACT_KEY: '{"colour": "rgb"}'}, "unknown key"),
        ({BACKBONE_KEY: SPEC, CONTRACT_KEY: "[]"}, "not a JSON object"),
    ],
)
def test_a_header_that_does_not_fit_is_one_sentence(saved, header, message):
    tensors = safetensors.torch.load_file(saved)
    safetensors.torch.save_file(tensors, saved, metadata=header)
    with pytest.raises(InputError, match=message):
        load_model(saved)


def test_what_is_no_model_file_is_one_sentence(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"not a model")
    with pytest.raises(InputError, match="not a readable safetensors file"):
        load_model(path)
    with pytest.raises(InputError, match="no such file"):
        load_model(tmp_path / "absent.safetensors")


def test_missing_and_foreign_tensors_are_named(network):
    tensors = dict(network.state_dict())
    tensors["stranger"] = torch.zeros(1)
    with pytest.raises(InputError, match="not of this network, the first is 'stranger'"):
        load_weights(network, tensors, "file")
    del tensors["stranger"], tensors["stem.conv.weight"]
    with pytest.raises(InputError, match=r"missing, the first is 'stem\.conv\.weight'"):
        load_weights(network, tensors, "file")


def test_the_digest_sees_every_bit_also_of_bfloat16():
    tensors = {"a": torch.ones(3, dtype=torch.bfloat16), "b": torch.zeros(2)}
    other = {**tensors, "a": torch.tensor([1, 1, 1.0078125], dtype=torch.bfloat16)}

    assert state_digest(tensors) == state_digest(dict(reversed(tensors.items())))
    assert state_digest(tensors) != state_digest(other)
    assert state_digest(tensors) != state_digest({"a": tensors["a"], "c": tensors["b"]})


def test_a_network_that_gets_its_own_weights_downloads_none(tmp_path, monkeypatch):
    asked = []

    def toy(embedding_dim: int = 4, pretrained: bool = False) -> torch.nn.Module:
        asked.append((embedding_dim, pretrained))
        return torch.nn.Linear(2, embedding_dim)

    BACKBONES.names()
    monkeypatch.setitem(BACKBONES._factories, "toy", toy)
    path = tmp_path / "toy.safetensors"
    save_model(path, torch.nn.Linear(2, 8), "toy:pretrained=true,embedding_dim=8", Contract(embedding_dim=8))
    load_model(path)

    assert asked == [(8, False)]
