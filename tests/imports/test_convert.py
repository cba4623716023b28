"""Imported models give the embeddings of the originals, whatever is wrapped around their weights."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
import safetensors.torch
import torch
from torch import nn

from facezoo.backbones.keys import reference_keys
from facezoo.checkpoint import load_model, load_network, save_model
from facezoo.embedder import TorchEmbedder, load_embedder
from facezoo.image import read_image
from facezoo.imports import Feed, import_checkpoint
from facezoo.networks.retinaface import RetinaFace, decode
from facezoo.registry import BACKBONES
from facezoo.sdk.detector import iou, suppress
from facezoo.types import Contract, InputError


@pytest.fixture(scope="module")
def weights(golden_root, golden_fill):
    """The state dict of a golden network under its original names."""

    def weights(fixture):
        facts = golden_fill.load_spec(golden_root / "backbones" / f"{fixture}.json.gz")
        arrays = golden_fill.fill(facts["keys"], facts["salt"], facts["gain"])
        return {key: torch.from_numpy(np.asarray(array)) for key, array in arrays.items()}

    return weights


def under(prefix, state):
    return {prefix + key: tensor for key, tensor in state.items()}


WRAPPINGS = {
    "FaceX-Zoo": lambda s: {
        "state_dict": under("backbone.", s) | {"head.weight": torch.zeros(512, 7)},
        "epoch": 1,
        "batch_id": 2,
    },
    "FaceX-Zoo, parallel": lambda s: {
        "state_dict": under("module.backbone.", s) | {"module.head.weight": torch.zeros(512, 7)},
        "epoch": 1,
        "batch_id": 2,
    },
    "FaceX-Zoo, older": lambda s: {"state_dict": under("feat_net.", s) | {"loss_layer.weight": torch.zeros(512, 7)}},
    "FaceX-Zoo, siamese": lambda s: {"state_dict": s, "epoch": 1, "batch_id": 2},
    "FaceX-Zoo, semi-siamese": lambda s: under("module.", s),
    "plain": lambda s: s,
}


@pytest.mark.golden
@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_a_facexzoo_file_embeds_as_the_original_did(golden, weights, tmp_path, wrapping, legacy):
    file = tmp_path / "Epoch_17.pt"
    wrapped = WRAPPINGS[wrapping](weights("facexzoo__mobilefacenet"))
    torch.save(wrapped, file, _use_new_zipfile_serialization=not legacy)

    feed = Feed(color="bgr", mean=127.5, std=128) if wrapping == "plain" else Feed()
    made = import_checkpoint(file, tmp_path / "model.safetensors", feed=feed)

    # The reference was fed with (x - 127.5) / 128 in the order of the stored channels: for it they are BGR.
    assert made.contract.color == "bgr" and made.contract.std == (128.0,) * 3
    assert bool(made.warnings) == (wrapping == "FaceX-Zoo, semi-siamese")
    assert_golden(golden, tmp_path / "model.safetensors", "facexzoo__mobilefacenet")


def assert_golden(golden, path, fixture):
    embedder = load_embedder(path, flip=False)
    pixels = np.load(f"{golden.HERE}/backbones/inputs_112.npz")["u8"].transpose(0, 2, 3, 1)
    crops = pixels[..., ::-1] if embedder.contract.color == "bgr" else pixels
    _, wanted, _ = golden.load(f"backbones/{fixture}.npz")
    difference = np.linalg.norm(embedder(list(crops)) - wanted["embedding"]) / np.linalg.norm(wanted["embedding"])
    assert difference < 2e-5


def resumed(state):
    head = {"weight": torch.zeros(7, 512)}
    return {"epoch": 1, "state_dict_backbone": under("module.", state), "state_dict_softmax_fc": head}


def lightning(state):
    tensors = under("model.", state) | {"head.kernel": torch.zeros(512, 9)}
    return {"state_dict": tensors, "pytorch-lightning_version": "1.8", "callbacks": {object: 1}}


OTHERS = {
    "insightface, resume": ("insightface__mbf", resumed),
    "insightface, final": ("insightface__mbf", lambda s: s),
    "TFace": ("tface__mobilefacenet", lambda s: s),
    "TFace, parallel": ("tface__mobilefacenet", lambda s: under("module.", s)),
    "distillation": ("facexzoo_kdf__resnet18_ir", WRAPPINGS["FaceX-Zoo"]),
    "Lightning": ("tface__ir_18", lightning),
    "CVLface": ("tface__ir_18", lambda s: under("net.", s)),
}


@pytest.mark.golden
@pytest.mark.parametrize("wrapping", OTHERS)
def test_files_of_other_projects_embed_as_the_originals_did(golden, weights, tmp_path, wrapping):
    fixture, wrap = OTHERS[wrapping]
    torch.save(wrap(weights(fixture)), tmp_path / "file.pth")
    import_checkpoint(tmp_path / "file.pth", tmp_path / "model.safetensors", feed=Feed("rgb", 127.5, 128))
    assert_golden(golden, tmp_path / "model.safetensors", fixture)


@pytest.mark.golden
def test_safetensors_of_others_are_read(golden, weights, tmp_path):
    safetensors.torch.save_file(under("net.", weights("insightface__mbf")), tmp_path / "file.safetensors")
    import_checkpoint(tmp_path / "file.safetensors", tmp_path / "model.safetensors", feed=Feed(std=128))
    assert_golden(golden, tmp_path / "model.safetensors", "insightface__mbf")


@pytest.fixture
def small():
    """A small network and its state dict under MobileFaceNet's original names."""
    torch.manual_seed(0)
    network = BACKBONES.create("mobilefacenet:width=0.25,embedding_dim=32,input_size=64")
    keys = reference_keys(network, "mobilefacenet")
    return network.eval(), {keys[key]: tensor for key, tensor in network.state_dict().items()}


