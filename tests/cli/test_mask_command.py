"""`facezoo mask`, from photos and crops to new data."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from facezoo.data.opening import open_dataset
from facezoo.image import read_image, write_image

CROPS = ("--aligned", "arcface", "--mesh", "landmarks")


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    """Two people with two crops each, of even skin."""
    rng = np.random.default_rng(0)
    for name in ("ada/0.jpg", "ada/1.jpg", "bob/0.jpg", "bob/1.jpg"):
        base = np.full((112, 112, 3), (190, 150, 130)) + rng.normal(0, 6, (112, 112, 3))
        write_image(tmp_path / "faces" / name, base.clip(0, 255).astype(np.uint8))
    return tmp_path / "faces"


def test_crops_become_a_dataset_that_can_be_trained_on(run, faces, tmp_path):
    (faces / "bob/2.jpg").write_bytes(b"\xff\xd8 no photo")
    out = tmp_path / "masked"
    code, said, _ = run("mask", faces, out, *CROPS, "--variants", 2, "--templates", "surgical", "n95")
    assert code == 0 and "8 masked images of 2 classes" in said and "1 unreadable" in said

    data = open_dataset(str(out / "list.txt"))
    assert len(data) == 8 and data.classes == ["ada", "bob"]
    assert sorted(path.name for path in (out / "ada").iterdir()) == ["0_1.jpg", "0_2.jpg", "1_1.jpg", "1_2.jpg"]
    failures = (tmp_path / "masked.meshes/failures.csv").read_text()
    assert "bob/2.jpg,unreadable" in failures
    assert not np.array_equal(data.read(0), data.read(1))


def test_the_same_command_in_two_processes_gives_the_same_bytes(run, faces, tmp_path):
    for name, workers in (("one", 1), ("two", 2)):
        assert run("mask", faces, tmp_path / name, *CROPS, "--workers", workers)[0] == 0
    for path in (tmp_path / "one").rglob("*.jpg"):
        assert path.read_bytes() == (tmp_path / "two" / path.relative_to(tmp_path / "one")).read_bytes()


def test_a_photo_becomes_several_variants(run, faces, tmp_path):
    source, out = faces / "ada/0.jpg", tmp_path / "out.png"
    code, said, _ = run("mask", source, out, *CROPS, "--variants", 2, "--templates", "hat", "--json")
    found = json.loads(said)
    assert code == 0 and [Path(each["image"]).name for each in found] == ["out_1.png", "out_2.png"]
    assert all(each["faces"][0].startswith("hat:") for each in found)
    one, other = (read_image(Path(each["image"])) for each in found)
    assert one.shape == (112, 112, 3) and not np.array_equal(one, other)


def test_the_photo_that_is_read_is_never_written_over(run, faces):
    source = faces / "ada/0.jpg"
    before = source.read_bytes()
    code, _, said = run("mask", source, source, *CROPS, "--force")
    assert code == 2 and "is the photo that is read; name another place" in said and source.read_bytes() == before


def test_a_flat_folder_of_photos_needs_no_identities(run, faces, tmp_path):
    code, said, _ = run("mask", faces / "ada", tmp_path / "out", *CROPS)
    assert code == 0 and "2 masked images" in said


def test_meshes_are_found_for_training(run, faces, tmp_path):
    code, said, _ = run("mask", "meshes", faces, tmp_path / "meshes", *CROPS)
    assert code == 0 and "4 faces" in said
    data = open_dataset(f'masked:data={faces},meshes={tmp_path / "meshes"},probability=0.5,templates=["cloth"]')
    assert len(data) == 4


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--templates", "surgicl"), "unknown wearable"),
        (("--templates", "none.png"), "no such file"),
        (("--variants", "0"), "variants"),
        (("--aligned", "oval"), "unknown alignment template"),
        (("--aligned", "arcface", "--detector", "yunet"), "does nothing with --aligned arcface"),
    ],
)
def test_what_cannot_be_used_is_told_in_a_sentence(run, faces, tmp_path, options, why):
    code, _, said = run("mask", faces, tmp_path / "out", "--mesh", "landmarks", *options)
    assert code == 2 and why in said and "Traceback" not in said
    assert not (tmp_path / "out").exists() and not (tmp_path / "out.meshes").exists()  # before any face is looked for


@pytest.mark.parametrize("option", [("--workers", 2), ("--meshes", "m")])
def test_what_is_for_data_alone_is_refused_with_a_photo(run, faces, tmp_path, option):
    code, _, said = run("mask", faces / "ada/0.jpg", tmp_path / "out.png", *CROPS, *option)
    assert code == 2 and f"{option[0]}: is for data" in said and not (tmp_path / "out.png").exists()


def test_what_is_there_is_replaced_on_wish_alone(run, faces, tmp_path):
    out = tmp_path / "out.jpg"
    out.write_bytes(b"mine")
    assert run("mask", faces / "ada/0.jpg", out, *CROPS)[0] == 2
    assert out.read_bytes() == b"mine"
    assert run("mask", faces / "ada/0.jpg", out, *CROPS, "--force")[0] == 0
    assert run("mask", faces / "ada/0.jpg", faces / "ada/0.jpg", *CROPS, "--force")[0] == 2


def test_the_sheet_and_the_guide_are_drawn(run, tmp_path):
    code, said, _ = run("mask", "sheet", tmp_path / "sheet.png", "--templates", "surgical", "hat", "--size", 64)
    assert code == 0 and "2 templates" in said
    assert read_image(tmp_path / "sheet.png").shape == (256, 256, 3)
    assert run("mask", "sheet", tmp_path / "sheet.png", "--size", 64)[0] == 2
    assert run("mask", "guide", tmp_path / "guide.png")[0] == 0
    assert run("mask", "guide", tmp_path / "guide.tex")[0] == 2


@pytest.mark.network
@pytest.mark.data
def test_a_mask_is_taken_off_a_photo_and_put_on_another(run, data_root, tmp_path):
    photo, out = data_root / "photos" / "test4_mask.jpg", tmp_path / "white.png"
    assert run("mask", "template", photo, out)[0] == 0
    code, said, _ = run("mask", data_root / "photos" / "test1.jpg", tmp_path / "worn.jpg", "--templates", out)
    assert code == 0 and said.count("png:path") == 2
    assert run("mask", "template", photo, tmp_path / "x.jpg")[0] == 2
