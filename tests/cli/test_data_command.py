"""`facezoo data`: what the commands write and print; the work itself is tested beside the library."""

import json

import numpy as np
import onnx
import onnx.helper as helper
import pytest

from facezoo.contract import CONTRACT_KEY
from facezoo.data.opening import open_dataset
from facezoo.image import write_image
from facezoo.types import Contract


@pytest.fixture
def faces(tmp_path):
    """Forty people, a colourful pattern each, four noisy images of them; ten more with one."""
    rng = np.random.default_rng(0)
    for person in range(50):
        pattern = rng.integers(40, 216, (4, 4, 3)).repeat(4, 0).repeat(4, 1)
        for photo in range(4 if person < 40 else 1):
            noisy = np.clip(pattern + rng.normal(0, 25, pattern.shape), 0, 255).astype(np.uint8)
            write_image(tmp_path / "faces" / f"p{person:02d}" / f"{photo}.png", noisy)
    return tmp_path / "faces"


@pytest.fixture
def model(tmp_path):
    """A network that averages 4 x 4 pixels: 48 dimensions."""
    contract = Contract(name="means", input_size=(16, 16), embedding_dim=48, flip=False)
    nodes = [
        helper.make_node("AveragePool", ["x"], ["p"], kernel_shape=[4, 4], strides=[4, 4]),
        helper.make_node("Flatten", ["p"], ["y"]),
    ]
    inputs = [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", 3, 16, 16])]
    outputs = [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["n", 48])]
    made = helper.make_model(
        helper.make_graph(nodes, "means", inputs, outputs), opset_imports=[helper.make_opsetid("", 13)], ir_version=8
    )
    helper.set_model_props(made, {CONTRACT_KEY: contract.to_json()})
    onnx.save(made, str(tmp_path / "means.onnx"))
    return tmp_path / "means.onnx"


def test_stats_prints_a_table_or_json_and_writes_a_page(run, faces, tmp_path):
    code, out, _ = run("data", "stats", faces, "--html", tmp_path / "s.html")
    assert code == 0 and "identities              50" in out and "PNG RGB (170)" in out
    assert "Extremes" in (tmp_path / "s.html").read_text()
    assert "left out by the reader  none" in out
    facts = json.loads(run("data", "stats", faces, "--json")[1])
    assert facts["images"] == 170 and facts["left_out"] is None


def test_filter_split_and_shallow_write_lists_that_open(run, faces, tmp_path):
    code, out, _ = run("data", "filter", faces, tmp_path / "f.txt", "--min-images", 4, "--json")
    (fact,) = json.loads(out)
    assert code == 0 and fact["images"] == 160 and len(open_dataset(fact["train"])) == 160
    code, out, _ = run("data", "split", faces, tmp_path / "s", "--parts", 0.8, 0.2, "--by", "identity")
    assert code == 0 and "40 of 50 identities" in out and (tmp_path / "s/part2.txt").is_file()
    code, out, _ = run("data", "shallow", fact["train"], tmp_path / "h.txt")
    assert code == 0 and "80 of 160 images" in out
    assert len(open_dataset(f"list:path={tmp_path / 'h.txt'},root={faces}").classes) == 40


def test_a_review_is_proposed_changed_and_applied(run, faces, model, tmp_path):
    (faces / "p00/0.png").rename(faces / "p01/stray.png")
    code, out, _ = run("data", "clean", faces, model, tmp_path / "r", "--json")
    found = json.loads(out)
    assert code == 0 and found["outliers"] >= 1 and found["kept"] == len(open_dataset(found["train"]))
    decisions = json.loads((tmp_path / "r/decisions.json").read_text())
    assert "p01/stray.png" in [entry["path"] for entry in decisions["drop"]]
    for name in ("review.html", "outliers.csv", "merges.csv", "duplicates.csv", "kept.txt"):
        assert (tmp_path / "r" / name).is_file()
    decisions["drop"] = [entry for entry in decisions["drop"] if "stray" in entry["path"]]
    (tmp_path / "mine.json").write_text(json.dumps({**decisions, "merge": []}))
    code, out, _ = run("data", "apply", faces, tmp_path / "mine.json", tmp_path / "a.txt")
    assert code == 0 and "169 images stay, 1 are left out" in out


def test_an_audit_names_who_is_in_both(run, faces, model, tmp_path, monkeypatch):
    monkeypatch.setattr("facezoo.curation.overlap.LEAST", 1)
    code, out, _ = run("data", "audit", faces, faces, model, tmp_path / "o", "--json")
    assert code == 0 and json.loads(out)["test_identities"] == 50
    assert (tmp_path / "o/evidence.html").is_file() and (tmp_path / "o/leave_out.txt").is_file()


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["filter", "{faces}", "o.txt", "--min-images", 9], "no image would be left"),
        (["filter", "{faces}", "o.txt", "--drop", "nowhere.txt"], "nowhere.txt: no such file"),
        (["split", "{faces}", "o", "--parts", 0.5, 0.6, "--by", "image"], "1 together"),
        (["stats", "nowhere"], "no such file or folder"),
        (["apply", "{faces}", "nowhere.json", "o.txt"], "nowhere.json: no such file"),
        (["clean", "{faces}", "{model}", "o", "--shown", -1], "--shown is -1"),
        (["clean", "{faces}", "{model}", "{out}", "--outlier-precision", 2], "precision is 2"),
    ],
)
def test_bad_input_is_one_sentence(run, faces, model, tmp_path, command, message):
    places = {"{faces}": faces, "{model}": model, "{out}": tmp_path / "o"}
    code, _, err = run("data", *(places.get(token, token) for token in command))
    assert code == 2 and message in err


def test_what_is_there_is_replaced_by_force_alone_and_the_source_never(run, faces, tmp_path):
    photo, notes = faces / "p00/0.png", tmp_path / "notes.txt"
    notes.write_text("mine")
    before = photo.read_bytes()
    assert "--force" in run("data", "shallow", faces, notes)[2]
    assert "--force" in run("data", "stats", faces, "--html", notes)[2]
    assert "belongs to the data" in run("data", "preview", faces, photo, "--force")[2]
    several = f'multi:sets=["folder:root={faces}"]'
    assert "belongs to the data" in run("data", "preview", several, photo, "--force")[2]
    assert run("data", "filter", faces, tmp_path)[2].strip().endswith("is a folder; name a file to write")
    assert photo.read_bytes() == before and notes.read_text() == "mine"
    assert run("data", "shallow", faces, notes, "--force")[0] == 0
    spec = f"list:path={notes},root={faces}"
    assert "belongs to the data" in run("data", "filter", spec, notes, "--force")[2]


def test_a_review_goes_into_a_folder_of_its_own(run, faces, model, tmp_path):
    code, _, err = run("data", "clean", faces, model, faces)
    assert code == 2 and "holds other files" in err
    code, _, err = run("data", "audit", faces, faces, model, model)
    assert code == 2 and "is a file" in err