PROJECTS = {
    "backbone.": ("FaceX-Zoo", "bgr", 127.5, 128.0),
    "feat_net.": ("FaceX-Zoo", "bgr", 127.5, 128.0),
    "": ("face.evoLVe", "rgb", 127.5, 127.5),
}


@pytest.mark.parametrize("prefix", PROJECTS)
def test_the_project_decides_how_crops_are_fed(small, tmp_path, prefix):
    network, state = small
    torch.save(under(prefix, state), tmp_path / "file.pt")
    made = import_checkpoint(tmp_path / "file.pt", tmp_path / "model.safetensors")
    project, color, mean, std = PROJECTS[prefix]
    assert made.projects[0] == project
    assert (made.contract.color, made.contract.mean, made.contract.std) == (color, (mean,) * 3, (std,) * 3)
    assert (made.contract.input_size, made.contract.embedding_dim) == ((64, 64), 32)
    assert (made.contract.threshold, made.contract.training_data, made.contract.flip) == (None, "unknown", True)

    crop = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    fed = crop[..., ::-1] if color == "bgr" else crop
    batch = torch.from_numpy(((fed - np.float32(mean)) / np.float32(std)).transpose(2, 0, 1)[None].copy())
    with torch.inference_mode():
        wanted = network(batch).numpy()
    got = TorchEmbedder(*load_model(tmp_path / "model.safetensors"))
    got.contract = replace(got.contract, flip=False)
    np.testing.assert_allclose(got([crop]), wanted, rtol=1e-4, atol=1e-5)


def test_a_guess_is_said_and_can_be_replaced(small, tmp_path):
    torch.save(small[1], tmp_path / "file.pt")
    made = import_checkpoint(tmp_path / "file.pt", tmp_path / "model.safetensors")
    assert made.warnings == (
        "the weights do not say how crops are fed: RGB, (x - 127.5) / 127.5 is a guess (face.evoLVe or FaceX-Zoo); "
        "give --color, --mean and --std if you know better",
    )
    feed = Feed("bgr", [104.0, 117.0, 123.0], 1.0)
    made = import_checkpoint(tmp_path / "file.pt", tmp_path / "model.safetensors", feed=feed)
    assert not made.warnings
    assert (made.contract.color, made.contract.mean, made.contract.std) == ("bgr", (104, 117, 123), (1, 1, 1))


