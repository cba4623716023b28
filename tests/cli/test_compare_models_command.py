"""`facezoo compare-models` from files and folders of features to table, JSON, Markdown and page."""

import json

import numpy as np
import pytest

from facezoo.cli.compare_models import model_names
from facezoo.evaluation.feature_file import DONE, FeatureWriter, Header, begin, names_digest
from facezoo.image import write_image
from facezoo.types import Contract, InputError

NAMES = [f"p{person}/{k}.png" for person in range(30) for k in range(3)]


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """Photos of thirty people, and two folders of features of them."""
    folder = tmp_path_factory.mktemp("compare")
    generator = np.random.default_rng(0)
    for name in NAMES:
        write_image(folder / "photos" / name, generator.integers(0, 256, (32, 32, 3), np.uint8))
    centres = np.repeat(generator.normal(size=(30, 8)), 3, axis=0)
    for model, spread in (("good", 0.3), ("bad", 1.5)):
        contract = Contract(name=model, embedding_dim=8, flip=False)
        begin(folder / model, Header(len(NAMES), contract, model, names_digest(NAMES), "as given"), NAMES)
        embeddings = (centres + spread * generator.normal(size=centres.shape)).astype(np.float32)
        FeatureWriter(folder / model).write(0, embeddings, np.full(len(NAMES), DONE, np.uint8))
    return folder


def test_models_are_compared_without_their_weights(run, work, tmp_path):
    spec = f"folder:root={work / 'photos'},aligned=arcface,folds=3"
    files = {kind: tmp_path / f"comparison.{kind}" for kind in ("json", "md", "html")}

    code, said, errors = run(
        "compare-models", work / "good", work / "bad", "--benchmark", spec, "--resamples", 40, "--seed", 1,
        "--out", files["json"], "--markdown", files["md"], "--html", files["html"],
    )  # fmt: skip

    assert code == 0, errors
    assert "photos/accuracy" in said and "McNemar" in said and "good - bad" in said
    found = json.loads(files["json"].read_text())
    assert found["models"] == ["good", "bad"]
    assert "40 resamples, seed 1" in found["differences"][0]["interval"]["method"]
    assert "| metric | good | bad |" in files["md"].read_text()
    assert "good is right, bad is wrong" in files["html"].read_text()


def test_several_benchmarks_are_compared_at_once_and_printed_as_json(run, work):
    asked = [
        f"folder:root={work / 'photos'},aligned=arcface,folds=3",
        f"identify:root={work / 'photos'},aligned=arcface",
    ]
    options = [word for spec in asked for word in ("--benchmark", spec)]
    code, said, errors = run("compare-models", work / "good", work / "bad", *options, "--resamples", 20, "--json")
    assert code == 0, errors
    assert {each["metric"] for each in json.loads(said)["differences"]} >= {"accuracy", "eer", "rank1"}


@pytest.mark.parametrize(
    ("tokens", "words"),
    [
        (["{work}/good", "--benchmark", "{spec}"], "two models or more"),
        (["{work}/good", "{work}/bad"], "--benchmark: none is given"),
        (["{work}/good", "{work}/good", "--benchmark", "{spec}"], "a model is given twice"),
        (["{work}/good", "{work}/good", "--benchmark", "lfw:root=/nowhere"], "a model is given twice"),
        (["{work}/good", "nothing.onnx", "--benchmark", "lfw:root=/nowhere"], "nothing.onnx: no such file"),
        (["{work}/good", "nothing.onnx", "--benchmark", "{spec}"], "no such file"),
    ],
)
def test_what_cannot_be_compared_is_one_sentence(run, work, tokens, words):
    spec = f"folder:root={work / 'photos'},aligned=arcface,folds=3,resamples=0"
    code, said, errors = run("compare-models", *(token.format(work=work, spec=spec) for token in tokens))
    assert (code, said) == (2, "")
    assert words in errors and len(errors.splitlines()) == 1


def test_models_are_named_by_as_much_of_their_paths_as_tells_them_apart():
    assert model_names(["runs/a/model.onnx", "runs/b/model.onnx"]) == ["a/model.onnx", "b/model.onnx"]
    assert model_names(["dlib-resnet29", "x/y.onnx"]) == ["dlib-resnet29", "y.onnx"]
    both = 'ensemble:models=["runs/a","runs/b"]'
    assert model_names([both, "runs/a"]) == [both, "a"]
    with pytest.raises(InputError, match="twice"):
        model_names(["a", "a"])
