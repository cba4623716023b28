"""Where teachers come from, what they see, and that nothing changes them."""

from __future__ import annotations

import logging
from dataclasses import replace

import cv2
import numpy as np
import onnx as onnx_package
import pytest
import torch

from facezoo.align import align, fit, template_points
from facezoo.checkpoint import save_model
from facezoo.config import config_from_dict
from facezoo.contract import CONTRACT_KEY
from facezoo.data.opening import open_dataset
from facezoo.dry_run import dry_run
from facezoo.embedder import load_embedder
from facezoo.evaluation.feature_file import DONE, NO_FACE, FeatureWriter, Header, begin, names_digest
from facezoo.export import export_onnx
from facezoo.extract import extract, open_source
from facezoo.image import read_image, write_image
from facezoo.plan import create_mode
from facezoo.registry import BACKBONES
from facezoo.run import read_metrics
from facezoo.teacher import StoredTeacher, View, create_teacher
from facezoo.train import Trainer
from facezoo.types import Contract, InputError

PEOPLE, IMAGES, SIZE, DIM = 5, 4, 32, 24
TEACHER = f"mobilefacenet:embedding_dim={DIM},width=0.25,input_size={SIZE}"
CONTRACT = Contract("student", (SIZE, SIZE))
STUDENT = f"mobilefacenet:embedding_dim=16,width=0.25,input_size={SIZE}"


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


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    """A torch model whose contract is not the student's: BGR, other mean and std."""
    path = tmp_path_factory.mktemp("teacher") / "teacher.safetensors"
    torch.manual_seed(1)
    network = BACKBONES.create(TEACHER).train()
    for _ in range(3):  # statistics of BatchNorm that are not those of a fresh network
        network(torch.randn(8, 3, SIZE, SIZE))
    contract = Contract(
        "teacher", (SIZE, SIZE), "bgr", (100.0, 110.0, 120.0), (60.0, 70.0, 80.0), embedding_dim=DIM, flip=True
    )
    save_model(path, network, TEACHER, contract)
    return path


@pytest.fixture(scope="module")
def onnx(teacher, faces):
    path = teacher.with_suffix(".onnx")
    export_onnx(teacher, path, faces / "person0")
    return path


@pytest.fixture(scope="module")
def features(teacher, faces):
    folder = teacher.parent / "features"
    extract(open_source(str(faces), "arcface"), load_embedder(teacher), folder, model="x", halves=True)
    return folder


def config(faces, teacher, losses=("cosine:weight=10",), **sections):
    values = {
        "model": {"backbone": STUDENT, "head": "cosface:scale=16", "mode": "distillation"},
        "data": {"train": f"folder:root={faces}", "batch_size": 10, "workers": 0},
        "optim": {"lr": 0.05},
        "train": {"epochs": 5, "threads": 1, "log_every": 1, "save_every": 2},
    }
    values["model"] |= {"teacher": str(teacher), "distillation": list(losses)}
    for section, entries in sections.items():
        values[section] = {**values.get(section, {}), **entries}
    return config_from_dict(values)


def batch(faces, samples):
    data = open_dataset(str(faces))
    crops = torch.from_numpy(np.stack([data.read(sample) for sample in samples]))
    return (crops.permute(0, 3, 1, 2).float() - 127.5) / 127.5, torch.tensor(samples)


# What a teacher gives.


def test_teachers_of_every_kind_agree(faces, teacher, onnx, features):
    images, samples = batch(faces, [3, 11, 18])
    crops = [open_dataset(str(faces)).read(int(sample)) for sample in samples]
    embed = load_embedder(teacher)
    data = open_dataset(str(faces))

    for path in (teacher, onnx):
        shown = create_teacher(config(faces, path), data, CONTRACT)(images, samples)
        np.testing.assert_allclose(shown.embeddings.numpy(), embed.under(flip=False)(crops), rtol=1e-3, atol=1e-4)
        assert shown.known is None
    shown = create_teacher(config(faces, features), data, CONTRACT)(images, samples)
    np.testing.assert_allclose(shown.embeddings.numpy(), embed(crops), rtol=1e-4, atol=1e-5)


def test_samples_that_go_by_other_names_are_taught_what_their_photos_show(faces, features, tmp_path):
    (tmp_path / "samples.txt").write_text("9\tsomebody\n5\n")
    part = open_dataset(f"subset:of={faces},samples={tmp_path / 'samples.txt'}")
    assert part.path(0).startswith("somebody/")

    found = StoredTeacher(features, part)(torch.zeros(2, 3, 4, 4), torch.tensor([0, 1])).embeddings

    wanted = StoredTeacher(features, open_dataset(str(faces)))(torch.zeros(2, 3, 4, 4), torch.tensor([9, 5])).embeddings
    torch.testing.assert_close(found, wanted)


