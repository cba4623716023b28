"""A contract is written into a copy of a model; the weights stay."""

from dataclasses import replace

import numpy as np
import pytest

from facezoo.contract import CONTRACT_KEY, write_contract
from facezoo.embedder import load_embedder
from facezoo.types import Contract, InputError


def safetensors_file(path):
    import torch

    from facezoo.checkpoint import save_model
    from facezoo.registry import BACKBONES

    torch.manual_seed(0)
    spec = "mobilefacenet:embedding_dim=16"
    save_model(path, BACKBONES.create(spec), spec, Contract(name="small", embedding_dim=16, flip=False))
    return path


def onnx_file(path):
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weight = numpy_helper.from_array(np.eye(192, 8, dtype=np.float32), "weight")
    nodes = [
        helper.make_node("AveragePool", ["crops"], ["pooled"], kernel_shape=[14, 14], strides=[14, 14]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weight"], ["embedding"]),
    ]
    ends = [
        helper.make_tensor_value_info("crops", TensorProto.FLOAT, ["batch", 3, 112, 112]),
        helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", 8]),
    ]
    graph = helper.make_graph(nodes, "mosaic", ends[:1], ends[1:], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    contract = Contract(name="mosaic", embedding_dim=8, flip=False)
    helper.set_model_props(model, {CONTRACT_KEY: contract.to_json(), "author": "somebody"})
    onnx.save(model, str(path))
    return path


@pytest.mark.parametrize(("make", "name"), [(safetensors_file, "m.safetensors"), (onnx_file, "m.onnx")])
def test_a_copy_states_the_new_contract_and_embeds_alike(tmp_path, make, name):
    model, copy = make(tmp_path / name), tmp_path / f"copy_{name}"
    before = load_embedder(model)
    crops = list(np.random.default_rng(0).integers(0, 256, (3, 112, 112, 3), np.uint8))

    write_contract(model, copy, replace(before.contract, threshold=0.41, license="CC0-1.0"))

    after = load_embedder(copy)
    assert (after.contract.threshold, after.contract.license) == (0.41, "CC0-1.0")
    assert after.contract.weights_sha256
    np.testing.assert_array_equal(after(crops), before(crops))
    assert load_embedder(model).contract == before.contract


def test_other_words_of_an_onnx_file_stay(tmp_path):
    import onnx

    write_contract(onnx_file(tmp_path / "m.onnx"), tmp_path / "c.onnx", Contract(embedding_dim=8))
    assert {entry.key for entry in onnx.load(str(tmp_path / "c.onnx")).metadata_props} == {CONTRACT_KEY, "author"}


def test_what_cannot_take_a_contract_is_refused(tmp_path):
    model = onnx_file(tmp_path / "m.onnx")
    (tmp_path / "x.safetensors").write_bytes(b"\xff" * 20)
    (tmp_path / "y.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    (tmp_path / "z.bin").write_bytes(b"")
    for source, out, words in (
        ("m.onnx", "m.onnx", "is the model itself"),
        ("m.onnx", "c.safetensors", r"ends with \.onnx"),
        ("x.safetensors", "c.safetensors", "header would have"),
        ("y.safetensors", "c.safetensors", "with a facezoo contract"),
        ("z.bin", "c.bin", "only"),
    ):
        with pytest.raises(InputError, match=words):
            write_contract(tmp_path / source, tmp_path / out, Contract())
        assert source == out or not (tmp_path / out).exists()
    assert model.is_file()
