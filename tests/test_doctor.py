"""The doctor names what is wrong: with planted faults, and with the contracts of real networks broken one by one."""

from dataclasses import replace

import numpy as np
import pytest

from facezoo.cli.doctor import unchanged
from facezoo.doctor import IMAGENET_MEAN, IMAGENET_STD, Variant, diagnose, examine, noise
from facezoo.embedder import Embedder, OnnxEmbedder, load_embedder
from facezoo.evaluation import Photo, Verification
from facezoo.registry import BENCHMARKS
from facezoo.types import Contract, InputError

CONTRACT = Contract(name="planted", embedding_dim=128, flip=False)


class Planted(Embedder):
    """Sees people in green and blue, between -1 and 1; red tells it nothing but noise."""

    def forward(self, batch):
        blocks = batch[:, :, : 8 * (batch.shape[2] // 8), : 8 * (batch.shape[3] // 8)]
        blocks = blocks.reshape(len(batch), 3, 8, batch.shape[2] // 8, 8, batch.shape[3] // 8).mean(axis=(3, 5))
        return np.tanh(2 * blocks[:, 1:]).reshape(len(batch), 128)


def portraits(people=20):
    """Two photos of each: green and blue are the person, red is of the moment."""
    generator = np.random.default_rng(0)
    photos, identity = [], np.repeat(np.arange(people), 2)
    for face in generator.integers(20, 236, (people, 8, 8, 3)):
        for k in range(2):
            blocks = face + generator.normal(0, 30, face.shape)
            blocks[..., 0] = generator.integers(0, 256, (8, 8))
            image = np.clip(np.kron(blocks, np.ones((14, 14, 1))), 0, 255).astype(np.uint8)
            photos.append(Photo(f"{len(photos) // 2}/{k}", image))
    left = np.concatenate([np.arange(0, 2 * people, 2)] * 2)
    right = np.concatenate([np.arange(1, 2 * people, 2), (np.arange(0, 2 * people, 2) + 2) % (2 * people)])
    return Verification("toy", photos, left, right, identity[left] == identity[right], 2, "arcface", identity)


def test_a_right_contract_is_left_alone():
    found = diagnose(Planted(CONTRACT), portraits())
    assert (found.changes, found.faults, len(found.rounds)) == ({}, 0, 1)
    assert found.contract == CONTRACT


BREAKS = {
    "color": {"color": "bgr"},
    "0..255": {"mean": (0.0,) * 3, "std": (1.0,) * 3},
    "[0, 1]": {"mean": (0.0,) * 3, "std": (255.0,) * 3},
    "both": {"color": "bgr", "mean": (0.0,) * 3, "std": (1.0,) * 3},
}


@pytest.mark.parametrize("broken", BREAKS)
def test_what_was_broken_is_named_and_nothing_else(broken):
    found = diagnose(Planted(replace(CONTRACT, **BREAKS[broken])), portraits())

    assert found.changes.keys() == BREAKS[broken].keys()
    for name in set(found.changes) - {"std"}:
        assert getattr(found.contract, name) == getattr(CONTRACT, name)
    assert found.contract.std[0] == pytest.approx(127.5, abs=0.5)
    assert len(found.rounds) == 1 + (2 if broken == "both" else 1)
    assert found.rounds[-1][0].separation > found.rounds[0][0].separation


def test_pairs_of_unknown_people_will_do():
    found = diagnose(Planted(replace(CONTRACT, color="bgr")), replace(portraits(), identity=None))
    assert list(found.changes) == ["color"]
    assert found.pairs == 40


class Mirrored(Planted):
    """Its outputs are noise where the crop is the mirror image of one it knows: adding them does harm."""

    def forward(self, batch):
        seen = super().forward(batch)
        turned = batch[:, 1, :, : batch.shape[3] // 2].mean() < batch[:, 1, :, batch.shape[3] // 2 :].mean()
        return seen + (5 * np.random.default_rng(len(batch)).normal(size=seen.shape) if turned else 0)


def test_a_mirror_image_that_does_harm_is_named():
    benchmark = portraits()
    lit = [np.clip(photo.source * np.linspace(1.2, 0.8, 112)[:, None], 0, 255) for photo in benchmark.photos]
    photos = [replace(photo, source=image.astype(np.uint8)) for photo, image in zip(benchmark.photos, lit)]
    found = diagnose(Mirrored(replace(CONTRACT, flip=True), 64), replace(benchmark, photos=photos))
    assert found.changes == {"flip": (True, False)}


class Broken(Planted):
    kind = ""

    def forward(self, batch):
        seen = super().forward(batch)
        if self.kind == "constant":
            return np.ones_like(seen)
        if self.kind == "nan":
            return np.where(np.arange(128) == 5, np.nan, seen)
        if self.kind == "dead":
            seen[:, :40] = 0.5
        if self.kind == "random":
            return seen * np.random.default_rng().uniform(0.5, 1.5, seen.shape)
        if self.kind == "batch":
            return seen - seen.mean(axis=0)
        if self.kind == "unit":
            return seen / np.linalg.norm(seen, axis=1, keepdims=True)
        return seen


@pytest.mark.parametrize(
    ("kind", "check", "words"),
    [
        ("constant", "embeddings", "constant"),
        ("nan", "embeddings", "not finite"),
        ("dead", "embeddings", "40 of 128 dimensions"),
        ("random", "repeated", "random layers"),
        ("batch", "alone", "not in evaluation mode"),
    ],
)
def test_a_network_that_is_not_well_is_named(kind, check, words):
    embed = Broken(CONTRACT)
    embed.kind = kind
    faults = [finding for finding in examine(embed, noise((112, 112), 0)) if finding.fault]
    assert check in [finding.check for finding in faults]
    assert words in next(finding.words for finding in faults if finding.check == check)
    diagnose(embed, portraits())  # comes to an end


def test_normalised_outputs_are_told_but_no_fault():
    embed = Broken(CONTRACT)
    embed.kind = "unit"
    found = diagnose(embed)
    assert found.faults == 0
    assert "norms say nothing about quality" in next(f.words for f in found.findings if f.check == "norms")
    assert (found.rounds, found.pairs) == ((), 0)


class Fixed(Planted):
    """Runs on one size only, as a network with a flattened map does."""

    def forward(self, batch):
        if batch.shape[2:] != (112, 96):
            raise RuntimeError("mat1 and mat2 shapes cannot be multiplied\nand more")
        return super().forward(batch)


def test_a_size_that_the_network_does_not_take_is_named():
    found = diagnose(Fixed(CONTRACT), portraits())
    assert found.contract.input_size == (112, 96)
    assert found.findings[0].check == "input size"
    assert found.findings[0].fault


def test_a_network_that_takes_no_size_is_one_sentence():
    with pytest.raises(InputError, match=r"runs on crops of no known size: .*embedding_dim = 64$"):
        diagnose(Planted(replace(CONTRACT, embedding_dim=64)))


def test_raw_photos_need_a_detector():
    with pytest.raises(InputError, match="need a detector"):
        diagnose(Planted(CONTRACT), replace(portraits(), aligned=None))
    with pytest.raises(InputError, match="too few pairs"):
        diagnose(Planted(CONTRACT), replace(portraits(), aligned=None), lambda image: None)


RIGHT = Contract(name="mobilefacenet", mean=IMAGENET_MEAN, std=IMAGENET_STD, embedding_dim=128, flip=True)


@pytest.fixture(scope="module")
def lfw(data_root):
    return BENCHMARKS.create(f"lfw:root={data_root / 'lfw112'},aligned=arcface")


@pytest.fixture(scope="module")
def forward():
    """Passes that were made already: from one broken contract to the next most crops are the same."""
    known, run = {}, OnnxEmbedder.forward

    def remembered(self, batch):
        rows = []
        for crop in batch:
            key = hash(crop.tobytes())
            if key not in known:
                known[key] = run(self, crop[None])[0]
            rows.append(known[key])
        return np.stack(rows)

    return remembered


@pytest.mark.data
@pytest.mark.models
@pytest.mark.parametrize(
    "broken",
    [
        {},
        {"color": "bgr"},
        {"mean": (0.0,) * 3, "std": (255.0,) * 3},
        {"template": "dlib"},
    ],
    ids=["right", "color", "normalisation", "template"],
)
def test_the_broken_contract_of_a_public_mobilefacenet_is_put_right(models_root, lfw, forward, monkeypatch, broken):
    monkeypatch.setattr(OnnxEmbedder, "forward", forward)
    path = models_root / "foamliu_mobilefacenet_128.onnx"
    found = diagnose(load_embedder(path, contract=replace(RIGHT, **broken)), lfw, pairs=80)
    assert set(found.changes) == set(broken)
    assert found.contract == RIGHT


@pytest.mark.data
@pytest.mark.network
@pytest.mark.parametrize(
    "broken", [{"template": "arcface"}, {"mean": (0.0,) * 3, "std": (1.0,) * 3}], ids=["template", "normalisation"]
)
def test_the_broken_contract_of_dlibs_network_is_put_right(data_root, broken):
    lfw = BENCHMARKS.create(f"lfw:root={data_root / 'lfw'},landmarks=auto")
    embed = load_embedder("dlib-resnet29")
    found = diagnose(embed.under(**broken), lfw, pairs=30)
    assert found.contract.template == embed.contract.template
    assert found.contract.color == embed.contract.color
    assert found.contract.std[0] > 50  # dlib's own is none of the usual ones: the nearest is found
    assert set(found.changes) == set(broken)


def test_a_gain_that_chance_may_explain_is_told_and_not_called_right():
    tried = [Variant("", "", {}), Variant("flip", "crop alone", {}, gain=0.01, deviation=0.001)]
    assert unchanged(tried) == "The contract is right: no change of it separates these pairs better."

    tried.append(Variant("color", "rgb", {}, gain=0.04, deviation=0.038))
    assert "but color = rgb gains 4.0 % +- 7.6: more pairs (--pairs) would tell" in unchanged(tried)


def test_the_command_names_the_entry_and_writes_a_copy(mosaic_model, run, tmp_path):
    model, root = mosaic_model
    fixed = tmp_path / "fixed.onnx"

    code, out, _ = run("doctor", model, f"folder:root={root},aligned=arcface", "--write", fixed)

    assert code == 0
    assert 'color = "rgb"  # not "bgr"' in out
    assert load_embedder(fixed).contract.color == "rgb"
    code, out, _ = run("doctor", fixed, f"folder:root={root},aligned=arcface")
    assert "The contract is right" in out
    code, out, _ = run("doctor", fixed)
    assert "not looked at without photos" in out


@pytest.mark.parametrize(
    ("tokens", "words"),
    [
        (["dlib-resnet29", "--write", "x.onnx"], "no model file"),
        (["{model}", "megaface:root=/nowhere"], "no such file"),
        (["{model}", "--pairs", "2"], "--pairs is 2"),
    ],
)
def test_what_the_doctor_cannot_look_at_is_one_sentence(mosaic_model, run, tokens, words):
    code, out, errors = run("doctor", *(token.format(model=mosaic_model[0]) for token in tokens))
    assert (code, out) == (2, "")
    assert words in errors


@pytest.fixture(scope="module")
def mosaic_model(tmp_path_factory):
    """An ONNX file that sees what `Planted` sees, with a contract that says bgr; and the portraits as files."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    from facezoo.contract import CONTRACT_KEY
    from facezoo.image import write_image

    folder = tmp_path_factory.mktemp("doctor")
    nodes = [
        helper.make_node("AveragePool", ["crops"], ["pooled"], kernel_shape=[14, 14], strides=[14, 14]),
        helper.make_node("Slice", ["pooled", "one", "three", "axis"], ["seen"]),
        helper.make_node("Mul", ["seen", "two"], ["doubled"]),
        helper.make_node("Tanh", ["doubled"], ["bent"]),
        helper.make_node("Flatten", ["bent"], ["embedding"]),
    ]
    ends = [
        helper.make_tensor_value_info("crops", TensorProto.FLOAT, ["batch", 3, 112, 112]),
        helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", 128]),
    ]
    numbers = [
        numpy_helper.from_array(np.array(value, kind), name)
        for name, value, kind in (
            ("one", [1], np.int64),
            ("three", [3], np.int64),
            ("axis", [1], np.int64),
            ("two", 2, np.float32),
        )
    ]
    model = helper.make_model(
        helper.make_graph(nodes, "planted", ends[:1], ends[1:], numbers),
        opset_imports=[helper.make_opsetid("", 13)],
        ir_version=8,
    )
    helper.set_model_props(model, {CONTRACT_KEY: replace(CONTRACT, color="bgr").to_json()})
    onnx.save(model, str(folder / "planted.onnx"))
    for photo in portraits().photos:
        write_image(folder / "people" / f"{photo.name}.png", photo.source)
    return folder / "planted.onnx", folder / "people"