def test_the_template_is_changed_as_by_alignment():
    """A smooth picture, so that bilinear sampling twice and once agree."""
    y, x = np.mgrid[:112, :112]
    picture = np.stack([x * 2, y * 2, (x + y)], axis=-1).astype(np.uint8)
    contract = Contract("dlib", (150, 150), "rgb", (10.0, 20.0, 30.0), (2.0, 3.0, 4.0), template="dlib")
    wanted = align(picture, template_points("arcface", (112, 112)), "dlib", (150, 150)).astype(np.float32)

    images = (torch.from_numpy(picture).permute(2, 0, 1)[None].float() - 127.5) / 127.5
    seen = View(contract, Contract())(images)[0].permute(1, 2, 0).numpy()

    difference = np.abs(seen * np.array([2.0, 3.0, 4.0]) + np.array([10.0, 20.0, 30.0]) - wanted)
    inside = wanted[..., 0] > 0
    assert inside.mean() > 0.88  # the rest lies below the chin, where there is no picture
    assert (wanted[-5:] == 0).all()
    assert difference[:130].max() < 1.5
    assert np.median(difference) < 0.5


@pytest.mark.parametrize("size", [(150, 150), (64, 64), (112, 96), (150, 160)])
def test_another_size_is_fitted(size):
    rng = np.random.default_rng(0)
    picture = cv2.resize(rng.integers(0, 256, (9, 9, 3), np.uint8), (112, 112), interpolation=cv2.INTER_CUBIC)
    contract = Contract("other", size, "bgr")
    images = (torch.from_numpy(picture).permute(2, 0, 1)[None].float() - 127.5) / 127.5

    seen = View(contract, Contract())(images)[0].permute(1, 2, 0).numpy()[..., ::-1] * 127.5 + 127.5

    assert np.abs(seen - fit(picture, size))[:, 8:-8].max() < 8
    assert np.abs(seen - fit(picture, size)).mean() < 1


def test_images_without_an_embedding_teach_nothing(faces, tmp_path, caplog):
    data = open_dataset(str(faces))
    names = [data.path(index) for index in range(len(data))][::-1]
    contract = Contract("some", (SIZE, SIZE), embedding_dim=DIM, flip=False)
    begin(tmp_path / "some", Header(len(names), contract, "x", names_digest(names), "aligned"), names)
    rows = np.random.default_rng(0).normal(size=(len(names), DIM)).astype(np.float32)
    state = np.full(len(names), DONE, np.uint8)
    state[[len(names) - 1 - 3]] = NO_FACE  # the image at place 3
    FeatureWriter(tmp_path / "some").write(0, np.where(state[:, None] == DONE, rows, 0), state)
    run = config(faces, tmp_path / "some")

    with caplog.at_level(logging.WARNING):
        mode = create_mode(run, data)
    assert "1 of 20 images have no embedding" in caplog.text

    images, samples = batch(faces, [2, 3, 4])
    shown = mode.teacher(images, samples)
    np.testing.assert_array_equal(shown.known.numpy(), [True, False, True])
    np.testing.assert_array_equal(shown.embeddings[0].numpy(), rows[len(names) - 1 - 2])
    mode.eval()
    both = mode(images[[0, 2]], torch.tensor([0, 1]), samples[[0, 2]])["cosine"]
    three = mode(images, torch.tensor([0, 0, 1]), samples)["cosine"]
    torch.testing.assert_close(both, three)
    alone = mode(images[[1]], torch.tensor([0]), samples[[1]])["cosine"]
    assert alone == 0


def test_images_that_were_not_extracted_are_refused(faces, tmp_path, features):
    write_image(tmp_path / "faces" / "nobody" / "1.png", read_image(faces / "person0" / "0.png"))
    with pytest.raises(InputError, match=r"has no embedding of 1 of 1 photos, the first: nobody/1\.png"):
        create_mode(config(tmp_path / "faces", features), open_dataset(str(tmp_path / "faces")))


def test_a_file_with_a_wrong_contract_is_refused_before_the_training(faces, onnx, tmp_path):
    model = onnx_package.load(str(onnx))
    for entry in model.metadata_props:
        if entry.key == CONTRACT_KEY:
            entry.value = replace(Contract.from_json(entry.value), embedding_dim=99, weights_sha256="").to_json()
    onnx_package.save(model, str(tmp_path / "wrong.onnx"))
    with pytest.raises(InputError, match=f"gives {DIM}-d embeddings, its contract says embedding_dim = 99"):
        create_mode(config(faces, tmp_path / "wrong.onnx"), open_dataset(str(faces)))


