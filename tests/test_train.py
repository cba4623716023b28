"""The training loop: it learns, it resumes bit by bit, and every option acts."""

from __future__ import annotations

import json
import shutil
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
from facezoo.config import Config, config_from_dict, config_to_toml, load_config
from facezoo.data.loader import Order, Place, Samples, create_loader
from facezoo.data.samplers import Shuffle
from facezoo.data.transforms import create_transforms
from facezoo.dry_run import dry_run
from facezoo.embedder import load_embedder
from facezoo.evaluation.photos import Crops, Photo
from facezoo.export import export_onnx
from facezoo.image import write_image
from facezoo.registry import DATASETS
from facezoo.run import RunFolder, read_metrics
from facezoo.train import Trainer
from facezoo.types import Contract, InputError, unit

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
    first.folder.close()
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
        {"optim": {"groups": ["head:lr_scale=10"]}},
        {"schedule": {"name": "step", "milestones": [0.5]}},
        {"schedule": {"name": "polynomial"}},
        {"model": {"loss": "focal"}},
        {"model": {"head": "arcface"}},
        {"data": {"transforms": []}},
        {"data": {"sampler": "balanced"}},
        {"data": {"sampler": "identities:each=4"}},
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
    order = Order(Shuffle(data.labels, 8, 1, seed=3), start=4, stop=10)
    alone, together = (list(create_loader(samples, order, workers, False)) for workers in (0, 2))

    assert len(alone) == len(together) == 6
    for left, right in zip(alone, together, strict=True):
        assert torch.equal(left.crops, right.crops) and torch.equal(left.labels, right.labels)


