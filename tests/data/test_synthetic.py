"""Invented people: the same for the same seed, with landmarks where the face has them."""

from __future__ import annotations

import csv
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from facezoo.align import template_points
from facezoo.data.synthetic import draw_traits, draw_view, load_head, make_identity, render, write_faces
from facezoo.image import read_image
from facezoo.types import InputError

pytest.importorskip("numba")
pytestmark = pytest.mark.network


@pytest.fixture(scope="module")
def head():
    return load_head()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("faces") / "out"
    assert write_faces(out, 4, 3, seed=5, size=64) == 12
    return out


def photo(head, number, image, seed=0, size=112, aligned=True):
    identity = make_identity(head, seed, number)
    return render(identity, draw_view(head, identity.traits, image), size, aligned)


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_one_seed_gives_the_same_bytes_in_any_order(head):
    first = [photo(head, number, image).image for number, image in ((3, 0), (3, 1), (4, 0))]
    again = [photo(head, number, image).image for number, image in ((4, 0), (3, 1), (3, 0))]

    for one, other in zip(first, reversed(again)):
        np.testing.assert_array_equal(one, other)


def test_another_seed_gives_another_person(head):
    assert draw_traits(head, 0, 7) != draw_traits(head, 1, 7)
    assert draw_traits(head, 0, 7) != draw_traits(head, 0, 8)
    assert (photo(head, 7, 0, seed=0).image != photo(head, 7, 0, seed=1).image).mean() > 0.5


@pytest.mark.parametrize("size", [112, 160])
def test_landmarks_of_a_crop_lie_on_the_template(head, size):
    wanted = template_points("arcface", (size, size))
    marks = [photo(head, number, image, size=size).landmarks for number in range(4) for image in range(3)]
    # A fit cannot be exact, faces differ: a tenth of the distance between the eyes on average.
    assert np.abs(np.array(marks) - wanted).mean() < 0.1 * 35.2 * size / 112
    np.testing.assert_allclose(np.mean(marks, axis=(0, 1)), wanted.mean(axis=0), atol=0.5)


def test_a_photo_holds_its_face_with_the_eyes_at_the_asked_distance(head):
    identity = make_identity(head, 0, 2)
    view = draw_view(head, identity.traits, 1)
    sample = render(identity, view, 320, aligned=False)

    assert sample.image.shape == (320, 320, 3) and sample.image.dtype == np.uint8
    assert (sample.landmarks > 0).all() and (sample.landmarks < 320).all()
    np.testing.assert_allclose(sample.landmarks.mean(axis=0) / 320, view.place, atol=0.01)
    assert np.linalg.norm(sample.landmarks[1] - sample.landmarks[0]) <= 1.01 * view.eye_distance * 320


def test_landmarks_are_mirror_images_on_the_base_shape(head):
    left, right, nose, corner, other = (head.vertices[own].mean(axis=0) for own in head.landmarks)

    np.testing.assert_allclose(left * (-1, 1, 1), right, atol=1e-3)
    np.testing.assert_allclose(corner * (-1, 1, 1), other, atol=1e-3)
    assert abs(nose[0]) < 1e-3 and nose[2] > right[2] > 0 and left[1] > nose[1] > corner[1]


def test_details_are_symmetric(head):
    name = "cheek/l-cheek-volume-incr"
    moved = head.vertices.copy()
    head.move(moved, {name: 1.0})

    assert ((moved - head.vertices)[head.vertices[:, 0] < -0.1] != 0).any()
    assert ((moved - head.vertices)[head.vertices[:, 0] > 0.1] != 0).any()


def test_pose_turns_the_way_it_says(head):
    identity = make_identity(head, 0, 1)
    straight = replace(draw_view(head, identity.traits, 0), yaw=0.0, pitch=0.0, roll=0.0, turn=0.0)

    def nose_from_eyes(**pose):
        marks = render(identity, replace(straight, **pose), 128, aligned=False).landmarks
        return marks[2] - marks[:2].mean(axis=0), marks[1] - marks[0]

    (x, y), _ = nose_from_eyes()
    assert nose_from_eyes(yaw=30.0)[0][0] > x + 3
    assert nose_from_eyes(pitch=20.0)[0][1] > y + 1
    assert nose_from_eyes(roll=15.0)[1][1] > 1


