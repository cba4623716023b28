"""The mode with losses of every kind: logits by class names, maps of any backbone, labels for a part of the batch."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from facezoo.checkpoint import load_model
from facezoo.config import config_from_dict
from facezoo.data.opening import open_dataset
from facezoo.distillation import Shown, Teacher
from facezoo.distillation.maps import Maps
from facezoo.head_file import HeadFile
from facezoo.heads import create_head
from facezoo.image import write_image
from facezoo.modes.distillation import Distillation
from facezoo.plan import create_mode
from facezoo.registry import BACKBONES
from facezoo.train import Trainer
from facezoo.types import InputError

PEOPLE, IMAGES, SIZE = 6, 4, 32
NETWORK = f"mobilefacenet:width=0.25,input_size={SIZE}"
KINDS = ["soft_target", "snn_mimic:weight=0.01", "at", "fitnet", "ft", "fsp", "rkd:weight=0.1", "ekd", "cosine"]


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    root = tmp_path_factory.mktemp("distillation") / "faces"
    rng = np.random.default_rng(0)
    for person in range(PEOPLE):
        pattern = cv2.resize(rng.integers(0, 255, (4, 4, 3), dtype=np.uint8), (SIZE, SIZE))
        for number in range(IMAGES):
            noise = rng.normal(0, 12, pattern.shape)
            write_image(root / f"person{person}" / f"{number}.png", np.clip(pattern + noise, 0, 255).astype(np.uint8))
    return root


def config(faces, model, **sections):
    values = {
        "model": {"backbone": f"{NETWORK},embedding_dim=16", "head": "cosface:scale=16", **model},
        "data": {"train": f"folder:root={faces}", "batch_size": 12, "workers": 0},
        "optim": {"lr": 0.02},
        "schedule": {"name": "constant"},
        "train": {"epochs": 3, "threads": 1, "log_every": 1, "save_every": 2},
    }
    for section, entries in sections.items():
        values[section] = {**values.get(section, {}), **entries}
    return config_from_dict(values)


@pytest.fixture(scope="module")
def teacher(faces, tmp_path_factory):
    """A run folder: a model and the centres of its classes."""
    folder = tmp_path_factory.mktemp("teacher") / "run"
    model = {"backbone": f"{NETWORK},embedding_dim=24", "head": "curricularface:scale=20"}
    Trainer(config(faces, model, train={"epochs": 2}), folder).run()
    return folder


def learning(faces, teacher, losses=KINDS, mode="distillation", **sections):
    model = {"mode": mode, "teacher": str(teacher), "teacher_head": str(teacher), "distillation": list(losses)}
    return config(faces, model, **sections)


def batch(faces, samples):
    data = open_dataset(str(faces))
    crops = torch.from_numpy(np.stack([data.read(sample) for sample in samples]))
    images = (crops.permute(0, 3, 1, 2).float() - 127.5) / 127.5
    return images, torch.from_numpy(data.labels[samples].astype(np.int64)), torch.tensor(samples)


def test_a_run_with_every_kind_resumes_to_the_bit(faces, teacher, tmp_path):
    run = learning(faces, teacher)
    Trainer(run, tmp_path / "whole").run()
    broken = Trainer(run, tmp_path / "broken")
    broken.total = 2
    broken.run()
    assert Trainer(run, tmp_path / "broken").started == 2
    Trainer(run, tmp_path / "broken").run()

    left, right = (Trainer(run, tmp_path / name).mode.state_dict() for name in ("whole", "broken"))
    assert {"distillation.ekd.student_anchors", "projection.weight", "head.weight"} <= left.keys()
    for name, tensor in left.items():
        assert torch.equal(tensor, right[name]), name
    assert load_model(tmp_path / "whole")[0].state_dict().keys() == BACKBONES.create(NETWORK).state_dict().keys()


def test_what_learns_on_the_side_moves(faces, teacher, tmp_path):
    run = config_without_head(faces, teacher, losses=["fitnet:adapter=true", "ft", "cosine"])
    trainer = Trainer(run, tmp_path)
    names = ["projection.weight", "distillation.fitnet.adapter.weight", "distillation.ft.paraphraser.decoder.0.weight"]
    names += ["distillation.ft.translator.encoder.0.weight"]
    before = {name: trainer.mode.state_dict()[name].clone() for name in names}
    trainer.run()
    assert all(not torch.equal(trainer.mode.state_dict()[name], tensor) for name, tensor in before.items())


def test_the_logits_of_the_teacher_are_those_of_its_own_head(faces, teacher, tmp_path):
    """By the names of the classes, with its own margin, as its training left it."""
    file = HeadFile.read(teacher)
    renamed = file.only(file.classes[::-1])
    renamed.write(tmp_path / "head.safetensors")
    data = open_dataset(str(faces))
    images, labels, samples = batch(faces, [0, 7, 14, 21])
    embeddings = load_model(teacher)[0](images)
    original = create_head(file.spec, 24, PEOPLE)
    file.fill(original, data.classes)
    wanted = original.eval().logits(embeddings, labels)

    for head in (teacher, tmp_path / "head.safetensors"):
        run = learning(faces, teacher, ["snn_mimic"])
        run.model.__dict__["teacher_head"] = str(head)
        mode = create_mode(run, data)
        shown = mode.teacher(images, samples)
        torch.testing.assert_close(mode.teacher.head.logits(shown.embeddings, labels), wanted)
        mode.eval()
        student = mode.head.logits(mode.backbone(images), labels)
        torch.testing.assert_close(mode(images, labels, samples)["snn_mimic"], (student - wanted).square().mean())


def test_without_labels_the_head_learns_from_logits_alone(faces, teacher):
    mode = create_mode(learning(faces, teacher, ["soft_target"], "distillation:labels=0"), open_dataset(str(faces)))
    losses = mode(*batch(faces, [0, 7, 14]))
    assert set(losses) == {"soft_target"}
    losses["soft_target"].backward()
    assert mode.head.weight.grad.any()


def test_labels_have_a_weight(faces, teacher):
    torch.manual_seed(0)
    one = create_mode(config_without_head(faces, teacher), data_of(faces))
    torch.manual_seed(0)
    half = create_mode(config_without_head(faces, teacher, "distillation:labels=0.5"), data_of(faces))
    given = batch(faces, [0, 7, 14])
    torch.testing.assert_close(half(*given)["classification"], one(*given)["classification"] / 2)
    torch.testing.assert_close(half(*given)["at"], one(*given)["at"])


def config_without_head(faces, teacher, mode="distillation", losses=("at",)):
    return config(faces, {"mode": mode, "teacher": str(teacher), "distillation": list(losses)})


def data_of(faces):
    return open_dataset(str(faces))


class Few(Teacher):
    """Knows the images with even numbers."""

    embedding_dim = 16

    def __call__(self, images, samples):
        embeddings = torch.randn(len(samples), 16, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
        return Shown(embeddings, samples % 2 == 0)


def few(spec, labelled=0):
    torch.manual_seed(0)
    backbone = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 16, bias=False)).double()
    backbone.embedding_dim = 16
    teacher = Few()
    teacher.head = create_head("cosface:scale=8", 16, 4).double().eval()
    head = create_head("cosface:scale=8", 16, 4).double()
    return Distillation(backbone, teacher, [spec], head, unlabelled=labelled)


def test_the_first_images_of_a_batch_can_go_without_labels():
    mode = few("ekd", 4)
    images, labels, samples = torch.randn(9, 3, 2, 2, dtype=torch.float64), torch.arange(9) % 4, 2 * torch.arange(9)
    losses = mode(images, labels, samples)
    wanted = mode.head(mode.backbone(images[4:]), labels[4:])["classification"]
    torch.testing.assert_close(losses["classification"], wanted)
    all_of_them = few("ekd")(images, labels, samples)
    torch.testing.assert_close(losses["ekd"], all_of_them["ekd"])
    assert losses["classification"] != all_of_them["classification"]
    with pytest.raises(InputError, match="unlabelled is 4, a batch has 4 images"):
        mode.check_order(lambda: labels[:4])
    mode.check_order(lambda: labels[:5])


def test_logits_of_images_that_the_teacher_does_not_know_are_left_out():
    mode = few("snn_mimic").eval()
    images, labels, samples = torch.randn(5, 3, 2, 2, dtype=torch.float64), torch.arange(5) % 4, torch.arange(5)
    student = mode.head.logits(mode.backbone(images), labels)
    target = mode.teacher.head.logits(mode.teacher(images, samples).embeddings, labels)
    wanted = (student - target)[::2].square().mean()
    torch.testing.assert_close(mode(images, labels, samples)["snn_mimic"], wanted)
    nobody = mode(images[:2], labels[:2], torch.tensor([1, 3]))["snn_mimic"]
    assert nobody == 0
    nobody.backward()


@pytest.mark.parametrize(
    ("losses", "changes", "words"),
    [
        (["soft_target"], {"teacher_head": ""}, "name the teacher's head file or run folder in model.teacher_head"),
        (["soft_target"], {"sample_rate": 0.5}, "model.sample_rate: losses between logits compare all classes"),
        (["at"], {"backbone": f"{NETWORK},embedding_dim=24"}, "model.teacher_head has no effect"),
        (["cosine"], {"mode": "distillation:unlabelled=-1", "teacher_head": ""}, "unlabelled is -1"),
        (["soft_target"], {"mode": "distillation:labels=0", "loss": "focal"}, "model.loss has no effect"),
        (["soft_target"], {"mode": "distillation:labels=0", "loss": "label_smoothing"}, "model.loss has no effect"),
        (["cosine"], {"mode": "distillation:labels=inf", "teacher_head": ""}, "labels is inf"),
        (
            ["at", "ft"],
            {"mode": "distillation:labels=0", "teacher_head": "", "head": "arcface"},
            "feature maps alone leave the last layers",
        ),
        (
            ["cosine"],
            {"mode": "distillation:labels=0,unlabelled=2", "teacher_head": "", "head": "arcface"},
            "unlabelled",
        ),
        (
            ["fsp"],
            {"backbone": "ir18:input_size=32", "teacher_head": ""},
            "fsp: the stages have .* they must be the same",
        ),
        (["fitnet"], {"backbone": "ir18:input_size=32", "teacher_head": ""}, r"fitnet: .* write adapter=true"),
    ],
)
def test_what_does_not_go_together_is_refused(faces, teacher, losses, changes, words):
    run = learning(faces, teacher, losses)
    for key, value in changes.items():
        run.model.__dict__[key] = value
    with pytest.raises(InputError, match=words):
        create_mode(run, data_of(faces))


def test_maps_are_not_seen_in_a_compiled_network(faces, teacher):
    run = config(
        faces,
        {"mode": "distillation", "teacher": str(teacher), "distillation": ["at"]},
        train={"compile": True},
    )
    with pytest.raises(InputError, match=r"train\.compile: feature maps are not seen"):
        create_mode(run, data_of(faces))


def test_a_head_that_lacks_a_class_is_refused(faces, teacher, tmp_path):
    HeadFile.read(teacher).remove(["person3"]).write(tmp_path / "head.safetensors")
    run = learning(faces, teacher, ["soft_target"])
    run.model.__dict__["teacher_head"] = str(tmp_path / "head.safetensors")
    with pytest.raises(InputError, match="has no centre of 1 of 6 classes of the data, the first: person3"):
        create_mode(run, data_of(faces))


# Feature maps.

FAMILIES = [
    "attention56",
    "densenet121",
    "dpn68",
    "edgeface_xxs",
    "efficientnet_b0",
    "efficientnetv2_b0",
    "fbnet_a",
    "ghostfacenet_v1",
    "ghostfacenet_v2",
    "ghostnet",
    "hrnet_w18",
    "inceptionresnetv1",
    "ir18",
    "ir_se50",
    "iresnet18",
    "lightcnn9",
    "mbf",
    "mobilefacenet",
    "mobilenetv1_100",
    "mobilenetv2_050",
    "mobilenetv3_small_100",
    "mobilenetv4_conv_small",
    "repvgg_a0",
    "resnest50",
    "resnet18",
    "resnext50_32x4d",
    "rexnet_100",
    "seresnet18",
    "shufflenet_v2_x0_5",
    "swin_t",
    "tf_nas_a",
    "vit_t",
    "vit_s_cvlface",
]


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_has_maps(name):
    """Found without computing a number."""
    with torch.device("meta"):
        network = BACKBONES.create(name)
    shapes = Maps(network).shapes
    height = network.input_size[0]
    if name.startswith("vit"):
        assert len(shapes) == 1
    else:
        assert {2, 3, 4} <= shapes.keys()
    for halvings, (channels, *sides) in shapes.items():
        assert channels > 3
        assert sides[0] == sides[1]
        assert 0.7 < sides[0] * 2**halvings / height < 1.45
    widths = [channels for channels, *_ in shapes.values()]
    assert widths == sorted(widths) or name.startswith("lightcnn")


def test_the_maps_of_an_ir_network_are_those_of_its_stages():
    with torch.device("meta"):
        network = BACKBONES.create("ir18")
    assert Maps(network).shapes == {1: (64, 56, 56), 2: (128, 28, 28), 3: (256, 14, 14), 4: (512, 7, 7)}


@pytest.mark.parametrize(
    "name", ["mobilefacenet:width=0.25", "ir18", "swin_t", "vit_t", "iresnet18:checkpointing=true"]
)
def test_maps_have_gradients_and_change_nothing(name):
    torch.manual_seed(0)
    sized = name if name.startswith(("swin", "vit")) else f"{name}{',' if ':' in name else ':'}input_size=64"
    network = BACKBONES.create(sized).train()
    images = torch.randn(2, 3, *network.input_size)
    torch.manual_seed(1)
    plain = network(images)
    maps = Maps(network)
    assert all(module.training for module in network.modules())

    torch.manual_seed(1)
    embeddings, found = maps(images)

    torch.testing.assert_close(embeddings, plain)
    assert {halvings: tuple(m.shape[1:]) for halvings, m in found.items()} == dict(maps.shapes)
    sum(m.square().mean() for m in found.values()).backward()
    first = next(parameter for parameter in network.parameters() if parameter.grad is not None)
    assert first.grad.any()
    assert network.state_dict().keys() == BACKBONES.create(sized).state_dict().keys()
    network(images)
    assert not maps._found
