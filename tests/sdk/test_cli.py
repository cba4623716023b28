import json

import numpy as np
import pytest

from facezoo import zoo
from facezoo.cli import main
from facezoo.files import write_bytes
from facezoo.image import read_image, write_image

pytestmark = pytest.mark.network


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Two photos of one person, one of another, one without a face."""
    folder = tmp_path_factory.mktemp("photos")
    for name in ("obama", "obama2", "biden"):
        write_bytes(folder / f"{name}.jpg", zoo.get(f"photo-{name}").read_bytes())
    write_image(folder / "sub" / "blank.png", np.full((90, 120, 3), 200, np.uint8))
    return folder


def run(*tokens: object) -> int:
    try:
        main([str(token) for token in tokens])
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def run_json(capsys, *tokens: object):
    assert run(*tokens, "--json") == 0
    return json.loads(capsys.readouterr().out)


def test_detect_lists_boxes_and_draws_them(photos, tmp_path, capsys):
    assert run("detect", photos, "--out", tmp_path / "drawn") == 0

    text = capsys.readouterr().out
    assert f"{photos / 'obama.jpg'}: 1 face\n" in text
    assert f"{photos / 'sub' / 'blank.png'}: 0 faces\n" in text
    drawn = read_image(tmp_path / "drawn" / "obama.jpg")
    photo = read_image(photos / "obama.jpg")
    assert drawn.shape == photo.shape
    assert np.abs(drawn.astype(int) - photo).max() > 100


def test_detect_json_gives_pixels(photos, capsys):
    (found,) = run_json(capsys, "detect", photos / "obama.jpg")

    assert set(found) == {"image", "width", "height", "faces"}
    (face,) = found["faces"]
    assert np.array(face["landmarks"]).shape == (5, 2)
    x0, y0, x1, y1 = face["box"]
    assert 0 < x0 < x1 < found["width"]
    assert 0 < y0 < y1 < found["height"]


def test_a_photo_that_cannot_be_read_does_not_stop_the_others(photos, tmp_path, capsys):
    write_bytes(tmp_path / "bad.jpg", b"x")
    for command in ("detect", "embed"):
        assert run(command, tmp_path / "bad.jpg", photos / "obama2.jpg", "--json") == 2

        output = capsys.readouterr()
        good, bad = json.loads(output.out)
        assert len(good["faces"]) == 1
        assert "not an image" in bad["error"]
        assert "bad.jpg: not an image" in output.err


def test_align_writes_crops_of_the_models_contract(photos, tmp_path, capsys):
    assert run("align", photos, tmp_path / "crops", "--model", "dlib-resnet29") == 0

    text = capsys.readouterr().out
    assert text.startswith("4 photos: 3 crops in ")
    assert "1 without a face, 0 unreadable" in text
    assert read_image(tmp_path / "crops" / "biden.jpg").shape == (150, 150, 3)
    again = run_json(capsys, "align", photos, tmp_path / "crops", "--model", "dlib-resnet29")
    assert (again["images"], again["crops"], again["without_face"]) == (4, 3, ["sub/blank.png"])


def test_align_ends_with_2_only_if_there_is_no_crop_at_all(photos, tmp_path, capsys):
    write_bytes(tmp_path / "photos" / "bad.jpg", b"x")
    write_image(tmp_path / "photos" / "blank.png", np.full((90, 120, 3), 200, np.uint8))
    assert run("align", tmp_path / "photos", tmp_path / "crops") == 2

    output = capsys.readouterr()
    assert output.out.startswith("2 photos: 0 crops in ") and "1 without a face, 1 unreadable" in output.out
    assert output.err.splitlines()[-1].startswith(f"facezoo: {tmp_path / 'photos'}: no photo in it gave a crop")

    write_bytes(tmp_path / "photos" / "good.jpg", (photos / "obama.jpg").read_bytes())
    assert run_json(capsys, "align", tmp_path / "photos", tmp_path / "crops")["crops"] == 1


def test_embed_writes_one_row_per_face(photos, tmp_path, capsys):
    assert run("embed", photos, "--out", tmp_path / "features.npz") == 0

    assert "3 embeddings in" in capsys.readouterr().out
    with np.load(tmp_path / "features.npz") as file:
        assert file["embedding"].shape == (3, 128)
        assert file["landmarks"].shape == (3, 5, 2)
        assert [name.rsplit("/", 1)[-1] for name in file["image"]] == ["biden.jpg", "obama.jpg", "obama2.jpg"]
        assert json.loads(str(file["contract"]))["name"] == "dlib-resnet29"


def test_compare_gives_cosine_threshold_and_verdict(photos, capsys):
    same = run_json(capsys, "compare", photos / "obama.jpg", photos / "obama2.jpg")
    other = run_json(capsys, "compare", photos / "obama.jpg", photos / "biden.jpg")

    assert same["same"] is True
    assert other["same"] is False
    assert other["cosine"] < same["threshold"] == other["threshold"] < same["cosine"] <= 1
    assert run("compare", photos / "obama.jpg", photos / "biden.jpg") == 0
    text = capsys.readouterr().out
    assert text.startswith("different people: cosine 0.8")
    assert "%" not in text


@pytest.mark.parametrize(
    ("tokens", "why"),
    [
        (["compare", "{}/obama.jpg", "{}/sub/blank.png"], "blank.png: no face found"),
        (["detect", "{}/none.jpg"], "none.jpg: no such file"),
        (["detect", "{}/obama.jpg", "--detector", "yunet:size=3"], "has no option 'size'; its options: close_ups"),
        (["embed", "{}/obama.jpg", "--out", "x.csv"], "writes a .npz file"),
        (["embed", "{}/obama.jpg", "--model", "nothing"], "nor one of: dlib-resnet29"),
        (["align", "{}/none", "x"], "none: no such folder"),
        (["align", "{}", "x", "--workers", "0"], "--workers is 0"),
        (["align", "{}", "x", "--size", "4", "4"], "each must lie between 16 and 2048"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_exit_2(photos, tokens, why, capsys):
    assert run(*(token.format(photos) for token in tokens)) == 2

    error = capsys.readouterr().err.strip().splitlines()
    assert why in error[-1]
    assert error[-1].startswith("facezoo: ")


def test_list_names_models_with_their_licences(capsys):
    assert "dlib-resnet29   CC0-1.0" in (run("list", "models"), capsys.readouterr().out)[1]
    assert [card["name"] for card in run_json(capsys, "list", "detectors")] == ["yunet"]
    assert {entry["name"] for entry in run_json(capsys, "list", "models")} >= {"yunet", "dlib-resnet29"}
