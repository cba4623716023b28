"""What photos tell about their classes: centres of new people, and images that belong to somebody else."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from facezoo.checkpoint import load_model
from facezoo.config import config_from_dict
from facezoo.embedder import load_embedder
from facezoo.head_file import HeadFile
from facezoo.identities import class_means
from facezoo.image import write_image
from facezoo.registry import DATASETS
from facezoo.train import Trainer

PEOPLE, IMAGES, NOISE = 6, 10, 3
STRAY = {("person0", "9.png"), ("person3", "9.png")}
"""These images show another person than their folder says."""


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    root = tmp_path_factory.mktemp("identities") / "faces"
    rng = np.random.default_rng(0)
    patterns = [cv2.resize(rng.integers(0, 255, (4, 4, 3), dtype=np.uint8), (32, 32)) for _ in range(PEOPLE + 1)]
    for person in range(PEOPLE):
        for number in range(IMAGES):
            stray = (f"person{person}", f"{number}.png") in STRAY
            pattern = patterns[(person + 2) % PEOPLE if stray else person]
            image = np.clip(pattern + rng.normal(0, NOISE, pattern.shape), 0, 255).astype(np.uint8)
            write_image(root / f"person{person}" / f"{number}.png", image)
    for number in range(4):
        image = np.clip(patterns[-1] + rng.normal(0, NOISE, patterns[-1].shape), 0, 255).astype(np.uint8)
        write_image(root.parent / "more" / "zoe" / f"{number}.png", image)
    return root


@pytest.fixture(scope="module")
def trained(faces, tmp_path_factory):
    """A run with two centres a class, long enough to tell the patterns apart."""
    out = tmp_path_factory.mktemp("identities-run")
    values = {
        "model": {
            "backbone": "mobilefacenet:embedding_dim=16,width=0.25,input_size=[32,32]",
            "head": "cosface:scale=16,margin=0.1",
            "sub_centres": 2,
        },
        "data": {"train": f"folder:root={faces}", "batch_size": 16, "workers": 0},
        "optim": {"lr": 0.05},
        "train": {"epochs": 25, "threads": 1},
    }
    Trainer(config_from_dict(values), out).run()
    return out


def test_images_of_somebody_else_are_left_out_of_the_list(faces, trained, run, tmp_path):
    out = tmp_path / "clean.txt"
    data, main = f"folder:root={faces}", tmp_path / "head.safetensors"
    code, printed, error = run("head", "clean", trained, trained, data, out, "--angle", 60, "--head-out", main)
    assert code == 0, error
    dropped = {
        tuple(line.split("\t")[0].split("/")) for line in (tmp_path / "clean.dropped.txt").read_text().split("\n")[:-1]
    }
    assert dropped == STRAY
    assert "58 images stay, 2 (3.3%) go to" in printed
    assert f"train on list:path={out},root={faces}" in printed
    kept = DATASETS.create(f"list:path={out},root={faces}")
    assert len(kept) == PEOPLE * IMAGES - len(STRAY)
    assert kept.classes == [f"person{k}" for k in range(PEOPLE)]
    assert HeadFile.read(main).weight.shape == (PEOPLE, 16)


def test_the_list_of_a_cleaned_folder_trains_from_the_main_centres(faces, trained, run, tmp_path):
    out, main = tmp_path / "clean.txt", tmp_path / "head.safetensors"
    code, _, error = run(
        "head", "clean", trained, trained, f"folder:root={faces}", out, "--angle", 60, "--head-out", main
    )
    assert code == 0, error
    values = {
        "model": {
            "backbone": "mobilefacenet:embedding_dim=16,width=0.25,input_size=[32,32]",
            "head": "cosface:scale=16,margin=0.1",
            "start": str(trained),
            "start_head": str(main),
        },
        "data": {"train": f"list:path={out},root={faces}", "batch_size": 16, "workers": 0},
        "train": {"epochs": 1, "threads": 1},
    }
    again = Trainer(config_from_dict(values), tmp_path / "run")
    assert again.data.classes == HeadFile.read(main).classes == [f"person{person}" for person in range(PEOPLE)]
    assert torch.equal(again.mode.head.weight.detach(), HeadFile.read(main).weight)
    again.run()


def test_a_head_with_one_centre_a_class_cannot_clean(faces, trained, run, tmp_path):
    one = HeadFile("cosface", [f"person{i}" for i in range(PEOPLE)], torch.randn(PEOPLE, 16))
    one.write(tmp_path / "one.safetensors")
    code, _, error = run(
        "head", "clean", tmp_path / "one.safetensors", trained, f"folder:root={faces}", tmp_path / "out"
    )
    assert code == 2 and "one centre a class" in error


def test_a_new_persons_centre_points_to_the_mean_of_their_photos(faces, trained, run, tmp_path):
    out = tmp_path / "more.safetensors"
    more = f"folder:root={faces.parent / 'more'}"
    code, _, error = run("head", "add", trained, out, "--data", more, "--model", trained)
    assert code == 0, error
    head = HeadFile.read(out)
    assert head.classes[-1] == "zoe"
    means = class_means(DATASETS.create(more), ["zoe"], load_embedder(trained))
    assert torch.cosine_similarity(head.weight[-1], means[0][None], dim=1).min() > 1 - 1e-5


def test_a_head_starts_another_run_on_ones_own_people(faces, trained, tmp_path):
    values = {
        "model": {
            "backbone": "mobilefacenet:embedding_dim=16,width=0.25,input_size=[32,32]",
            "head": "cosface:scale=16,margin=0.1",
            "sub_centres": 2,
            "start": str(trained),
            "start_head": str(trained),
        },
        "data": {"train": f"folder:root={faces}", "batch_size": 16, "workers": 0},
        "train": {"epochs": 1, "threads": 1},
    }
    fresh = Trainer(config_from_dict(values), tmp_path)
    assert torch.equal(fresh.mode.head.weight.detach(), HeadFile.read(trained).weight)
    start = load_model(trained)[0].state_dict()
    assert all(torch.equal(fresh.backbone.state_dict()[name], start[name]) for name in start)
    fresh.folder.close()
