"""What holds of every mode: it trains all it has, resumes to the bit after a kill, and is the same on two ranks."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from facezoo.checkpoint import load_model
from facezoo.config import config_from_dict, config_to_toml, load_config
from facezoo.data.opening import open_dataset
from facezoo.files import parse_toml
from facezoo.image import write_image
from facezoo.plan import create_mode, create_sampler
from facezoo.registry import MODES
from facezoo.run import read_metrics
from facezoo.train import Trainer

SCRIPT = Path(__file__).parent / "runs.py"
SPEC = importlib.util.spec_from_file_location("facezoo_mode_runs", SCRIPT)
runs = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(runs)

PEOPLE, IMAGES, STEPS = 9, 4, 4
BEFORE = 16
"""Steps of the finished run that all start from: then the statistics of BatchNorm tell people apart."""
TWO = 'multi:sets=["folder:root={faces}/0","folder:root={faces}/1"]'

# By mode the entries of its config; {faces} has two folders of the same people, {finished} is a run folder.
# Batches fill neither two ranks nor the queues evenly.
MODE_SPECS: dict[str, dict[str, dict[str, Any]]] = {
    "conventional": {"data": {"batch_size": 9}},
    "ddl": {
        "model": {"head": "curricularface:scale=16"},
        "data": {"train": f"{TWO},separate=true", "sampler": "branches:each=2", "batch_size": 20},
    },
    "distillation": {
        "model": {
            "mode": "distillation:unlabelled=5",
            "teacher": "{finished}",
            "teacher_head": "{finished}",
            "distillation": ["cosine:weight=10,centred=true", "soft_target", "at", "ft", "ekd"],
        },
        "data": {"batch_size": 9},
    },
    "heterogeneous_semi_siamese": {
        "model": {"mode": "heterogeneous_semi_siamese:queue=7,decay=0.9,mask_duplicates=true"},
        "data": {"train": TWO, "sampler": "branches:same=true", "batch_size": 10},
    },
    "metric": {
        "model": {"embedding_losses": ["triplet:mining=random", "contrastive"]},
        "data": {"sampler": "identities:each=2", "batch_size": 10},
    },
    "scf": {"model": {"start_head": "{finished}"}, "data": {"batch_size": 9}},
    "semi_siamese": {
        "model": {"mode": "semi_siamese:queue=7,decay=0.9,mask_duplicates=true"},
        "data": {"sampler": "pairs", "batch_size": 10},
    },
}


def test_every_mode_is_tried():
    assert set(MODE_SPECS) == set(MODES.names())


def test_the_documented_configs_are_read():
    text = (Path(__file__).parents[2] / "docs" / "training.md").read_text(encoding="utf-8")
    modes = text.partition("\n## Modes")[2].partition("\n## ")[0]
    found = [config_from_dict(parse_toml(block)) for block in re.findall("```toml\n(.*?)```", modes, re.DOTALL)]
    assert {"semi_siamese", "heterogeneous_semi_siamese", "ddl", "scf"} <= {config.model.mode for config in found}
    assert all(f"| `{name}` |" in modes for name in MODES.names())


def recipe(path: Path, faces: Path, finished: Path, steps: int, sections: dict[str, dict[str, Any]]) -> Path:
    """The TOML file of a mode of the file's name, for so many steps."""
    values: dict[str, Any] = {
        "model": {"backbone": "mobilefacenet:embedding_dim=16,width=0.25,input_size=[32,32]", "mode": path.stem},
        "data": {"train": "folder:root={faces}/0", "workers": 0, "transforms": ["flip", "noise"]},
        "optim": {"lr": 0.02},
        "train": {"threads": 1, "log_every": 1, "save_every": 1},
    }
    if path.stem not in ("metric", "scf"):
        values["model"]["head"] = "cosface:scale=16"
    if steps == STEPS:
        values["model"]["start"] = "{finished}"
    for section, changes in sections.items():
        values[section] = {**values[section], **changes}
    text = config_to_toml(config_from_dict(values))
    path.write_text(text.replace("{faces}", str(faces)).replace("{finished}", str(finished)))
    config = load_config(path)
    data = open_dataset(config.data.train)
    per_epoch = create_sampler(config, data, create_mode(config, data)).batches
    path.write_text(config_to_toml(load_config(path, {"train.epochs": str(steps / per_epoch)})))
    return path


