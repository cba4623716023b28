"""Meshes of a dataset are found once; the dataset of masked faces follows them."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from facezoo.align import template_points
from facezoo.data.dataset import FileDataset
from facezoo.data.masked import Masked
from facezoo.data.opening import open_dataset
from facezoo.data.pairs import Pairs
from facezoo.evaluation.photos import read_landmarks
from facezoo.image import write_image
from facezoo.mask.finder import Finder, five_points
from facezoo.mask.meshes import Meshes, find_meshes
from facezoo.types import FloatArray, Image, InputError

CROPS = Finder(aligned="arcface", mesh="landmarks")


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    """Two people with two and one crop, and a damaged file of the second."""
    rng = np.random.default_rng(0)
    for name in ("ada/0.png", "ada/1.png", "bob/0.png"):
        base = np.full((112, 112, 3), (190, 150, 130)) + rng.normal(0, 6, (112, 112, 3))
        write_image(tmp_path / "faces" / name, base.clip(0, 255).astype(np.uint8))
    whole = (tmp_path / "faces/bob/0.png").read_bytes()
    (tmp_path / "faces/bob/1.png").write_bytes(whole[: len(whole) // 2])
    return tmp_path / "faces"


def test_the_mesh_of_a_crop_has_the_templates_landmarks():
    mesh = CROPS(np.zeros((112, 112, 3), np.uint8))[0]
    np.testing.assert_allclose(five_points(mesh), template_points("arcface", (112, 112)), atol=3)


def test_found_meshes_are_listed_with_landmarks_and_failures(faces: Path, tmp_path: Path):
    data = open_dataset(str(faces))
    found = find_meshes(data, tmp_path / "meshes", CROPS)

    assert (found.faces, found.without_face, found.unreadable, found.resumed) == (3, 0, 1, 0)
    assert found.meshes.images.tolist() == [0, 1, 2]
    assert found.meshes.of(1).shape == (1, 468, 3) and found.meshes.of(3).shape == (0, 468, 3)
    lines = (tmp_path / "meshes/failures.csv").read_text().splitlines()
    assert len(lines) == 2 and lines[1].startswith("bob/1.png,unreadable,")
    points = read_landmarks(tmp_path / "meshes/landmarks.csv")
    np.testing.assert_allclose(points["ada/0.png"], five_points(found.meshes.of(0)[0]), atol=0.01)


def test_an_interrupted_search_goes_on_to_the_same_bytes(faces: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setattr("facezoo.mask.meshes.PIECE", 2)
    data, look = open_dataset(str(faces)), Finder.__call__
    find_meshes(data, tmp_path / "one", CROPS)
    looked_at = iter(range(10))

    def killed(finder: Finder, image: Image) -> FloatArray:
        if next(looked_at) == 2:
            raise KeyboardInterrupt
        return look(finder, image)

    monkeypatch.setattr(Finder, "__call__", killed)
    with pytest.raises(KeyboardInterrupt):
        find_meshes(data, tmp_path / "two", CROPS)
    monkeypatch.setattr(Finder, "__call__", look)

    assert find_meshes(data, tmp_path / "two", CROPS).resumed == 2
    assert find_meshes(data, tmp_path / "two", CROPS).resumed == 4
    assert sorted(path.name for path in (tmp_path / "two").iterdir()) == sorted(
        ["failures.csv", "images.npy", "landmarks.csv", "meshes.npy", "settings.json"]
    )
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def forked(work) -> int:
    """A process that does the work; its number."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    return child


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_search_that_was_killed_goes_on_and_two_at_once_look_at_each_image_once(faces: Path, tmp_path, monkeypatch):
    monkeypatch.setattr("facezoo.mask.meshes.PIECE", 2)
    data, look, log = open_dataset(str(faces)), Finder.__call__, tmp_path / "looks"
    find_meshes(data, tmp_path / "whole", CROPS)

    def logged(finder: Finder, image: Image) -> FloatArray:
        with log.open("a") as file:
            file.write("look\n")
        if len(log.read_text().splitlines()) == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.05)
        return look(finder, image)

    monkeypatch.setattr(Finder, "__call__", logged)
    child = forked(lambda: find_meshes(data, tmp_path / "shared", CROPS))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    children = [forked(lambda: find_meshes(data, tmp_path / "shared", CROPS)) for _ in range(2)]
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0]

    # Two before the kill, one that it lost, and that once more; the fourth file is damaged and not looked at.
    assert len(log.read_text().splitlines()) == 4
    assert sorted(path.name for path in (tmp_path / "shared").iterdir()) == sorted(
        path.name for path in (tmp_path / "whole").iterdir()
    )
    for path in (tmp_path / "whole").iterdir():
        assert path.read_bytes() == (tmp_path / "shared" / path.name).read_bytes()


def test_meshes_of_other_data_are_not_mixed(faces: Path, tmp_path: Path):
    find_meshes(open_dataset(str(faces)), tmp_path / "meshes", CROPS)
    (faces / "ada/1.png").unlink()
    with pytest.raises(InputError, match="other data"):
        find_meshes(open_dataset(str(faces)), tmp_path / "meshes", CROPS)
    with pytest.raises(InputError, match="other data"):
        Masked(str(faces), tmp_path / "meshes")
    assert find_meshes(open_dataset(str(faces)), tmp_path / "meshes", CROPS, force=True).faces == 2


