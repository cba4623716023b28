"""The training loop: it learns, it resumes bit by bit, and every option acts."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from facezoo.checkpoint import load_model
from facezoo.config import Config, config_from_dict, config_to_toml
from facezoo.data.loader import Order, Samples, create_loader
from facezoo.data.transforms import create_transforms
from facezoo.embedder import load_embedder
from facezoo.export import export_onnx
from facezoo.image import write_image
from facezoo.plan import describe
from facezoo.registry import DATASETS
from facezoo.run import read_metrics
from facezoo.train import Trainer
from facezoo.types import InputError, unit

PEOPLE, IMAGES = 6, 8


@pytest.fixture(scope="module")
def faces(tmp_path_factory) -> Path:
    """Identity folders of coloured patterns: one pattern a person, one noise an image."""
    root = tmp_path_factory.mktemp("faces")
    rng = np.random.default_rng(0)
    for person in range(PEOPLE):
        pattern = cv2.resize(rng.integers(0, 255, (4, 4, 3), dtype=np.uint8), (32, 32), interpolation=cv2.INTER_LINEAR)
        for number in range(IMAGES):
            noise = rng.normal(0, 12, pattern.shape)
            image = np.clip(pattern + noise, 0, 255).astype(np.uint8)
            write_image(root / f"person{person}" / f"{number}.png", image)
    return root


def config(root: Path, **sections) -> Config:
    values = {
        "name": "tiny",
        "model": {
            "backbone": "mobilefacenet:embedding_dim=16,width=0.25,input_size=[32,32]",
            "head": "cosface:scale=16",
        },
        "data": {"train": f"folder:root={root}", "batch_size": 16, "workers": 0, "transforms": ["flip", "noise"]},
        "optim": {"lr": 0.05},
        "train": {"epochs": 4, "threads": 1, "log_every": 1, "save_every": 1},
    }
    for section, changes in sections.items():
        values[section] = {**values.get(section, {}), **changes}
    return config_from_dict(values)


def weights(path: Path) -> dict[str, torch.Tensor]:
    return load_model(path)[0].state_dict()


def equal(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[key], right[key]) for key in left)


def test_it_learns_to_tell_the_patterns_apart(faces, tmp_path):
    run = Trainer(config(faces, train={"epochs": 30, "save_every": 0}, schedule={"warmup_epochs": 2}), tmp_path)
    run.run()

    data = DATASETS.create(f"folder:root={faces}")
    embeddings = unit(load_embedder(tmp_path)([data.read(i) for i in range(len(data))]))
    cosine = embeddings @ embeddings.T
    same = data.labels[:, None] == data.labels[None]
    assert cosine[same].mean() > cosine[~same].mean() + 0.5


def test_a_killed_run_ends_bit_identical(faces, tmp_path):
    settings = config(faces, optim={"ema": 0.9}, train={"epochs": 6})
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(config_to_toml(settings))
    Trainer(settings, tmp_path / "whole").run()

    killed = tmp_path / "killed"
    command = [sys.executable, "-m", "facezoo", "train", str(recipe), "--out", str(killed)]
    for steps in (3, 11):  # killed twice, somewhere after these steps, wherever it is then
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and logged(killed) < steps:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert process.returncode == -signal.SIGKILL
    subprocess.run(command, check=True, capture_output=True)

    for name in ("last.safetensors", "best.safetensors"):
        assert equal(weights(tmp_path / "whole" / name), weights(killed / name))
    whole, resumed = (read_metrics(folder / "metrics.jsonl") for folder in (tmp_path / "whole", killed))
    assert [line["loss"] for line in whole] == [line["loss"] for line in resumed]


def logged(folder: Path) -> int:
    path = folder / "metrics.jsonl"
    return len(path.read_text().splitlines()) if path.exists() else 0


@pytest.mark.parametrize("step", [1, 2, 5, 7])
def test_resuming_at_any_step_changes_nothing(faces, tmp_path, step):
    settings = config(faces, train={"save_every": step, "epochs": 3}, optim={"accumulate": 1, "ema": 0.5})
    Trainer(settings, tmp_path / "whole").run()

    first = Trainer(settings, tmp_path / "parts")
    first.total = step  # stops early, with its state saved
    schedule_total = Trainer(settings, tmp_path / "other").total
    first_batches = first._batches()
    first.total = schedule_total
    first.mode.train()
    for _ in range(step):
        first._step(first_batches)
        first.step += 1
    first._save()
    Trainer(settings, tmp_path / "parts").run()

    assert equal(weights(tmp_path / "whole" / "last.safetensors"), weights(tmp_path / "parts" / "last.safetensors"))


@pytest.mark.parametrize(
    "sections",
    [
        {"train": {"amp": "bf16"}},
        {"train": {"amp": "fp16"}},
        {"train": {"channels_last": False}},
        {"optim": {"name": "adamw", "lr": 0.001}},
        {"optim": {"clip_norm": 0.01}},
        {"optim": {"accumulate": 2}, "data": {"batch_size": 8}},
        {"optim": {"ema": 0.5}},
        {"optim": {"nesterov": True}},
        {"optim": {"weight_decay": 0.5}},
        {"optim": {"weight_decay": 0.5, "decay_norms": True}},
        {"optim": {"head_lr_scale": 10.0}},
        {"schedule": {"name": "step", "milestones": [0.5]}},
        {"schedule": {"name": "polynomial"}},
        {"model": {"loss": "focal"}},
        {"model": {"head": "arcface"}},
        {"data": {"transforms": []}},
        {"train": {"seed": 1}},
    ],
    ids=str,
)
def test_every_option_changes_the_weights_and_stays_finite(plain, faces, tmp_path, sections):
    merged = {**sections, "train": {"epochs": 1, **sections.get("train", {})}}
    Trainer(config(faces, **merged), tmp_path).run()
    changed = weights(tmp_path / "last.safetensors")

    assert not equal(plain, changed)
    assert all(torch.isfinite(tensor).all() for tensor in changed.values())


@pytest.fixture(scope="module")
def plain(faces, tmp_path_factory) -> dict[str, torch.Tensor]:
    folder = tmp_path_factory.mktemp("plain")
    Trainer(config(faces, train={"epochs": 1}), folder).run()
    return weights(folder / "last.safetensors")


def test_batches_do_not_depend_on_the_workers(faces):
    data = DATASETS.create(f"folder:root={faces}")
    samples = Samples(data, create_transforms(["flip", "noise"]), (32, 32), seed=3)
    order = Order(len(data), 8, per_epoch=6, seed=3, start=4, stop=10)
    alone, together = (list(create_loader(samples, order, workers, False)) for workers in (0, 2))

    assert len(alone) == len(together) == 6
    for left, right in zip(alone, together, strict=True):
        assert torch.equal(left.crops, right.crops) and torch.equal(left.labels, right.labels)


def test_every_image_is_seen_once_an_epoch_in_a_new_order():
    places = [place for batch in Order(48, 8, per_epoch=6, seed=0, start=0, stop=12) for place in batch]
    first, second = [p.sample for p in places[:48]], [p.sample for p in places[48:]]

    assert sorted(first) == sorted(second) == list(range(48))
    assert first != second


def test_an_unreadable_file_is_replaced_and_counted(faces, tmp_path):
    for person in range(2):
        for number in range(8):
            path = tmp_path / "data" / f"p{person}" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes((faces / f"person{person}" / f"{number}.png").read_bytes())
    (tmp_path / "data" / "p0" / "3.png").write_bytes(b"\x89PNG broken")
    Trainer(config(tmp_path / "data", train={"epochs": 1}), tmp_path / "run").run()

    assert read_metrics(tmp_path / "run" / "metrics.jsonl")[-1]["unreadable"] == 1


def test_a_diverged_run_stops_with_the_losses_name(faces, tmp_path):
    with pytest.raises(InputError, match=r"not finite .*classification"):
        Trainer(config(faces, optim={"lr": 1e30}, train={"epochs": 20}), tmp_path).run()


def test_a_folder_of_another_config_is_refused(faces, tmp_path):
    Trainer(config(faces), tmp_path)
    with pytest.raises(InputError, match="another config"):
        Trainer(config(faces, optim={"lr": 0.2}), tmp_path)


def test_fine_tuning_starts_from_a_model_file(faces, tmp_path):
    Trainer(config(faces, train={"epochs": 1}), tmp_path / "first").run()
    start = tmp_path / "first" / "last.safetensors"
    second = Trainer(config(faces, model={"start": str(start)}), tmp_path / "second")

    assert equal(second.backbone.state_dict(), weights(start))


def test_the_exported_model_gives_the_same_embeddings(faces, tmp_path):
    Trainer(config(faces, train={"epochs": 2}), tmp_path / "run").run()
    out = tmp_path / "model.onnx"
    parity = export_onnx(tmp_path / "run", out)

    data = DATASETS.create(f"folder:root={faces}")
    crops = [data.read(index) for index in range(7)]
    torch_side, onnx_side = load_embedder(tmp_path / "run"), load_embedder(out)
    assert parity.difference < 1e-4 and parity.cosine > 0.9999
    assert np.abs(torch_side(crops) - onnx_side(crops)).max() < 1e-4 * np.abs(torch_side(crops)).max()
    assert onnx_side.contract.name == torch_side.contract.name == "tiny"


def test_a_wrong_export_is_not_written(faces, tmp_path, monkeypatch):
    Trainer(config(faces, train={"epochs": 1}), tmp_path / "run").run()
    monkeypatch.setattr("facezoo.export.onnx.TOLERANCE", -1.0)
    with pytest.raises(InputError, match="not written"):
        export_onnx(tmp_path / "run", tmp_path / "model.onnx")

    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_describe_writes_nothing(faces, tmp_path):
    text = describe(config(faces))

    assert "identities  6" in text and "steps       12" in text
    assert list(tmp_path.iterdir()) == []
