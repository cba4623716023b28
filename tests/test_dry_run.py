"""A dry run finds what would stop a run, and tells what the run would need."""

from __future__ import annotations

import numpy as np
import pytest

from facezoo.config import config_from_dict
from facezoo.dry_run import StandIn, dry_run
from facezoo.image import write_image
from facezoo.types import InputError


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    root = tmp_path_factory.mktemp("plan")
    generator = np.random.default_rng(0)
    for person in range(3):
        for k in range(4):
            write_image(root / str(person) / f"{k}.png", generator.integers(0, 256, (32, 32, 3), np.uint8))
    return root


def plan(faces, section=None, key=None, value=None):
    values = {
        "model": {"backbone": "mobilefacenet:embedding_dim=8,width=0.25,input_size=32"},
        "data": {"train": f"folder:root={faces}", "batch_size": 6},
        "validation": {"benchmarks": [f"folder:root={faces},folds=2,aligned=arcface"]},
    }
    if section:
        values[section] = {**values.get(section, {}), key: value}
    return dry_run(config_from_dict(values)).text()


@pytest.mark.parametrize(
    ("section", "key", "value", "words"),
    [
        ("model", "start", "nothing.safetensors", r"nothing\.safetensors: no such file"),
        ("model", "mode", "nothing", "unknown mode"),
        ("model", "loss", "nothing", "unknown loss"),
        ("model", "embedding_losses", ["proxy_nca"], "is a loss over class centres; write model.loss = 'proxy_nca'"),
        ("optim", "groups", ["neck:lr_scale=2"], "names nothing that is trained"),
        ("data", "sampler", "nothing", "unknown sampler"),
        ("data", "sampler", "identities:each=5", "does not divide a batch of 6"),
        ("model", "mode", "semi_siamese:queue=4", r"two of each identity; write data\.sampler = 'pairs:exclude=4'"),
        ("data", "batch_size", 1, "batch_size is 1, it must be at least 2: BatchNorm"),
        ("data", "template", "nothing", "unknown alignment template"),
        ("data", "transforms", ["flipp"], "unknown transform"),
        ("train", "device", "gpu", "device is 'gpu'"),
        ("train", "device", "meta:x", "device is 'meta:x'"),
        ("validation", "benchmarks", ["lfw:root=nowhere"], "no such file"),
        ("validation", "metric", "acuracy", "does not measure 'acuracy', .* one of: accuracy, auc, .*d_prime"),
        ("validation", "metric", "eer", "'eer'"),
    ],
)
def test_what_would_stop_the_run_stops_the_plan(faces, section, key, value, words):
    with pytest.raises(InputError, match=words):
        plan(faces, section, key, value)


def test_a_dry_run_counts_what_is_trained(faces):
    assert {"identities  3", "steps       40 (2 an epoch) of 6 images"} <= set(plan(faces).splitlines())
    assert "images      12, 12 an epoch by shuffle" in plan(faces).splitlines()
    assert "images      12, 6 an epoch by pairs" in plan(faces, "data", "sampler", "pairs").splitlines()
    assert f"validation  {faces.name}" in plan(faces)


def recipe(**schedule):
    return config_from_dict(
        {
            "model": {"backbone": "mobilefacenet:embedding_dim=8,width=0.25,input_size=32"},
            "data": {"train": "rec:path=nowhere.rec", "batch_size": 100},
            "train": {"epochs": 10},
            "schedule": schedule,
        }
    )


def test_data_that_are_not_there_can_be_stood_in_for():
    found = dry_run(recipe(name="constant"), 50, 12_345, processes=5)

    assert found.rows["images"] == "12,345, 12,300 an epoch by shuffle"
    assert found.rows["processes"] == "5, 20 crops of a batch each"
    assert found.rates == [0.1] * len(found.rates)
    with pytest.raises(InputError, match=r"nowhere.rec: no such file.*--classes"):
        dry_run(recipe(name="constant"))
    with pytest.raises(InputError, match="12 images of 50 identities"):
        StandIn(50, 12)
    with pytest.raises(InputError, match=r"batch_size is 100, .* at least 400: two crops for each of 200 processes"):
        dry_run(recipe(name="constant"), 50, 12_345, processes=200)
    with pytest.raises(InputError, match="-1 processes"):
        dry_run(recipe(name="constant"), 50, 12_345, processes=-1)


def test_the_curve_shows_every_step_of_the_learning_rate():
    found = dry_run(recipe(name="step", milestones=[5, 7.5]), 50, 1000)

    assert found.rates == pytest.approx([0.1] * 512 + [0.01] * 256 + [0.001] * 256)
    highest, *_, lowest = found.text().splitlines()[-8:-2]
    assert highest == "lr       0.1 |" + "*" * 32
    assert lowest == "       0.001 |" + " " * 48 + "*" * 16


def test_the_curve_can_be_drawn(tmp_path):
    found = dry_run(recipe(name="cosine", warmup_epochs=1), 50, 1000)

    found.draw(tmp_path / "lr.svg")
    assert (tmp_path / "lr.svg").read_text().lstrip().startswith("<?xml")
    with pytest.raises(InputError, match=r"lr.txt: a curve is written as .png, .svg or .pdf"):
        found.draw(tmp_path / "lr.txt")


def test_the_command_shows_a_recipe_without_its_data(run, tmp_path):
    code, out, _ = run(
        *("train", "ms1mv1c_mobilefacenet_mvsoftmax", "--dry-run", "--classes", 72778, "--images", 3_280_000),
        *("--processes", 4, "--plot", tmp_path / "lr.png", "--model.backbone", "mobilefacenet:width=0.25"),
    )

    assert code == 0
    assert "steps       115,308 (6,406 an epoch) of 512 images" in out.splitlines()
    assert "processes   4, 128 crops of a batch each" in out.splitlines()
    assert (tmp_path / "lr.png").stat().st_size > 1000


@pytest.mark.parametrize(
    ("tokens", "words"),
    [
        (["ms1mv3_iresnet5_arcface", "--dry-run"], "did you mean ms1mv3_iresnet50_arcface"),
        (["configs/nothing.toml"], "configs/nothing.toml: no such file; recipes go by their name"),
        (["ms1mv3_iresnet50_arcface", "--classes", 5, "--images", 9], "belong to --dry-run"),
        (["ms1mv3_iresnet50_arcface", "--dry-run", "--classes", 5], "give --classes and --images together"),
        (
            ["ms1mv2_mobilefacenet_kd", "--dry-run", "--classes", 50, "--images", 9000],
            "runs/ms1mv2_ir50_arcface is not there; train it first: facezoo train ms1mv2_ir50_arcface",
        ),
        (
            ["mobilefacenet_distilled_30min_cpu", "--dry-run", "--classes", 50, "--images", 9000],
            "features is not there; train it first, or extract a model's embeddings of the data: facezoo extract ",
        ),
        (["ms1mv3_iresnet50_arcface", "--dry-run"], "data/ms1mv3/train.rec: no such file"),
    ],
)
def test_mistakes_are_told_in_a_sentence(run, tokens, words):
    code, _, err = run("train", *tokens)

    assert code == 2
    assert words in err
    assert len(err.strip().splitlines()) == 1
