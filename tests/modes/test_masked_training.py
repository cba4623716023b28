"""Training on faces with masks by found meshes, killed in the midst of a step and resumed, ends with the same bits."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("numba")

from facezoo.config import config_from_dict, config_to_toml, load_config
from facezoo.data.opening import open_dataset
from facezoo.image import write_image
from facezoo.mask.finder import Finder
from facezoo.mask.meshes import find_meshes
from facezoo.run import read_metrics
from facezoo.train import Trainer

SCRIPT = Path(__file__).parent / "runs.py"
STEPS, KILLED = 6, 3
WORKERS = (0, 2)

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the run that is killed is a forked process")


@pytest.fixture(scope="module")
def recipes(tmp_path_factory) -> Path:
    """A recipe for each number of workers, of 3 people x 6 crops, half of which wear something."""
    root, rng = tmp_path_factory.mktemp("masked"), np.random.default_rng(0)
    for person in range(3):
        for number in range(6):
            crop = np.array([150 + 25 * person, 140, 120]) + rng.normal(0, 12, (40, 40, 3))
            write_image(root / f"faces/{person}/{number}.png", crop.clip(0, 255).astype(np.uint8))
    faces, meshes = f"folder:root={root / 'faces'}", root / "meshes"
    find_meshes(open_dataset(faces), meshes, Finder(aligned="arcface", mesh="landmarks"))
    train = f'masked:data="{faces}",meshes={meshes},probability=0.5,variants=2,pieces=2,templates=["surgical","gaiter"]'
    masked, plain = open_dataset(train), open_dataset(faces)
    worn = [not np.array_equal(masked.read(number), plain.read(number // 2)) for number in range(len(masked))]
    assert len(masked) == 36 and 8 < sum(worn) < 28
    (root / "recipes").mkdir()
    for workers in WORKERS:
        values = {
            "model": {
                "backbone": "mobilefacenet:embedding_dim=16,width=0.25,input_size=[32,32]",
                "head": "cosface:scale=16",
            },
            "data": {"train": train, "batch_size": 12, "workers": workers, "transforms": ["flip"]},
            "optim": {"lr": 0.02},
            "train": {"epochs": STEPS / 3, "threads": 1, "log_every": 1, "save_every": 1},
        }
        (root / f"recipes/{workers}.toml").write_text(config_to_toml(config_from_dict(values)))
    return root / "recipes"


@pytest.fixture(scope="module")
def killed(recipes: Path) -> Path:
    out = recipes.parent / "killed"
    command = [sys.executable, SCRIPT, "killed", recipes, out, KILLED]
    done = subprocess.run(
        [*map(str, command)], capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return out


def losses(folder: Path) -> list[float]:
    return [line["loss"] for line in read_metrics(folder / "metrics.jsonl") if "loss" in line]


@pytest.fixture(scope="module")
def whole(recipes: Path) -> Trainer:
    """The uninterrupted run, in this process."""
    trainer = Trainer(load_config(recipes / "0.toml"), recipes.parent / "whole")
    trainer.run()
    return trainer


@pytest.mark.parametrize("workers", WORKERS)
def test_a_killed_run_on_masked_faces_ends_bit_identical(recipes: Path, whole: Trainer, killed: Path, workers: int):
    trainer = Trainer(load_config(recipes / f"{workers}.toml"), killed / str(workers))
    assert trainer.step == KILLED
    trainer.run()

    left, right = whole.mode.state_dict(), trainer.mode.state_dict()
    assert left.keys() == right.keys() and all(torch.equal(left[key], right[key]) for key in left)
    found = losses(recipes.parent / "whole")
    assert len(found) == STEPS and found == losses(killed / str(workers))