def test_meshes_of_a_search_that_was_interrupted_are_not_taken_for_those_of_the_data(
    faces: Path, tmp_path, monkeypatch
):
    find_meshes(open_dataset(str(faces)), tmp_path / "meshes", CROPS)
    (faces / "ada/1.png").unlink()

    def killed(finder: Finder, image: Image) -> FloatArray:
        raise KeyboardInterrupt

    monkeypatch.setattr(Finder, "__call__", killed)
    with pytest.raises(KeyboardInterrupt):
        find_meshes(open_dataset(str(faces)), tmp_path / "meshes", CROPS, force=True)
    with pytest.raises(InputError, match="was interrupted"):
        Masked(str(faces), tmp_path / "meshes")


def test_images_that_are_too_small_to_be_drawn_on_have_no_face(tmp_path: Path):
    for number, size in enumerate([(1, 1), (3, 112), (5, 5), (112, 112)]):
        write_image(tmp_path / f"faces/ada/{number}.png", np.full((*size, 3), 150, np.uint8))
    found = find_meshes(open_dataset(str(tmp_path / "faces")), tmp_path / "meshes", CROPS)
    masked = Masked(str(tmp_path / "faces"), tmp_path / "meshes")

    assert found.without_face == 2 and found.meshes.images.tolist() == [2, 3]
    assert [masked.read(number).shape[:2] for number in range(4)] == [(1, 1), (3, 112), (5, 5), (112, 112)]


def test_masked_data_have_the_pairs_of_their_source(faces: Path, tmp_path: Path, monkeypatch):
    pairs = Pairs(np.array([0, 0, 1]), np.array([1, 2, 3]), np.array([True, False, False]))
    find_meshes(open_dataset(str(faces)), tmp_path / "meshes", CROPS)
    assert Masked(str(faces), tmp_path / "meshes").pairs() is None
    monkeypatch.setattr(FileDataset, "pairs", lambda self: pairs)

    left, right, same = Masked(str(faces), tmp_path / "meshes", variants=2, missing="drop").pairs()
    assert left.tolist() == [0, 1, 0, 1] and right.tolist() == [2, 3, 4, 5]  # without the damaged image 3
    assert same.tolist() == [True, True, False, False]


def test_a_folder_of_other_files_is_left_alone(faces: Path, tmp_path: Path):
    with pytest.raises(InputError, match="other files"):
        find_meshes(open_dataset(str(faces)), faces, CROPS)
    with pytest.raises(InputError, match="holds no meshes"):
        Meshes(tmp_path).settings()


def test_masked_data_have_variants_and_leave_out_what_has_no_face(faces: Path, tmp_path: Path):
    data = open_dataset(str(faces))
    find_meshes(data, tmp_path / "meshes", CROPS)
    masked = Masked(str(faces), tmp_path / "meshes", ("surgical", "n95"), variants=2, missing="drop")

    assert len(masked) == 6 and masked.labels.tolist() == [0, 0, 0, 0, 1, 1]
    assert masked.path(1) == "ada/0_2.png"
    assert masked.origin(1) == "ada/0.png"
    one, other = masked.read(0), masked.read(1)
    assert not np.array_equal(one, other) and np.array_equal(one, masked.read(0))
    assert np.array_equal(one[:30], data.read(0)[:30])  # the forehead
    assert not np.array_equal(Masked(str(faces), tmp_path / "meshes", ("surgical",), seed=1).read(0), one)


def test_some_stay_plain_by_chance_and_those_without_a_mesh_always(faces: Path, tmp_path: Path):
    data = open_dataset(str(faces))
    find_meshes(data, tmp_path / "meshes", CROPS)
    masked = Masked(str(faces), tmp_path / "meshes", ("cloth",), probability=0.5, variants=20)
    plain = [np.array_equal(masked.read(k), data.read(0)) for k in range(20)]
    encoded = [masked.encoded(k) == data.encoded(0) for k in range(20)]

    assert 3 < sum(plain) < 17 and plain == encoded
    assert len(masked) == 80


@pytest.mark.parametrize("options", [{"variants": 0}, {"probability": 2.0}, {"templates": ()}, {"pieces": 0}])
def test_options_out_of_range_are_refused(faces: Path, tmp_path: Path, options):
    find_meshes(open_dataset(str(faces)), tmp_path / "meshes", CROPS)
    with pytest.raises(InputError, match="or more"):
        Masked(str(faces), tmp_path / "meshes", **options)


def test_the_digest_tells_templates_that_were_painted_over(faces: Path, tmp_path: Path):
    find_meshes(open_dataset(str(faces)), tmp_path / "meshes", CROPS)
    digests = []
    for color in ((200, 0, 0, 255), (0, 0, 200, 255)):
        picture = np.zeros((128, 128, 4), np.uint8)
        picture[60:90, 40:88] = color
        Pillow.fromarray(picture).save(tmp_path / "own.png")
        digests.append(Masked(str(faces), tmp_path / "meshes", (str(tmp_path / "own.png"),)).digest())

    assert digests[0] != digests[1]
    assert Masked(str(faces), tmp_path / "meshes").digest() == Masked(str(faces), tmp_path / "meshes").digest()
