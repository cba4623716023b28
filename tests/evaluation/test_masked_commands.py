"""Masked benchmarks as users meet them: scored, extracted and scored again, compared, for a threshold, in training."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from facezoo.config import ValidationConfig
from facezoo.embedder import load_embedder
from facezoo.evaluation import needs_locate
from facezoo.registry import BENCHMARKS
from facezoo.types import Contract
from facezoo.validation import create_benchmarks, validate


@pytest.fixture(scope="module")
def spec(people: Path, tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("masks") / "kept"
    return (
        f"lfw:root={people},aligned=arcface,resamples=20,masked=probe,mask_mesh=landmarks,mask_folder={folder},"
        'mask_templates=["surgical","n95"],mask_pieces=2,mask_workers=1'
    )


@pytest.fixture(scope="module")
def upper(mosaic: Path, write_mosaic) -> Path:
    """The model of the other tests on the upper half of the face; its contract lies beside it."""
    write_mosaic(mosaic / "upper.onnx", 60, 10)
    (mosaic / "upper.toml").write_text(
        'name = "upper"\ninput_size = [60, 112]\ntemplate = "arcface-upper"\nembedding_dim = 144\nflip = false\n'
        "threshold = 0.5\n"
    )
    return mosaic / "upper.onnx"


@pytest.fixture(scope="module")
def whole(mosaic: Path) -> Path:
    return mosaic / "mosaic.onnx"


def evaluated(run, model: Path, spec: str, *more: object) -> dict:
    code, said, errors = run("evaluate", model, spec, *more, "--json")
    assert code == 0, errors
    return json.loads(said)[0]


def test_the_upper_half_of_a_face_is_what_a_mask_leaves(run, mosaic: Path, whole: Path, upper: Path, spec: str):
    face = evaluated(run, whole, spec, "--contract", mosaic / "contract.toml")
    half = evaluated(run, upper, spec, "--contract", mosaic / "upper.toml")

    assert face["metrics"]["difference/auc"] < half["metrics"]["difference/auc"]
    assert half["metrics"]["auc"] > face["metrics"]["auc"]
    assert "cut to arcface-upper" in half["protocol"]["alignment"]
    words = half["protocol"]["at the model's threshold"]
    assert words.startswith("cosine 0.5000 with masks accepts") and "; without accepts" in words


def test_a_masked_benchmark_is_extracted_and_scored_again_without_a_model(
    run, mosaic: Path, whole: Path, spec: str, tmp_path: Path
):
    direct = evaluated(run, whole, spec, "--contract", mosaic / "contract.toml")
    code, said, errors = run(
        "extract", whole, spec, tmp_path / "features", "--contract", mosaic / "contract.toml", "--json"
    )
    assert code == 0, errors
    assert json.loads(said)["photos"] == len(BENCHMARKS.create(spec).photos)
    again = evaluated(run, tmp_path / "features", spec)

    assert again["metrics"] == pytest.approx(direct["metrics"], abs=1e-6)
    assert again["intervals"].keys() == direct["intervals"].keys()
    for name in ("digest of the photos", "digest of the lists", "masks"):
        assert again["protocol"][name] == direct["protocol"][name]


def test_models_are_compared_on_a_masked_benchmark(
    run, mosaic: Path, whole: Path, upper: Path, spec: str, tmp_path: Path
):
    for model, contract in ((whole, "contract.toml"), (upper, "upper.toml")):
        code, _, errors = run("extract", model, spec, tmp_path / model.stem, "--contract", mosaic / contract)
        assert code == 0, errors
    code, said, errors = run(
        "compare-models", tmp_path / "mosaic", tmp_path / "upper", "--benchmark", spec, "--json",
        "--html", tmp_path / "page.html",
    )  # fmt: skip

    assert code == 0, errors
    differences = {each["metric"]: each for each in json.loads(said)["differences"]}
    assert differences["accuracy"]["test"].startswith("McNemar") and differences["auc"]["interval"] is not None
    assert "masked/p" in (tmp_path / "page.html").read_text()


@pytest.mark.parametrize("masked", ["probe", "both"])
def test_a_threshold_for_masked_faces(run, mosaic: Path, whole: Path, people: Path, masked: str, monkeypatch, tmp_path):
    monkeypatch.setenv("FACEZOO_CACHE", str(tmp_path / "cache"))
    code, said, errors = run(
        "threshold", whole, people, "--aligned", "arcface", "--contract", mosaic / "contract.toml", "--fmr", "1e-1",
        "--masked", masked, "--resamples", 20, "--json",
    )  # fmt: skip

    assert code == 0, errors
    found = json.loads(said)
    assert found["protocol"]["masks"].startswith("on the probes" if masked == "probe" else "on all faces")
    assert found["protocol"]["genuine pairs"] == 16 * 3 * (2 if masked == "probe" else 1)
    assert found["recommended"]["fmr"] <= 0.1


def test_training_validates_with_masks(spec: str, mosaic: Path, whole: Path, tmp_path: Path):
    config = ValidationConfig([spec], metric="accuracy")
    benchmarks = create_benchmarks(config, Contract())
    embed = load_embedder(whole, contract=Contract(name="mosaic", embedding_dim=192, flip=False))
    metrics, score = validate(benchmarks, embed, config.metric, tmp_path, 7)

    assert score == metrics["lfw_masked/accuracy"] < metrics["lfw_masked/plain/accuracy"]
    assert (tmp_path / "lfw_masked-00000007.json").is_file()


def test_landmarks_are_found_once_for_raw_photos_with_masks(spec: str):
    raw = replace(BENCHMARKS.create(spec), plain=replace(BENCHMARKS.create(spec).plain, aligned=None))
    points = np.ones((5, 2))
    found = replace(raw, photos=[replace(photo, landmarks=points) for photo in raw.photos])

    assert needs_locate(raw) and not needs_locate(found)
    assert len(found.score(np.random.default_rng(0).normal(size=(len(raw.photos), 4))).metrics) > 20
