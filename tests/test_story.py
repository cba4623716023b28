"""The command line from rendered faces to a search hit, as a user would type it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from facezoo import zoo
from facezoo.cli import main

pytestmark = pytest.mark.network


def run(capsys, *tokens: object) -> str:
    """What a command that succeeds prints."""
    capsys.readouterr()
    main([str(token) for token in tokens])
    return capsys.readouterr().out


def test_from_rendered_faces_to_an_exported_model(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run(capsys, "synth", "faces", "--identities", 12, "--images", 6)
    run(capsys, "synth", "strangers", "--identities", 8, "--images", 4, "--seed", 1)
    Path("tiny.toml").write_text(
        """
name = "tiny"
[model]
backbone = "mobilefacenet:embedding_dim=32,width=0.25,input_size=48"
head = "cosface:margin=0.1,scale=16"
[data]
train = "folder:root=faces"
batch_size = 24
workers = 0
[train]
epochs = 25
threads = 1
[validation]
benchmarks = ["lfw:root=strangers,aligned=arcface,resamples=0"]
every_epochs = 25
"""
    )
    planned = run(capsys, "train", "tiny.toml", "--dry-run")
    trained = run(capsys, "train", "tiny.toml", "--optim.lr", "0.05")
    exported = json.loads(run(capsys, "export", "runs/tiny", "tiny.onnx", "--json"))
    scores = [
        json.loads(run(capsys, "evaluate", model, "lfw:root=strangers,aligned=arcface,resamples=20", "--json"))[0]
        for model in ("runs/tiny", "tiny.onnx")
    ]

    assert "identities  12" in planned
    assert "validation of the last step, 75:" in trained
    best = trained.splitlines()[-1].removeprefix("best model: runs/tiny/best.safetensors, accuracy ")
    assert float(best) == pytest.approx(scores[0]["metrics"]["accuracy"], abs=1e-4)
    assert exported["difference"] < 1e-4
    assert scores[0]["metrics"]["accuracy"] == scores[1]["metrics"]["accuracy"]
    assert scores[0]["metrics"]["auc"] > 0.75
    embedded = json.loads(run(capsys, "embed", *sorted(Path("faces/person_00000").iterdir())[:1], "--json"))
    assert embedded


def test_from_photos_to_a_search_hit(tmp_path, capsys):
    people = tmp_path / "people"
    for person, photo in (("Barack Obama", "photo-obama"), ("Joe Biden", "photo-biden")):
        (people / person).mkdir(parents=True)
        shutil.copyfile(zoo.get(photo), people / person / "1.jpg")
    probe = zoo.get("photo-obama2")
    gallery = tmp_path / "people.db"
    run(capsys, "enroll", gallery, people)
    found = json.loads(run(capsys, "search", gallery, probe, "--json"))
    same = json.loads(run(capsys, "compare", probe, zoo.get("photo-obama"), "--json"))
    other = json.loads(run(capsys, "compare", probe, zoo.get("photo-biden"), "--json"))

    best = found[0]["faces"][0]["hits"][0]
    assert best["name"] == "Barack Obama" and best["known"]
    assert same["cosine"] == pytest.approx(best["score"], abs=1e-4)
    assert same["same"] and not other["same"]
    assert np.isfinite(other["cosine"])
