"""facezoo extract, and its folder in the place of a model."""

import json
import subprocess
import sys

import numpy as np
import pytest

from facezoo.embedder import Embedder
from facezoo.evaluation.feature_file import FeatureFile
from facezoo.image import write_image
from facezoo.registry import EMBEDDERS
from facezoo.types import Contract


@EMBEDDERS.register(name="test-mosaic")
class Mosaic(Embedder):
    """Means of 4 x 4 blocks."""

    def __init__(self) -> None:
        super().__init__(
            Contract(name="mosaic", input_size=(16, 16), embedding_dim=48, flip=True, weights_sha256="0" * 64)
        )

    def forward(self, batch):
        return batch.reshape(len(batch), 3, 4, 4, 4, 4).mean(axis=(3, 5)).reshape(len(batch), 48)


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    root = tmp_path_factory.mktemp("command") / "people"
    generator = np.random.default_rng(0)
    for person in range(4):
        face = generator.integers(0, 200, (16, 16, 3))
        for photo in range(3):
            noisy = face + generator.integers(0, 40, face.shape)
            write_image(root / f"p{person}" / f"{photo}.png", noisy.astype(np.uint8))
    return root


def test_features_are_extracted_and_scored_as_the_model_is(people, tmp_path, run):
    spec = f"folder:root={people},aligned=arcface,folds=3,resamples=0"

    code, out, _ = run("extract", "test-mosaic", people, tmp_path / "out", "--aligned", "arcface", "--dtype", "float16")

    assert code == 0
    assert out.startswith(f"{tmp_path / 'out'}: 12 photos, 12 of them now")
    assert FeatureFile(tmp_path / "out").embeddings.dtype == np.float16
    (stored,) = json.loads(run("evaluate", tmp_path / "out", spec, "--json")[1])
    (direct,) = json.loads(run("evaluate", "test-mosaic", spec, "--json")[1])
    assert stored["metrics"] == pytest.approx(direct["metrics"], abs=1e-3)
    assert stored["contract"] == direct["contract"]
    assert stored["protocol"]["embeddings"].startswith("read from out")


def test_a_benchmark_is_extracted_by_its_spec_and_found_again(people, tmp_path, run):
    spec = f"folder:root={people},aligned=arcface,folds=3,resamples=0"
    counts = json.loads(run("extract", "test-mosaic", spec, tmp_path / "out", "--halves", "--json")[1])
    assert counts["photos"] == 12
    for flip in ("--flip", "--no-flip"):
        (stored,) = json.loads(run("evaluate", tmp_path / "out", spec, flip, "--json")[1])
        (direct,) = json.loads(run("evaluate", "test-mosaic", spec, flip, "--json")[1])
        assert stored["metrics"] == pytest.approx(direct["metrics"], abs=1e-6)


def test_scoring_features_imports_no_torch(people, tmp_path, run):
    run("extract", "test-mosaic", people, tmp_path / "out", "--aligned", "arcface")
    spec = f"folder:root={people},aligned=arcface,folds=3,resamples=0"
    code = (
        f"import sys; from facezoo.cli import main; main(['evaluate', {str(tmp_path / 'out')!r}, {spec!r}])\n"
        "sys.exit(f'imported: {heavy}' if (heavy := {'torch', 'onnxruntime'} & set(sys.modules)) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "folder" in done.stdout or "people" in done.stdout


@pytest.mark.parametrize(
    ("tokens", "words"),
    [
        (["extract", "test-mosaic", "/nowhere", "{out}"], "no such file or folder"),
        (["extract", "test-mosaic", "{people}", "{out}", "--aligned", "nose"], "unknown template 'nose'"),
        (["extract", "test-mosaic", "{people}", "{out}", "--batch-size", "0"], "--batch-size is 0"),
        (["evaluate", "{done}", "folder:root={other},folds=2,aligned=arcface"], "has no embedding of"),
        (["evaluate", "{done}", "folder:root={people}", "--features", "x"], "leave --contract and --features out"),
        (["evaluate", "{done}", "folder:root={people}", "--no-flip"], "was extracted with flip"),
    ],
)
def test_what_cannot_be_extracted_or_scored_is_one_sentence(people, tmp_path, run, tokens, words):
    for name in ("a/1.png", "a/2.png", "b/1.png"):
        write_image(tmp_path / "other" / name, np.zeros((16, 16, 3), np.uint8))
    run("extract", "test-mosaic", people, tmp_path / "done", "--aligned", "arcface")
    places = {"people": people, "out": tmp_path / "out", "done": tmp_path / "done", "other": tmp_path / "other"}

    code, out, errors = run(*(token.format(**places) for token in tokens))

    assert (code, out) == (2, "")
    assert errors.splitlines()[-1].startswith("facezoo: ")
    assert words in errors