@pytest.fixture(scope="module")
def faces(tmp_path_factory) -> Path:
    """Two folders of the same people: one pattern a person, brighter in the second, one noise an image."""
    root = tmp_path_factory.mktemp("faces")
    rng = np.random.default_rng(0)
    for person in range(PEOPLE):
        pattern = cv2.resize(rng.integers(0, 200, (4, 4, 3), dtype=np.uint8), (32, 32))
        for kind in range(2):
            for number in range(IMAGES):
                image = np.clip(pattern + 50.0 * kind + rng.normal(0, 12, pattern.shape), 0, 255).astype(np.uint8)
                write_image(root / str(kind) / f"person{person}" / f"{number}.png", image)
    return root


@pytest.fixture(scope="module")
def recipes(faces, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("recipes")
    finished = folder / "finished"
    first = folder / "conventional.toml"
    Trainer(load_config(recipe(first, faces, finished, BEFORE, MODE_SPECS["conventional"])), finished).run()
    for name, sections in MODE_SPECS.items():
        recipe(folder / f"{name}.toml", faces, finished, STEPS, sections)
    return folder


@pytest.fixture(scope="module")
def whole(recipes, tmp_path_factory) -> Path:
    """All modes, uninterrupted, in this process."""
    out = tmp_path_factory.mktemp("whole")
    for name in MODE_SPECS:
        Trainer(load_config(recipes / f"{name}.toml"), out / name).run()
    return out


@pytest.fixture(scope="module")
def still(recipes, tmp_path_factory) -> Path:
    """The same with the statistics of BatchNorm held still."""
    out = tmp_path_factory.mktemp("still")
    runs.main("still", str(recipes), str(out))
    return out


def start(count: int, *tokens: object) -> None:
    command = [sys.executable]
    if count > 1:
        command += ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*command, SCRIPT, *map(str, tokens)], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-4000:]


@pytest.fixture(scope="module")
def two_ranks(recipes, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("two")
    start(2, "still", recipes, out)
    return out


@pytest.fixture(scope="module")
def killed(recipes, tmp_path_factory) -> Path:
    """All modes, killed in the third step."""
    out = tmp_path_factory.mktemp("killed")
    start(1, "killed", recipes, out, 2)
    return out


def losses(folder: Path) -> list[dict[str, float]]:
    left_out = ("lr", "epoch", "unreadable", "images_per_second", "step", "time")
    lines = read_metrics(folder / "metrics.jsonl")
    return [{key: value for key, value in line.items() if key not in left_out} for line in lines]


@pytest.mark.parametrize("name", MODE_SPECS)
def test_a_killed_run_ends_bit_identical(recipes, whole, killed, name):
    trainer = Trainer(load_config(recipes / f"{name}.toml"), killed / name)
    assert trainer.step == 2
    trainer.run()
    uninterrupted = Trainer(load_config(recipes / f"{name}.toml"), whole / name)
    uninterrupted.folder.close()
    left, right = uninterrupted.mode.state_dict(), trainer.mode.state_dict()
    assert left.keys() == right.keys() and all(torch.equal(left[key], right[key]) for key in left)
    assert len(losses(whole / name)) == STEPS and losses(whole / name) == losses(killed / name)


@pytest.mark.parametrize("name", MODE_SPECS)
def test_two_ranks_train_as_one(still, two_ranks, name):
    alone, together = losses(still / name), losses(two_ranks / name)
    assert len(alone) == len(together) == STEPS
    for left, right in zip(alone, together, strict=True):
        assert left == pytest.approx(right, rel=2e-4, abs=1e-5)
    left, right = (load_model(folder / name / "last.safetensors")[0].state_dict() for folder in (still, two_ranks))
    for key, tensor in left.items():
        torch.testing.assert_close(right[key], tensor, rtol=1e-3, atol=1e-4, msg=key)


@pytest.mark.parametrize("name", MODE_SPECS)
def test_gradients_reach_all_that_is_trained_and_nothing_else_moves(recipes, tmp_path, name):
    trainer = Trainer(load_config(recipes / f"{name}.toml"), tmp_path)
    frozen = {key: p.clone() for key, p in trainer.mode.named_parameters() if not p.requires_grad}
    trainer.mode.train()
    found = trainer._step(trainer._batches())
    trainer.folder.close()
    assert all(torch.isfinite(loss) and loss.dim() == 0 for loss in found.values())
    for key, parameter in trainer.mode.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None and parameter.grad.to_dense().abs().sum() > 0, key
        elif "gallery" not in key:
            assert torch.equal(parameter, frozen[key]), key