def test_a_size_out_of_bounds_is_refused(head):
    with pytest.raises(InputError, match="size is 8"):
        photo(head, 0, 0, size=8)
    with pytest.raises(InputError, match="identities is 0"):
        write_faces("unused", 0)


def test_files_match_the_lists(folder):
    names = {str(path.relative_to(folder)) for path in folder.rglob("person_*.jpg")}
    listed = [line.rsplit(" ", 1) for line in (folder / "train.txt").read_text().splitlines()]
    assert {name for name, _ in listed} == names
    assert [int(label) for _, label in listed] == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    for table in ("landmarks.csv", "metadata.csv"):
        with (folder / table).open() as file:
            assert {row["path"] for row in csv.DictReader(file)} == names
    assert read_image(folder / "person_00001/person_00001_0003.jpg").shape == (64, 64, 3)


def test_pairs_are_balanced_and_folds_share_nobody(folder):
    header, *lines = (folder / "pairs.txt").read_text().splitlines()
    folds, pairs = map(int, header.split())
    assert (folds, len(lines)) == (2, 2 * folds * pairs)
    people = []
    for fold in range(folds):
        rows = [line.split() for line in lines[2 * pairs * fold : 2 * pairs * (fold + 1)]]
        assert [len(row) for row in rows] == [3] * pairs + [4] * pairs
        people.append({name for row in rows for name in row if name.startswith("person")})
    assert not people[0] & people[1]


def test_the_benchmark_reads_the_folder(folder):
    from facezoo.registry import BENCHMARKS

    benchmark = BENCHMARKS.create(f"lfw:root={folder},aligned=arcface")
    assert len(benchmark.same) == 2 * benchmark.same.sum()


def test_resume_ends_with_the_same_bytes(folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    for name in ("person_00000/person_00000_0002.jpg", "person_00003/person_00003_0001.jpg", "landmarks.csv"):
        (copy / name).unlink()

    assert write_faces(copy, 4, 3, seed=5, size=64, workers=2) == 2
    assert contents(copy) == contents(folder)


@pytest.mark.parametrize("change", [{"seed": 6}, {"size": 80}, {"images": 4}, {"raw": True}])
def test_other_options_for_a_folder_are_refused(folder, change):
    options = {"identities": 4, "images": 3, "seed": 5, "size": 64, **change}
    before = contents(folder)
    with pytest.raises(InputError, match=next(iter(change))):
        write_faces(folder, **options)
    assert contents(folder) == before


def test_a_folder_of_other_files_is_refused(tmp_path):
    (tmp_path / "holiday.jpg").write_bytes(b"")
    with pytest.raises(InputError, match="is not empty"):
        write_faces(tmp_path, 1, 1)


def test_the_command_renders_raw_photos(tmp_path, capsys):
    from facezoo.cli import app

    app(["synth", str(tmp_path / "out"), "--identities", "2", "--images", "2", "--raw", "--size", "160"])
    assert "2 people, 4 photos" in capsys.readouterr().out
    assert read_image(tmp_path / "out/person_00001/person_00001_0002.jpg").shape == (160, 160, 3)


def test_nothing_imports_numba_before_a_face_is_rendered():
    code = "import sys, facezoo.data.synthetic; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_without_numba_the_extra_is_named():
    code = (
        "import sys; sys.modules['numba'] = None\n"
        "from facezoo.data.synthetic.kernels import kernels\n"
        "from facezoo.types import InputError\n"
        "try: kernels()\n"
        "except InputError as error: sys.exit(0 if 'facezoo[synth]' in str(error) else 1)\n"
        "sys.exit(2)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
