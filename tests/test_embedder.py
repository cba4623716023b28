"""The embedder feeds the network what the contract says, in bounded batches, the mirror image included."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from facezoo.contract import CONTRACT_KEY, onnx_digest, read_contract
from facezoo.embedder import Embedder, OnnxEmbedder, load_embedder
from facezoo.registry import EMBEDDERS
from facezoo.types import Contract, InputError

SIZE = (4, 6)
CONTRACT = Contract("toy", SIZE, mean=(1.0, 2.0, 3.0), std=(2.0, 4.0, 8.0), embedding_dim=72, flip=False)


class Pixels(Embedder):
    """Gives back the normalised pixels, and remembers the batches it saw."""

    def __init__(self, contract: Contract, batch_size: int = 3) -> None:
        super().__init__(contract, batch_size)
        self.seen: list[int] = []

    def forward(self, batch):
        self.seen.append(len(batch))
        return batch.reshape(len(batch), -1)


@pytest.fixture
def crops():
    return list(np.random.default_rng(0).integers(0, 256, (7, *SIZE, 3), dtype=np.uint8))


def test_mean_and_std_are_per_channel(crops):
    (row,) = Pixels(CONTRACT)(crops[:1])
    wanted = (crops[0].astype(float) - [1, 2, 3]) / [2, 4, 8]

    assert row.reshape(3, *SIZE) == pytest.approx(wanted.transpose(2, 0, 1), rel=1e-6)


def test_bgr_turns_the_channels_before_mean_and_std(crops):
    (row,) = Pixels(replace(CONTRACT, color="bgr"))(crops[:1])
    wanted = (crops[0][..., ::-1].astype(float) - [1, 2, 3]) / [2, 4, 8]

    assert row.reshape(3, *SIZE) == pytest.approx(wanted.transpose(2, 0, 1), rel=1e-6)


def test_flip_adds_the_embedding_of_the_mirror_image(crops):
    plain, both = Pixels(CONTRACT), Pixels(replace(CONTRACT, flip=True))
    mirrored = [crop[:, ::-1] for crop in crops]

    assert both(crops) == pytest.approx(plain(crops) + plain(mirrored), rel=1e-6)


def test_batches_are_bounded_and_order_is_kept(crops):
    embed = Pixels(CONTRACT)
    rows = embed(iter(crops))

    assert embed.seen == [3, 3, 1]
    assert rows == pytest.approx(np.concatenate([embed([crop]) for crop in crops]))


def test_no_crops_give_no_rows():
    assert Pixels(CONTRACT)([]).shape == (0, 72)


@pytest.mark.parametrize("crop", [np.zeros((6, 4, 3), np.uint8), np.zeros((*SIZE, 3), np.float32)])
def test_a_crop_of_another_kind_is_refused(crop):
    with pytest.raises(InputError, match=r"the model takes uint8 \(4, 6, 3\)"):
        Pixels(CONTRACT)([crop])


def write_onnx(path, batch="batch", contract=CONTRACT, height=SIZE[0]):
    """A network that multiplies its pixels by 2."""
    shape = [batch, 3, height, SIZE[1]]
    two = helper.make_tensor("two", TensorProto.FLOAT, [], [2.0])
    flat = helper.make_tensor("flat", TensorProto.INT64, [2], [0, -1])
    nodes = [
        helper.make_node("Mul", ["image", "two"], ["doubled"]),
        helper.make_node("Reshape", ["doubled", "flat"], ["embedding"]),
    ]
    graph = helper.make_graph(
        nodes,
        "toy",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, [batch, 72])],
        [two, flat],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, str(path))
    if contract is not None:
        stored = replace(contract, weights_sha256=onnx_digest(path))
        helper.set_model_props(model, {CONTRACT_KEY: stored.to_json()})
        onnx.save(model, str(path))
    return path


@pytest.mark.parametrize("batch", ["batch", 1, 4])
def test_onnx_files_run_with_any_batch(tmp_path, crops, batch):
    embed = load_embedder(write_onnx(tmp_path / "toy.onnx", batch))

    assert embed(crops) == pytest.approx(2 * Pixels(CONTRACT)(crops), rel=1e-6)


def test_the_flip_of_the_contract_can_be_overruled(tmp_path, crops):
    path = write_onnx(tmp_path / "toy.onnx")

    assert load_embedder(path, flip=True)(crops) == pytest.approx(2 * Pixels(replace(CONTRACT, flip=True))(crops))


def test_a_file_without_contract_needs_one(tmp_path, crops):
    path = write_onnx(tmp_path / "bare.onnx", contract=None)
    with pytest.raises(InputError, match="no facezoo contract"):
        load_embedder(path)
    (tmp_path / "bare.toml").write_text(
        'name = "toy"\ninput_size = [4, 6]\nmean = [1, 2, 3]\nstd = [2, 4, 8]\nembedding_dim = 72\nflip = false\n'
    )

    embed = load_embedder(path, contract=read_contract(tmp_path / "bare.toml"))
    assert embed(crops) == pytest.approx(2 * Pixels(CONTRACT)(crops), rel=1e-6)


def test_changed_weights_are_noticed(tmp_path):
    path = write_onnx(tmp_path / "toy.onnx")
    model = onnx.load(str(path))
    model.graph.initializer[0].CopyFrom(helper.make_tensor("two", TensorProto.FLOAT, [], [2.5]))
    onnx.save(model, str(path))
    with pytest.raises(InputError, match="not those its contract describes"):
        OnnxEmbedder(path)


def test_a_contract_of_another_input_size_is_refused(tmp_path):
    with pytest.raises(InputError, match="its contract says"):
        OnnxEmbedder(write_onnx(tmp_path / "toy.onnx", height=8))


def test_a_contract_of_another_dimension_is_refused(tmp_path, crops):
    path = write_onnx(tmp_path / "toy.onnx", contract=None)
    with pytest.raises(InputError, match="72-d embeddings, its contract says embedding_dim = 64"):
        load_embedder(path, contract=replace(CONTRACT, embedding_dim=64))(crops)


@pytest.mark.parametrize("text", ["{", "[]", '{"embedding_dim": 0}', '{"input_size": [0, 4]}'])
def test_a_damaged_contract_is_one_sentence(text):
    with pytest.raises(InputError, match=r"^contract: [^:\n]*$"):
        Contract.from_json(text)


def test_no_argument_is_left_unused(tmp_path):
    def toy(batch_size: int = 5) -> Pixels:
        return Pixels(CONTRACT, batch_size)

    EMBEDDERS.names()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(EMBEDDERS._factories, "toy", toy)

        assert load_embedder("toy", batch_size=7).batch_size == 7
        assert load_embedder("toy:batch_size=9", batch_size=7).batch_size == 9
        with pytest.raises(InputError, match="has its own contract"):
            load_embedder("toy", contract=CONTRACT)
    with pytest.raises(InputError, match="runs on the CPU"):
        load_embedder(write_onnx(tmp_path / "toy.onnx"), device="cuda")
    with pytest.raises(InputError, match="batch_size is 0"):
        load_embedder(tmp_path / "toy.onnx", batch_size=0)


@pytest.mark.parametrize("name", ["absent.onnx", "no-such-model", "absent.safetensors"])
def test_what_cannot_be_loaded_is_one_sentence(name):
    with pytest.raises(InputError):
        load_embedder(name)


def test_what_is_no_onnx_file_is_one_sentence(tmp_path):
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"nothing")
    with pytest.raises(InputError, match="not a readable ONNX model"):
        load_embedder(path)