def test_heads_and_prefix_are_named(small, tmp_path):
    state = under("backbone.", small[1]) | {"head.kernel": torch.zeros(32, 1234)}
    torch.save({"state_dict": state, "epoch": 1, "batch_id": 1}, tmp_path / "file.pt")
    made = import_checkpoint(tmp_path / "file.pt", tmp_path / "model.safetensors", name="mine")
    assert made.found == (
        "mobilefacenet:width=0.25,embedding_dim=32,input_size=64 of FaceX-Zoo; 333 tensors; under "
        "'state_dict.backbone.'; left out: head (1) of 1,234 classes"
    )
    assert made.contract.name == "mine" and made.to_dict()["contract"]["embedding_dim"] == 32


@pytest.mark.filterwarnings("ignore")  # torch warns of the sources of classes
@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_a_whole_module_is_imported(small, tmp_path, legacy):
    whole = nn.Module()
    whole.backbone = small[0]
    torch.save(whole, tmp_path / "file.pkl", _use_new_zipfile_serialization=not legacy)
    import_checkpoint(tmp_path / "file.pkl", tmp_path / "model.safetensors")
    crops = torch.randn(2, 3, 64, 64)
    assert torch.equal(load_model(tmp_path / "model.safetensors")[0](crops), small[0](crops))


def refusal(*arguments, **options):
    with pytest.raises(InputError) as error:
        import_checkpoint(*arguments, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_what_does_not_fit_is_one_sentence_and_writes_nothing(small, tmp_path):
    file, out = tmp_path / "file.pt", tmp_path / "model.safetensors"
    torch.save(small[1], file)
    assert "unknown backbone 'nope'" in refusal(file, out, backbone="nope")
    assert "not mbf: " in refusal(file, out, backbone="mbf")
    assert "name it .safetensors or .onnx" in refusal(file, tmp_path / "model.pt")
    assert "is written as .safetensors" in refusal(file, tmp_path / "model.onnx")
    assert "is the checkpoint itself" in refusal(out, out)
    assert "leave --size out" in refusal(file, out, feed=Feed(size=(64, 64)))
    assert "--mean is 2 numbers" in refusal(file, out, feed=Feed(mean=[1.0, 2.0]))
    assert "std above 0" in refusal(file, out, feed=Feed(std=0.0))
    small[1]["linear.weight"][0, 0] = torch.nan
    torch.save(small[1], file)
    assert "'linear.weight' has values that are not finite" in refusal(file, out)
    assert not out.exists()


def test_our_own_files_are_not_imported_again(small, tmp_path):
    spec = "mobilefacenet:width=0.25,embedding_dim=32,input_size=64"
    save_model(tmp_path / "a.safetensors", small[0], spec, Contract(input_size=(64, 64), embedding_dim=32))
    assert "use it as it is" in refusal(tmp_path / "a.safetensors", tmp_path / "b.safetensors")


def export(network, path, size, **options):
    torch.onnx.export(
        network, (torch.zeros(1, 3, size, size),), str(path), dynamo=False, input_names=["x"],
        dynamic_axes={"x": {0: "batch"}}, **options,
    )  # fmt: skip


@pytest.mark.filterwarnings("ignore")  # the exporter warns of itself
def test_onnx_with_named_weights_becomes_a_network(tmp_path):
    torch.manual_seed(0)
    network = BACKBONES.create("iresnet18:input_size=64,embedding_dim=16").eval()

    class Original(nn.Module):
        def __init__(self):
            super().__init__()
            self.network = network

        def forward(self, x):
            return self.network(x)

    export(
        Original(), tmp_path / "named.onnx", 64, do_constant_folding=False, training=torch.onnx.TrainingMode.PRESERVE
    )
    model = onnx.load(str(tmp_path / "named.onnx"))
    names = {f"network.{own}": theirs for own, theirs in reference_keys(network, "iresnet").items()}
    for node in model.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
    for tensor in model.graph.initializer:
        tensor.name = names.get(tensor.name, tensor.name)
    onnx.save(model, str(tmp_path / "file.onnx"))

    made = import_checkpoint(tmp_path / "file.onnx", tmp_path / "model.safetensors")

    assert made.projects[0] == "insightface"
    crops = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(load_model(tmp_path / "model.safetensors")[0](crops), network(crops))


@pytest.mark.filterwarnings("ignore")
def test_onnx_with_folded_weights_is_kept_with_a_contract(small, tmp_path):
    export(small[0], tmp_path / "file.onnx", 64)
    assert "write to an .onnx file to keep the graph" in refusal(tmp_path / "file.onnx", tmp_path / "m.safetensors")
    made = import_checkpoint(tmp_path / "file.onnx", tmp_path / "model.onnx", feed=Feed(color="bgr"))
    assert made.contract.embedding_dim == 32 and made.contract.input_size == (64, 64)
    assert len(made.warnings) == 1
    crops = list(np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), np.uint8))
    embedder = load_embedder(tmp_path / "model.onnx", flip=False)
    wanted = TorchEmbedder(small[0], replace(made.contract, flip=False))(crops)
    np.testing.assert_allclose(embedder(crops), wanted, rtol=1e-3, atol=1e-4)
    assert "use it as it is" in refusal(tmp_path / "model.onnx", tmp_path / "b.onnx")