def test_an_ensemble_of_several_templates_teaches_by_features_only():
    contract = Contract("both", (262, 150), template="arcface@112x112+dlib@150x150")
    with pytest.raises(InputError, match=r"both takes crops of several templates.* facezoo extract"):
        View(contract, CONTRACT)


# The mode.


@pytest.mark.parametrize("kind", ["teacher", "onnx", "features"])
def test_a_student_comes_to_give_what_the_teacher_gives(kind, faces, request, tmp_path):
    """Without labels; the projection is what joins 16 and 24 dimensions."""
    path = request.getfixturevalue(kind)
    run = config(faces, path, model={"mode": "distillation:labels=0", "head": "arcface"}, train={"epochs": 10})
    trainer = Trainer(run, tmp_path / "run")
    assert trainer.mode.head is None
    trainer.run()
    losses = [line["cosine"] for line in read_metrics(tmp_path / "run" / "metrics.jsonl") if "cosine" in line]

    assert len(losses) == 20
    assert losses[-1] < 0.5 * losses[0]
    assert not any("teacher" in name for name in trainer.mode.state_dict())
    assert trainer.mode.projection.weight.shape == (DIM, 16)
    embedder = load_embedder(tmp_path / "run")
    assert embedder([read_image(faces / "person0" / "0.png")]).shape == (1, 16)


def test_the_teacher_stays_as_it_is(faces, teacher, tmp_path):
    trainer = Trainer(config(faces, teacher, ["cosine", "mse"], train={"epochs": 5}), tmp_path / "run")
    network = trainer.mode.teacher.network
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    trainer.run()

    assert trainer.step == 10
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    assert not any(module.training for module in network.modules())
    assert all(parameter.grad is None for parameter in network.parameters())


def test_a_resumed_student_is_the_same_to_the_bit(faces, teacher, tmp_path):
    run = config(faces, teacher, ["cosine", "mse"], train={"epochs": 4}, schedule={"name": "constant"})
    Trainer(run, tmp_path / "whole").run()
    broken = Trainer(run, tmp_path / "broken")
    broken.total = 4  # a state is saved after every second step
    broken.run()
    again = Trainer(run, tmp_path / "broken")
    assert again.started == 4
    again.run()

    left, right = (Trainer(run, tmp_path / name).mode.state_dict() for name in ("whole", "broken"))
    assert "projection.weight" in left
    for name, tensor in left.items():
        assert torch.equal(tensor, right[name]), name


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({"teacher": ""}, "model.teacher is empty"),
        (
            {"teacher": "nobody"},
            "nobody is not there; train it first, or extract .*: facezoo extract MODEL DATA nobody$",
        ),
        ({"distillation": []}, "names no loss"),
        ({"distillation": ["cosine", "cosine:weight=2"]}, "cosine is given twice"),
        ({"distillation": ["cosine:weight=0"]}, "weight is 0"),
        ({"teacher_head": "head.safetensors"}, "model.teacher_head has no effect"),
        ({"mode": "distillation:labels=0"}, "model.head has no effect in mode distillation:labels=0"),
        ({"mode": "distillation:labels=0", "sample_rate": 0.5, "head": "arcface"}, "sample_rate has no effect"),
        ({"mode": "distillation:labels=-1"}, "labels is -1"),
        ({"mode": "conventional"}, "model.(teacher|distillation) has no effect in mode conventional"),
        ({"mode": "distillation:teacher=x"}, "teacher follows from the data"),
    ],
)
def test_what_cannot_teach_stops_the_plan(faces, teacher, entries, words):
    with pytest.raises(InputError, match=words):
        dry_run(config(faces, teacher, model=entries))


def test_a_teacher_of_another_template_is_asked_for_its_own(faces, teacher, tmp_path):
    data = open_dataset(str(faces))
    seen = create_teacher(config(faces, teacher), data, replace(CONTRACT, template="dlib"))
    images, samples = batch(faces, [0, 1])
    same = create_teacher(config(faces, teacher), data, CONTRACT)
    points = template_points("dlib", (SIZE, SIZE))
    crops = [align(data.read(int(sample)), points, "arcface", (SIZE, SIZE)) for sample in samples]
    wanted = load_embedder(teacher).under(flip=False)(crops)

    error, other = (np.abs(show(images, samples).embeddings.numpy() - wanted).max() for show in (seen, same))
    assert error < 0.05 * other
