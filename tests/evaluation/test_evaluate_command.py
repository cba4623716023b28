"""`facezoo evaluate` from files to table, JSON and page."""

import json

import pytest

from facezoo.cli import main
from facezoo.cli.models import told_apart
from facezoo.registry import BENCHMARKS


@pytest.fixture(scope="module")
def work(mosaic, write_patterns):
    """The model and its contract, and aligned crops of six people."""
    write_patterns(mosaic / "crops", [f"p{person}" for person in range(6)], pixels=20)
    return mosaic


def run(capsys, *tokens):
    """Exit code, standard output, standard error."""
    code = 0
    try:
        main([str(token) for token in tokens])
    except SystemExit as end:
        code = int(end.code or 0)
    return code, *capsys.readouterr()


def test_a_model_is_scored_and_reported(work, tmp_path, capsys):
    out, html = tmp_path / "report.json", tmp_path / "report.html"
    spec = f"folder:root={work / 'crops'},aligned=arcface,folds=3,resamples=20"

    code, printed, errors = run(
        capsys,
        "evaluate",
        work / "mosaic.onnx",
        spec,
        "--contract",
        work / "contract.toml",
        "--out",
        out,
        "--html",
        html,
    )

    assert code == 0, errors
    assert printed.splitlines()[2].startswith("crops ")
    assert "100.00 %" in printed
    assert "pair list: drawn from 6 people" in printed
    assert json.loads(out.read_text())[0]["contract"]["name"] == "mosaic"
    assert "Face verification: mosaic" in html.read_text()


def test_benchmarks_of_one_name_are_told_apart_by_their_specs():
    root = "root=photos/crops"
    specs = [f"folder:{root}", f"folder:{root},seed=1", f"all_pairs:{root}", "lfw:root=photos"]
    assert told_apart(["crops", "crops", "crops", "lfw"], specs) == [
        "crops (folder)", "crops (folder, seed=1)", "crops (all_pairs)", "lfw",
    ]  # fmt: skip
    assert told_apart(["crops", "crops"], specs[:2]) == ["crops", "crops (seed=1)"]


def test_a_model_without_a_name_is_called_by_its_file(work, tmp_path, capsys):
    lines = [line for line in (work / "contract.toml").read_text().splitlines() if not line.startswith("name")]
    (tmp_path / "nameless.toml").write_text("\n".join(lines))
    spec = f"folder:root={work / 'crops'},aligned=arcface,folds=3,resamples=0"

    code, printed, errors = run(
        capsys, "evaluate", work / "mosaic.onnx", spec, "--contract", tmp_path / "nameless.toml", "--json"
    )

    assert code == 0, errors
    assert json.loads(printed)[0]["contract"]["name"] == "mosaic"


def test_flip_is_named_in_the_protocol_and_json_is_printed(work, capsys):
    spec = f"folder:root={work / 'crops'},aligned=arcface,folds=3,resamples=0"

    code, printed, _ = run(
        capsys, "evaluate", work / "mosaic.onnx", spec, "--contract", work / "contract.toml", "--flip", "--json"
    )

    assert code == 0
    assert json.loads(printed)[0]["protocol"]["flip"] == "embeddings of the crop and its mirror image are added"


def test_kept_features_give_the_same_report(work, tmp_path, capsys):
    spec = f"folder:root={work / 'crops'},aligned=arcface,folds=3,resamples=0"
    command = ["evaluate", work / "mosaic.onnx", spec, "--contract", work / "contract.toml", "--features", tmp_path]

    first, again = (json.loads(run(capsys, *command, "--json")[1])[0] for _ in range(2))

    assert len(list(tmp_path.glob("*/embeddings.npy"))) == 1
    assert first | {"speed": None} == again | {"speed": None}


@pytest.mark.parametrize(
    ("tokens", "words"),
    [
        (["nothing.onnx", "{spec}"], "no such file"),
        (["nothing.onnx", "lfw:root=/nowhere"], "nothing.onnx: no such file"),  # the model first
        (["{model}", "{spec}", "--contract", "{dlib}"], "the model wants crops aligned to 'dlib'"),
        (["{model}", "{spec}"], "no facezoo contract"),
        (["{model}", "lfw:root=/nowhere", "--contract", "{contract}"], "no such file"),
        (["{model}", "lfx:root=x", "--contract", "{contract}"], "unknown benchmark 'lfx'"),
        (["{model}", "lwf:root=x", "--contract", "{contract}"], "did you mean lfw?"),
        (["{model}", "lfw:colour=red", "--contract", "{contract}"], "no option 'colour'"),
        (["{model}", "lfw:alligned=arcface", "--contract", "{contract}"], "did you mean aligned?"),
        (["{model}", "{spec}", "--contract", "{contract}", "--html", "{crops}"], "crops: is a folder; name a file"),
        (["{model}", "{spec}", "{spec}", "--contract", "{contract}"], "the same benchmark is given twice"),
        (["{model}", "{spec}", "--contract", "{contract}", "--batch-size", "0"], "--batch-size"),
    ],
)
def test_what_cannot_be_scored_is_one_sentence(work, tmp_path, capsys, tokens, words):
    given = {"spec": f"folder:root={work / 'crops'},aligned=arcface", "model": work / "mosaic.onnx"}
    given |= {"contract": work / "contract.toml", "crops": work / "crops", "dlib": tmp_path / "dlib.toml"}
    given["dlib"].write_text(given["contract"].read_text() + 'template = "dlib"\n')

    code, printed, errors = run(capsys, "evaluate", *(token.format(**given) for token in tokens))

    assert (code, printed) == (2, "")
    assert errors.startswith("facezoo: ")
    assert words in errors
    assert len(errors.splitlines()) == 1


@pytest.mark.data
@pytest.mark.models
def test_a_public_mobilefacenet_scores_on_lfw_crops_as_published(data_root, models_root, tmp_path, capsys):
    contract = tmp_path / "contract.toml"
    contract.write_text(
        'name = "mobilefacenet"\nembedding_dim = 128\nflip = false\n'
        "mean = [123.675, 116.28, 103.53]\nstd = [58.395, 57.12, 57.375]\n"
    )
    root, whole = data_root / "lfw112", BENCHMARKS.create(f"lfw:root={data_root / 'lfw112'},aligned=arcface")
    picked = [*range(60), *range(300, 360), *range(600, 660), *range(900, 960)]
    lines = [
        f"{whole.photos[whole.left[k]].name} {whole.photos[whole.right[k]].name} {int(whole.same[k])}" for k in picked
    ]
    (tmp_path / "some.txt").write_text("\n".join(lines))
    spec = f"pairs:path={tmp_path / 'some.txt'},root={root},aligned=arcface,folds=4,resamples=0"

    model = models_root / "foamliu_mobilefacenet_128.onnx"
    code, printed, errors = run(capsys, "evaluate", model, spec, "--contract", contract, "--json")

    assert code == 0, errors
    assert json.loads(printed)[0]["metrics"]["accuracy"] >= 0.98
