"""Training under torchrun: what the number of processes changes, what a dead one leaves, and how a run goes on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from facezoo.checkpoint import load_model
from facezoo.config import config_from_dict, config_to_toml, load_config
from facezoo.head_file import HeadFile
from facezoo.image import write_image
from facezoo.run import read_metrics

SCRIPT = Path(__file__).parent / "train_ranks.py"
PEOPLE, IMAGES, STEPS = 7, 8, 9


@pytest.fixture(scope="module")
def faces(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("ranks") / "faces"
    rng = np.random.default_rng(0)
    for person in range(PEOPLE):
        pattern = cv2.resize(rng.integers(0, 255, (4, 4, 3), dtype=np.uint8), (32, 32))
        for number in range(IMAGES):
            image = np.clip(pattern + rng.normal(0, 12, pattern.shape), 0, 255).astype(np.uint8)
            write_image(root / f"person{person}" / f"{number}.png", image)
    return root


@pytest.fixture
def recipe(faces, tmp_path) -> Path:
    """Batches of 17 and 7 classes: nothing divides by 2 or 3."""
    values = {
        "name": "tiny",
        "model": {
            "backbone": "mobilefacenet:embedding_dim=16,width=0.25,input_size=[32,32]",
            "head": "curricularface:scale=16",
        },
        "data": {"train": f"folder:root={faces}", "batch_size": 17, "workers": 0},
        "optim": {"lr": 0.01},
        "train": {"epochs": 3, "threads": 1, "log_every": 1, "save_every": 2},
        "validation": {"benchmarks": [f"folder:root={faces},folds=2,aligned=arcface,resamples=0"]},
    }
    path = tmp_path / "tiny.toml"
    path.write_text(config_to_toml(config_from_dict(values)))
    return path


def run(count: int, *tokens: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable]
    if count > 1:
        command += ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run([*command, *map(str, tokens)], capture_output=True, text=True, env=environment)


def losses(folder: Path) -> list[float]:
    return [line["loss"] for line in read_metrics(folder / "metrics.jsonl") if "loss" in line]


def test_one_process_and_three_train_alike(recipe, tmp_path):
    alone, three = tmp_path / "alone", tmp_path / "three"
    for count, folder in ((1, alone), (3, three)):
        done = run(count, SCRIPT, recipe, folder, "still")
        assert done.returncode == 0, done.stderr[-3000:]

    assert len(losses(alone)) == STEPS
    np.testing.assert_allclose(losses(three), losses(alone), rtol=1e-4)
    left, right = (load_model(folder / "last.safetensors")[0].state_dict() for folder in (alone, three))
    for name, tensor in left.items():
        torch.testing.assert_close(right[name], tensor, rtol=1e-3, atol=1e-4, msg=name)
    reports = [json.loads(next((folder / "reports").glob("*-00000009.json")).read_text()) for folder in (alone, three)]
    accuracies = [report[0]["metrics"]["accuracy"] for report in reports]
    assert abs(accuracies[0] - accuracies[1]) < 0.02
    torch.testing.assert_close(HeadFile.read(three).weight, HeadFile.read(alone).weight, rtol=1e-3, atol=1e-4)


def test_a_dead_process_ends_the_run_and_any_number_goes_on(recipe, tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert run(1, SCRIPT, recipe, whole, "still").returncode == 0

    died = run(2, SCRIPT, recipe, broken, "still", 5)
    assert died.returncode != 0
    assert "SIGKILL" in died.stderr
    saved = HeadFile.read(broken).weight  # of step 4: two parts put together

    going_on = run(3, SCRIPT, recipe, broken, "still", 4)  # dies before its first step: the same centres, re-split
    assert going_on.returncode != 0
    assert torch.equal(HeadFile.read(broken).weight, saved)

    assert run(3, SCRIPT, recipe, broken, "still", 7).returncode != 0
    assert sorted(path.name for path in (broken / "state").iterdir()) == [
        "last.pt",
        *(f"part-00000006-{part}-of-3.pt" for part in range(3)),
    ]
    assert run(1, SCRIPT, recipe, broken, "still").returncode == 0
    assert len(losses(broken)) == STEPS
    np.testing.assert_allclose(losses(broken), losses(whole), rtol=1e-4)


def test_two_processes_resume_bit_by_bit(recipe, tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert run(2, "-m", "facezoo", "train", recipe, "--out", whole).returncode == 0
    assert run(2, SCRIPT, recipe, broken, "", 5).returncode != 0
    done = run(2, "-m", "facezoo", "train", recipe, "--out", broken)
    assert done.returncode == 0, done.stderr[-3000:]

    assert losses(broken) == losses(whole)
    assert torch.equal(HeadFile.read(broken).weight, HeadFile.read(whole).weight)
    assert done.stdout.count("best model") == 1


def test_what_one_process_refuses_is_said_with_its_number(recipe, tmp_path):
    done = run(2, "-m", "facezoo", "train", recipe, "--out", tmp_path / "out", "--data.batch_size", 1)
    assert done.returncode != 0
    assert "data.batch_size is 1, it must be at least 4: two crops for each of 2 processes" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("optimiser", ["sgd", "adamw"])
def test_fp16_skips_overflows_together_and_learns(recipe, tmp_path, optimiser):
    rates = {"sgd": 0.01, "adamw": 0.001}
    options = ["--train.amp", "fp16", "--optim.name", optimiser, "--optim.lr", rates[optimiser], "--train.epochs", 10]
    done = run(2, "-m", "facezoo", "train", recipe, "--out", tmp_path / "out", *options)
    assert done.returncode == 0, done.stderr[-3000:]
    found = losses(tmp_path / "out")
    assert np.isfinite(found).all() and found[-1] < found[0] - 1


def test_a_frozen_network_trains_its_head_and_goes_on_without_its_start(recipe, tmp_path):
    options = ["--optim.groups", '["backbone:lr_scale=0"]', "--model.start", tmp_path / "first"]
    first = run(1, "-m", "facezoo", "train", recipe, "--out", tmp_path / "first", "--train.epochs", 1)
    assert first.returncode == 0, first.stderr[-3000:]
    died = run(2, SCRIPT, config_with(recipe, tmp_path, tmp_path / "first"), tmp_path / "out", "", 5)
    assert "SIGKILL" in died.stderr
    (tmp_path / "first").rename(tmp_path / "moved")
    done = run(2, "-m", "facezoo", "train", recipe, "--out", tmp_path / "out", *options)
    assert done.returncode == 0, done.stderr[-3000:]
    start, end = (load_model(tmp_path / name / "last.safetensors")[0].state_dict() for name in ("moved", "out"))
    assert all(torch.equal(start[name], end[name]) for name in start)


def config_with(recipe: Path, folder: Path, start: Path) -> Path:
    """The recipe with a frozen network that starts from a model."""
    config = load_config(recipe, {"optim.groups": '["backbone:lr_scale=0"]', "model.start": str(start)})
    path = folder / "frozen.toml"
    path.write_text(config_to_toml(config))
    return path