def test_workers_start_after_opencv_has_started_its_threads(faces):
    code = f"""
import cv2, numpy as np
from facezoo.data.loader import Order, Samples, create_loader
from facezoo.data.samplers import Shuffle
from facezoo.data.transforms import create_transforms
from facezoo.registry import DATASETS
cv2.setNumThreads(4)
for _ in range(20):
    cv2.GaussianBlur(np.zeros((1500, 1500, 3), np.uint8), (31, 31), 5)
data = DATASETS.create("folder:root={faces}")
samples = Samples(data, create_transforms(["flip"]), (16, 16), seed=0)
order = Order(Shuffle(data.labels, 8, 1, 0), start=0, stop=6)
print(len(list(create_loader(samples, order, 2, False))), cv2.getNumThreads())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["6", "4"], done.stderr


def test_training_sees_the_crops_that_evaluation_embeds(faces):
    data, size = DATASETS.create(f"folder:root={faces}"), (24, 20)
    crop = Samples(data, create_transforms([]), size, seed=0)[Place(0, 0, 5)].crop
    (evaluated,) = Crops([Photo("5", Path(data.name(5)))], Contract(input_size=size), "arcface")

    np.testing.assert_array_equal(crop, evaluated)


def test_every_image_is_seen_once_an_epoch_in_a_new_order():
    sampler = Shuffle(np.zeros(48, np.int64), 8, 1, 0)
    places = [place for batch in Order(sampler, start=0, stop=12) for place in batch]
    first, second = [p.sample for p in places[:48]], [p.sample for p in places[48:]]

    assert sorted(first) == sorted(second) == list(range(48))
    assert first != second


def test_several_sets_train_with_weights_and_label_spaces(faces, tmp_path):
    sets = f'multi:sets=["folder:root={faces}","folder:root={faces}"],weights=[1,0.5]'
    together = Trainer(config(faces, data={"train": sets}, train={"epochs": 2}), tmp_path / "together")
    apart = Trainer(config(faces, data={"train": f"{sets},separate=true"}, train={"epochs": 2}), tmp_path / "apart")

    assert together.steps_per_epoch == apart.steps_per_epoch == 72 // 16
    assert together.mode.head.spaces is None and apart.mode.head.spaces.tolist() == [0] * PEOPLE + [1] * PEOPLE
    losses = []
    for trainer in (apart, together):
        trainer.run()
        losses.append(read_metrics(trainer.folder.metrics_file)[-1]["loss"])
    assert losses[0] < losses[1], "who is in both sets is his own hardest negative"


def test_weights_that_a_sampler_would_not_heed_are_refused(faces, tmp_path):
    sets = f'multi:sets=["folder:root={faces}"],weights=[2]'
    with pytest.raises(InputError, match="'pairs' does not take the weights of the data; write shuffle"):
        Trainer(config(faces, data={"train": sets, "sampler": "pairs"}), tmp_path)


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


def test_a_run_killed_before_its_first_state_logs_no_step_twice(faces, tmp_path):
    settings = config(faces, train={"epochs": 1})
    folder = RunFolder(tmp_path, settings)
    folder.begin()
    for step in (1, 2):
        folder.log(step, {"loss": 9.0})
    folder.close()
    with folder.metrics_file.open("a") as file:
        file.write('{"step": 3, "lo')  # cut off by the kill
    Trainer(settings, tmp_path).run()

    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2, 3]
    assert 9.0 not in [json.loads(line)["loss"] for line in lines]


def test_tensorboard_keeps_the_points_up_to_the_state(faces, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for start, steps in ((0, (1, 2, 3)), (2, (3, 4))):
        folder = RunFolder(tmp_path, config(faces))
        for step in steps:
            folder.log(step, {"loss": 0.0}, start)
        folder.close()
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()

    assert [point.step for point in events.Scalars("loss")] == [1, 2, 3, 4]


def test_unreadable_files_are_counted_over_the_whole_run(faces, tmp_path):
    root = shutil.copytree(faces, tmp_path / "data")
    (root / "person0" / "3.png").write_bytes(b"\x89PNG broken")
    settings = config(root, train={"epochs": 2})
    first = Trainer(settings, tmp_path / "run")
    first.total = first.steps_per_epoch
    first.run()
    Trainer(settings, tmp_path / "run").run()

    assert read_metrics(tmp_path / "run" / "metrics.jsonl")[-1]["unreadable"] == 2


def test_a_run_is_not_continued_on_other_data(faces, tmp_path):
    root = shutil.copytree(faces, tmp_path / "data")
    settings = config(root, train={"epochs": 1})
    Trainer(settings, tmp_path / "run").run()
    (root / "person0" / "3.png").unlink()

    with pytest.raises(InputError, match="data has changed"):
        Trainer(settings, tmp_path / "run")


def test_workers_and_log_steps_may_change_within_a_run(faces, tmp_path):
    Trainer(config(faces), tmp_path)
    settings = config(faces, data={"workers": 1}, train={"log_every": 5, "save_every": 2})
    Trainer(settings, tmp_path)

    assert load_config(tmp_path / "config.toml") == settings


@pytest.mark.parametrize(
    "sections",
    [
        {"data": {"transforms": ["fliip"]}},
        {"data": {"template": "arcfaces"}},
        {"data": {"batch_size": 1000}},
        {"model": {"head": "arcfaces"}},
    ],
    ids=str,
)
def test_a_config_that_cannot_run_leaves_no_folder(faces, tmp_path, sections):
    with pytest.raises(InputError):
        Trainer(config(faces, **sections), tmp_path / "run")

    assert not (tmp_path / "run").exists()


def validated(faces: Path, **changes) -> Config:
    spec = f"folder:root={faces},pairs=40,folds=2,resamples=0,aligned=arcface"
    return config(faces, train={"epochs": 1}, validation={"benchmarks": [spec], **changes})


def test_a_finished_run_still_tells_its_metrics(faces, tmp_path):
    metrics = Trainer(validated(faces), tmp_path).run()

    assert metrics[f"{faces.name}/accuracy"] > 0
    assert Trainer(validated(faces), tmp_path).run() == metrics


def test_what_validation_could_not_use_stops_before_training(faces, tmp_path):
    spec = validated(faces).validation.benchmarks[0]
    with pytest.raises(InputError, match="two are named"):
        Trainer(validated(faces, benchmarks=[spec, spec]), tmp_path)
    with pytest.raises(InputError, match="aligned to 'dlib'"):
        Trainer(validated(faces, benchmarks=[spec.replace("arcface", "dlib")]), tmp_path)
    with pytest.raises(InputError, match="does not measure 'acuracy'"):
        Trainer(validated(faces, metric="acuracy"), tmp_path).run()


def test_a_dry_run_notices_what_cannot_be_made(faces):
    with pytest.raises(InputError, match="fliip"):
        dry_run(config(faces, data={"transforms": ["fliip"]}))
    with pytest.raises(InputError, match="lfww"):
        dry_run(config(faces, validation={"benchmarks": ["lfww"]}))


def test_a_folder_of_another_config_is_refused(faces, tmp_path):
    Trainer(config(faces, train={"epochs": 1}), tmp_path).run()
    with pytest.raises(InputError, match="another config"):
        Trainer(config(faces, optim={"lr": 0.2}), tmp_path)


def test_a_folder_in_which_no_run_came_to_a_result_is_taken_over(faces, tmp_path):
    Trainer(config(faces), tmp_path).folder.close()
    Trainer(config(faces, optim={"lr": 0.2}), tmp_path)

    assert load_config(tmp_path / "config.toml").optim.lr == 0.2


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
    with pytest.raises(InputError, match="the models of an ensemble one by one"):
        export_onnx(Path('ensemble:models=["run","run"]'), tmp_path / "model.onnx")


def test_a_dry_run_writes_nothing(faces, tmp_path):
    text = dry_run(config(faces)).text()

    assert "identities  6" in text and "steps       12" in text
    assert list(tmp_path.iterdir()) == []


def test_two_processes_do_not_train_in_one_folder(faces, tmp_path):
    first = Trainer(config(faces), tmp_path)
    with pytest.raises(InputError, match="another process trains"):
        Trainer(config(faces), tmp_path)
    first.folder.close()

    Trainer(config(faces), tmp_path)
