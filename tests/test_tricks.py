"""Tricks of the recipes end to end: averaged weights, mixed images, transformers, the upper half of the face."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from facezoo.checkpoint import load_model, read_header
from facezoo.config import Config, config_from_dict
from facezoo.embedder import load_embedder
from facezoo.export import export_onnx
from facezoo.image import write_image
from facezoo.registry import DATASETS
from facezoo.run import read_metrics
from facezoo.train import Trainer
from facezoo.types import InputError, unit

PEOPLE, IMAGES, BATCH = 5, 6, 10
STEPS_PER_EPOCH = PEOPLE * IMAGES // BATCH


@pytest.fixture(scope="module")
def faces(tmp_path_factory) -> Path:
    """One pattern a person, in its upper half alone; below all are alike."""
    root = tmp_path_factory.mktemp("tricks") / "faces"
    rng = np.random.default_rng(0)
    for person in range(PEOPLE):
        pattern = cv2.resize(rng.integers(0, 255, (5, 9, 3), dtype=np.uint8), (112, 112))
        pattern[60:] = 90
        for number in range(IMAGES):
            image = np.clip(pattern + rng.normal(0, 12, pattern.shape), 0, 255).astype(np.uint8)
            write_image(root / f"person{person}" / f"{number}.png", image)
    return root


def config(faces: Path, **sections) -> Config:
    values = {
        "name": "tricks",
        "model": {
            "backbone": "mobilefacenet:embedding_dim=16,width=0.25,input_size=[32,32]",
            "head": "cosface:scale=16",
        },
        "data": {"train": f"folder:root={faces}", "batch_size": BATCH, "workers": 0},
        "optim": {"lr": 0.05},
        "schedule": {"name": "constant"},
        "train": {"epochs": 4, "threads": 1, "log_every": 1, "save_every": 1},
    }
    for section, changes in sections.items():
        values[section] = {**values.get(section, {}), **changes}
    return config_from_dict(values)


def weights(path: Path) -> dict[str, torch.Tensor]:
    return load_model(path)[0].state_dict()


def stopped(settings: Config, folder: Path, steps: int) -> None:
    """A run that ends after so many steps, with its state."""
    trainer = Trainer(settings, folder)
    batches = trainer._batches()
    trainer.mode.train()
    for _ in range(steps):
        trainer._step(batches)
        trainer.step += 1
    trainer._save()
    trainer.folder.close()


@pytest.mark.parametrize(
    ("sections", "step"),
    [
        ({"optim": {"swa": 1}}, 2),
        ({"optim": {"swa": 1}}, 7),
        ({"optim": {"swa": 1}}, 9),
        ({"model": {"mode": "conventional:mixup=0.2,cutmix=1"}}, 5),
    ],
    ids=str,
)
def test_a_run_goes_on_with_its_average_and_its_mixtures(faces, tmp_path, sections, step):
    settings = config(faces, **sections)
    Trainer(settings, tmp_path / "whole").run()
    stopped(settings, tmp_path / "parts", step)
    Trainer(settings, tmp_path / "parts").run()

    whole, parts = (weights(tmp_path / run / "last.safetensors") for run in ("whole", "parts"))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    losses = [[line["loss"] for line in read_metrics(tmp_path / run / "metrics.jsonl")] for run in ("whole", "parts")]
    assert losses[0][step:] == losses[1]


def test_what_is_saved_is_the_mean_of_the_epochs_and_training_does_not_notice(faces, tmp_path):
    Trainer(config(faces), tmp_path / "plain").run()
    trainer = Trainer(config(faces, optim={"swa": 2}), tmp_path / "averaged")
    taken = []
    update = trainer.learner.average.update

    def watched(module, step):
        if counts := update(module, step):
            taken.append((step + 1, {k: v.clone() for k, v in module.named_parameters()}))
        return counts

    trainer.learner.average.update = watched
    trainer.run()

    assert [step for step, _ in taken] == [STEPS_PER_EPOCH * epoch for epoch in (2, 3, 4)]
    saved = weights(tmp_path / "averaged" / "last.safetensors")
    for name in taken[0][1]:
        torch.testing.assert_close(saved[name], torch.stack([state[name] for _, state in taken]).mean(0))
    plain = weights(tmp_path / "plain" / "last.safetensors")
    assert all(torch.equal(plain[name], value) for name, value in taken[-1][1].items())
    statistics = [name for name in saved if name.endswith("running_var")]
    assert statistics and not any(torch.equal(saved[name], plain[name]) for name in statistics)


def test_the_upper_half_is_cut_in_training_and_export_alike(faces, tmp_path):
    settings = config(
        faces,
        model={
            "backbone": "mobilefacenet:embedding_dim=16,width=0.25,input_size=[60,112]",
            "template": "arcface-upper",
        },
        train={"epochs": 1},
    )
    trainer = Trainer(settings, tmp_path / "run")
    crops = next(trainer._batches()).crops.numpy()
    data = DATASETS.create(f"folder:root={faces}")
    halves = {data.read(k)[:60].tobytes() for k in range(len(data))}
    mirrored = {data.read(k)[:60, ::-1].tobytes() for k in range(len(data))}
    assert all(crop.tobytes() in halves | mirrored for crop in crops)

    trainer.run()
    assert read_header(tmp_path / "run" / "best.safetensors")[1].template == "arcface-upper"
    parity = export_onnx(tmp_path / "run", tmp_path / "upper.onnx")
    assert parity.difference < 1e-4
    onnx, network = load_embedder(tmp_path / "upper.onnx"), load_embedder(tmp_path / "run")
    upper = [data.read(k)[:60] for k in range(4)]
    np.testing.assert_allclose(unit(onnx(upper)), unit(network(upper)), atol=1e-4)


def test_a_template_that_the_crops_do_not_show_or_the_size_does_not_fit_is_refused(faces, tmp_path):
    upper = "mobilefacenet:embedding_dim=16,width=0.25,input_size=[60,112]"
    with pytest.raises(InputError, match="which crops aligned to 'dlib' do not show"):
        changes = {"model": {"backbone": upper, "template": "arcface-upper"}, "data": {"template": "dlib"}}
        Trainer(config(faces, **changes), tmp_path / "one")
    with pytest.raises(InputError, match="is a part of 'arcface' of the shape 60 x 112, a crop of 32 x 32 is not"):
        Trainer(config(faces, model={"template": "arcface-upper"}), tmp_path / "two")


def test_ranks_draw_one_share_and_find_one_set_of_statistics():
    script = Path(__file__).parent / "tricks_ranks.py"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    (shares, seen, found), (other_shares, other_seen, other_found) = json.loads(done.stdout)

    assert shares == other_shares and len(set(shares)) == 3
    assert found == other_found and seen != other_seen
    np.testing.assert_allclose(found, (np.array(seen) + other_seen) / 2, atol=1e-6)


@pytest.mark.parametrize(
    "backbone",
    ["vit_t:input_size=36,drop_path=0.2", "timm:vit_tiny_patch16_224,input_size=32,drop_path=0.2,output=pool"],
)
def test_the_transformer_recipe_trains(faces, tmp_path, backbone):
    settings = config(
        faces,
        model={"backbone": backbone, "loss": "label_smoothing"},
        optim={"name": "adamw", "lr": 0.0005, "weight_decay": 0.05, "clip_norm": 5.0, "ema": 0.9},
        schedule={"name": "cosine", "warmup_epochs": 1, "final": 0.01},
        train={"epochs": 4, "save_every": 0},
    )
    trainer = Trainer(settings, tmp_path)
    shares = [
        m.share if hasattr(m, "share") else m.drop_prob
        for m in trainer.backbone.modules()
        if "DropPath" in str(type(m))
    ]
    assert max(shares) == pytest.approx(0.2)
    trainer.run()
    lines = read_metrics(tmp_path / "metrics.jsonl")
    assert np.mean([line["loss"] for line in lines[-3:]]) < lines[0]["loss"] and lines[0]["lr"] < lines[2]["lr"]
