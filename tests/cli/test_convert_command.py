"""The commands convert and data verify."""

import json

import numpy as np
import pytest

from facezoo.image import write_image


@pytest.fixture
def source(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("ada/1.jpg", "ada/2.png", "bob/1.jpg"):
        write_image(tmp_path / "source" / name, rng.integers(256, size=(8, 8, 3), dtype=np.uint8))
    return tmp_path / "source"


def test_a_folder_becomes_a_rec_and_is_verified(run, source, tmp_path):
    out = tmp_path / "train.rec"
    code, text, _ = run("convert", source, out, "--verify")
    assert (code, text) == (0, f"{out}: 3 images of 2 classes as rec, read again and equal\n")
    code, text, _ = run("data", "verify", out)
    assert (code, text) == (0, f"{out}: 3 images of 2 classes as rec: as it was written\n")
    code, text, _ = run("data", "verify", out, "--json")
    assert set(json.loads(text)["files"]) == {"train.rec", "train.idx", "property", "train.classes.txt"}


def test_options_reach_the_engine(run, source, tmp_path):
    (source / "ada/1.jpg").write_bytes(b"no image")
    options = ["--unreadable", "skip", "--encode", "jpeg:quality=80", "--size", 4, "--part-size", 1, "--json"]
    code, text, _ = run("convert", source, f"webdataset:path={tmp_path / 'x'}", *options)
    done = json.loads(text)
    assert code == 0 and (done["images"], done["skipped"], done["resumed"]) == (2, 1, 0)
    assert done["encoding"] == {"kind": "jpeg", "quality": 80, "size": 4}
    assert done["skipped_list"] == str(tmp_path / "x" / "skipped.txt")
    assert {"shard-000000.tar", "shard-000001.tar"} < set(done["files"])
    code, text, _ = run("convert", source, tmp_path / "out", "--unreadable", "skip")
    assert text.endswith(f"as folder; 1 unreadable ones left out, see {tmp_path / 'out' / 'skipped.txt'}\n")


def test_a_wrong_argument_ends_with_2_and_one_sentence(run, source, tmp_path):
    for arguments in (
        (source, tmp_path / "x.zip"),
        (source, source),
        (source, tmp_path / "x.rec", "--encode", "gif"),
        (source, tmp_path / "x.rec", "--workers", 0),
        (source, tmp_path / "x.rec", "--part-size", 0),
        (tmp_path / "no", tmp_path / "x.rec"),
    ):
        code, out, err = run("convert", *arguments)
        assert (code, out) == (2, "") and err.splitlines()[-1].startswith("facezoo: ")
    assert [path.name for path in tmp_path.iterdir()] == ["source"]
    code, _, err = run("data", "verify", source)
    assert code == 2 and "has no facezoo.json, which facezoo convert writes" in err