@pytest.mark.filterwarnings("ignore")
def test_onnx_that_gives_no_embeddings_is_refused(tmp_path):
    export(nn.Conv2d(3, 4, 3).eval(), tmp_path / "file.onnx", 32)
    assert "not an embedding" in refusal(tmp_path / "file.onnx", tmp_path / "model.onnx")
    (tmp_path / "bad.onnx").write_bytes(b"nothing of the kind")
    assert "not a readable ONNX file" in refusal(tmp_path / "bad.onnx", tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()


def test_a_dat_file_of_something_else_is_refused(tmp_path):
    (tmp_path / "a.dat").write_bytes(b"nothing")
    assert "is written as ONNX" in refusal(tmp_path / "a.dat", tmp_path / "b.safetensors")
    assert "it is not the network that was expected" in refusal(tmp_path / "a.dat", tmp_path / "b.onnx")


@pytest.mark.models
@pytest.mark.data
def test_facexzoos_pickled_detector_is_imported_and_finds_a_face(models_root, data_root, tmp_path):
    made = import_checkpoint(models_root / "facexzoo_face_detection_retina.pkl", tmp_path / "detector.safetensors")
    assert made.network == "retinaface_mnet025" and made.contract is None
    network = load_network(tmp_path / "detector.safetensors")
    with pytest.raises(InputError, match="gives no embeddings"):
        load_model(tmp_path / "detector.safetensors")

    image = read_image(data_root / "photos" / "test1.jpg")
    batch = torch.from_numpy(image[..., ::-1].astype(np.float32) - np.array(RetinaFace.mean, np.float32))
    with torch.inference_mode():
        shifts, scores, points = network(batch.permute(2, 0, 1)[None])
    boxes, landmarks = decode(shifts[0], points[0], image.shape[:2])
    sure = scores[0, :, 1] > 0.7
    boxes, landmarks, found = boxes[sure].numpy(), landmarks[sure].numpy(), scores[0, sure, 1].numpy()
    kept = suppress(boxes, found, 0.2)
    wanted = np.array(
        [row.split()[:4] for row in (data_root / "photos" / "test1_detect_res.txt").read_text().splitlines()], float
    )
    assert len(kept) == len(wanted)
    # The published boxes are of another training of the same network: a few pixels away.
    assert all(iou(box, wanted).max() > 0.9 for box in boxes[kept])
    for i in kept:
        assert (landmarks[i] > boxes[i, :2]).all() and (landmarks[i] < boxes[i, 2:]).all()


@pytest.mark.models
def test_real_onnx_is_kept_and_embeds_as_before(models_root, tmp_path):
    file = models_root / "foamliu_mobilefacenet_128.onnx"
    feed = Feed("rgb", [123.675, 116.28, 103.53], [58.395, 57.12, 57.375])
    made = import_checkpoint(file, tmp_path / "model.onnx", feed=feed)
    assert made.contract.embedding_dim == 128 and not made.warnings
    crops = list(np.random.default_rng(0).integers(0, 256, (2, 112, 112, 3), np.uint8))
    given = load_embedder(file, contract=replace(made.contract, weights_sha256=""))
    assert np.array_equal(load_embedder(tmp_path / "model.onnx")(crops), given(crops))
