"""`facezoo threshold` from photos to a threshold in a copy of the model."""

import json
import math

import pytest

from facezoo.embedder import load_embedder
from facezoo.evaluation.calibration import read_calibration
from facezoo.evaluation.operating import angle, squared_distance
from facezoo.evaluation.report import shown_cosine


@pytest.fixture(scope="module")
def work(mosaic, write_patterns):
    """The model of the other commands' tests, and crops of 24 people in two groups."""
    names = [f"p{person:02}" for person in range(24)]
    write_patterns(mosaic / "crops", names, blocks=90)
    rows = [f"{name}/{k}.png,{'ab'[place % 2]}" for place, name in enumerate(names) for k in range(3)]
    (mosaic / "groups.csv").write_text("\n".join(["path,group", *rows]))
    return mosaic


@pytest.fixture
def threshold(work, run):
    def threshold(*tokens):
        given = ["--aligned", "arcface", "--contract", work / "contract.toml", "--resamples", "50"]
        return run("threshold", work / "mosaic.onnx", work / "crops", *given, *tokens)

    return threshold


def test_a_threshold_is_recommended_written_and_used(work, threshold, run, tmp_path):
    copy = tmp_path / "copy.onnx"

    code, printed, errors = threshold("--fmr", "1e-2", "--fmr", "1e-5", "--write", copy)

    assert code == 0, errors
    assert "24 people" in printed
    assert "recommended for FMR 1e-2: cosine" in printed
    assert "not measurable" in printed
    assert "extrapolated, not measured: FMR 1e-5" in printed
    assert "few people" in printed
    stated = load_embedder(copy).contract
    assert f"cosine {shown_cosine(stated.threshold)} and above" in printed
    assert f"{shown_cosine(squared_distance(stated.threshold))} and below" in printed
    assert f"{math.floor(1e4 * angle(stated.threshold)) / 1e4:.4f} degrees" in printed
    assert float(shown_cosine(stated.threshold)) == stated.threshold
    code, printed, _ = run("evaluate", copy, f"folder:root={work / 'crops'},aligned=arcface,resamples=0")
    assert "at the model's threshold" in printed


def test_the_json_has_points_groups_and_the_whole_report(work, threshold):
    code, printed, errors = threshold("--fmr", "1e-2", "--groups", work / "groups.csv", "--json")

    assert code == 0, errors
    found = json.loads(printed)
    assert found["recommended"] == found["points"][0]
    assert found["recommended"]["fmr"] <= 1e-2
    threshold = found["recommended"]["threshold"]
    assert found["metrics"]["threshold@far=1e-2"] < threshold == round(threshold, 6)
    assert found["tables"]["Thresholds"][0][0] == "FMR wanted"
    assert "Groups at FMR 1e-2" in " ".join(found["tables"])
    assert "a/fnmr@far=1e-2" in found["metrics"]


def test_embeddings_that_were_extracted_stand_in_the_place_of_the_model(work, threshold, run, tmp_path):
    _, printed, _ = threshold("--fmr", "1e-2")
    crops, given = work / "crops", ["--aligned", "arcface"]
    contract = ["--contract", work / "contract.toml"]
    code, _, errors = run("extract", work / "mosaic.onnx", crops, tmp_path / "f", *given, *contract)
    assert code == 0, errors
    code, stored, errors = run("threshold", tmp_path / "f", crops, *given, "--resamples", "50", "--fmr", "1e-2")
    assert code == 0 and stored == printed, errors


def test_a_page_a_report_and_a_calibration_are_written(threshold, tmp_path):
    page, out, calibration = tmp_path / "t.html", tmp_path / "t.json", tmp_path / "c.json"

    code, printed, errors = threshold(
        "--calibrate", calibration, "--calibration", "isotonic", "--html", page, "--out", out, "--features", tmp_path
    )

    assert code == 0, errors
    found = read_calibration(calibration)
    assert found.contract.name == "mosaic"
    assert len(found.data) == 64
    assert 0 <= found.min_cllr <= found.cllr
    assert found(0.99) > 0 > found(0.0)
    text = page.read_text()
    assert "mosaic" in text and "Recommended for FMR 1e-3: cosine" in text
    card = text.index("recommended threshold, cosine")
    assert text.index('<div class="headline">') < card < text.index('<div class="figures">')
    assert json.loads(out.read_text())[0]["name"] == "crops"
    assert "isotonic calibration, Cllr" in printed


@pytest.mark.parametrize(
    ("tokens", "words"),
    [
        (["--fmr", "2"], "no rate of false matches"),
        (["--write", "copy.safetensors"], "ends with .onnx"),
        (["--batch-size", "0"], "--batch-size"),
        (["--groups", "nothing.csv"], "nothing.csv: no such file"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(threshold, tmp_path, monkeypatch, tokens, words):
    monkeypatch.chdir(tmp_path)
    code, printed, errors = threshold(*tokens)
    assert (code, printed) == (2, "")
    assert words in errors.splitlines()[-1]
    assert not list(tmp_path.glob("copy*"))


def test_without_a_threshold_to_write_the_report_is_given_all_the_same(threshold, tmp_path):
    page = tmp_path / "page.html"
    code, printed, errors = threshold("--fmr", "1e-6", "--write", tmp_path / "copy.onnx", "--html", page)
    assert code == 2 and "no model written, FMR 1e-6 is not measurable" in errors.splitlines()[-1]
    assert "no threshold is recommended" in printed and page.is_file() and not list(tmp_path.glob("copy*"))


def test_a_named_model_is_no_file_to_write(work, run, tmp_path):
    code, _, errors = run("threshold", "dlib-resnet29", work / "crops", "--write", tmp_path / "m.onnx")
    assert code == 2
    assert "no model file" in errors or "aligned" in errors


@pytest.mark.data
@pytest.mark.models
def test_wrong_labels_of_lfw_are_named(data_root, models_root, run, tmp_path):
    """Two of the people that LFW has under two names, among forty others."""
    people = ["Hasan_Wirayuda", "Hassan_Wirajuda", "Chyung_Dai-chul", "Dai_Chul_Chyung"]
    everybody = sorted(path for path in (data_root / "lfw112").iterdir() if path.is_dir())
    several = [path.name for path in everybody if len(list(path.glob("*.jpg"))) > 2][:40]
    for name in {*people, *several}:
        (tmp_path / "lfw" / name).mkdir(parents=True)
        for photo in (data_root / "lfw112" / name).glob("*_000[1-4].jpg"):
            (tmp_path / "lfw" / name / photo.name).symlink_to(photo)
    contract = tmp_path / "contract.toml"
    contract.write_text(
        'name = "mobilefacenet"\nembedding_dim = 128\nflip = false\n'
        "mean = [123.675, 116.28, 103.53]\nstd = [58.395, 57.12, 57.375]\n"
    )
    model = models_root / "foamliu_mobilefacenet_128.onnx"

    code, printed, errors = run(
        "threshold", model, tmp_path / "lfw", "--aligned", "arcface", "--contract", contract, "--resamples", "20"
    )

    assert code == 0, errors
    named = printed.partition("may be wrong labels")[2]
    assert "Hasan_Wirayuda" in named
    assert "Dai_Chul_Chyung" in named
