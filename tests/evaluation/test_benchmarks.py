"""Benchmarks by name: from folders and lists to photos, pairs and folds."""

import itertools
import pickle

import numpy as np
import pytest

from facezoo.data.pairs import draw_pairs
from facezoo.evaluation.photos import LANDMARK_COLUMNS, read_landmarks
from facezoo.evaluation.verification import WITHOUT_MODEL
from facezoo.image import encode_jpeg, write_image
from facezoo.registry import BENCHMARKS
from facezoo.types import InputError

LIST = "2\t1\nAda\t1\t2\nAda\t1\tBo\t1\nBo\t1\t2\nBo\t2\tCy\t1\n"
POINTS = "30,40,70,40,50,60,35,80,65,80"


@pytest.fixture
def people(tmp_path):
    root = tmp_path / "people"
    for name, count in (("Ada", 2), ("Bo", 2), ("Cy", 1)):
        for k in range(count):
            write_image(root / name / f"{name}_{k + 1:04d}.jpg", np.full((112, 112, 3), 40 * k + len(name), np.uint8))
    (root / "pairs.txt").write_text(LIST)
    return root


def test_lfw_takes_folds_from_the_header_and_people_from_the_folders(people):
    benchmark = BENCHMARKS.create(f"lfw:root={people},name=xqlfw")

    assert benchmark.name == "xqlfw"
    assert [photo.name for photo in benchmark.photos][:2] == ["Ada/Ada_0001.jpg", "Ada/Ada_0002.jpg"]
    assert benchmark.folds.tolist() == [0, 0, 1, 1]
    assert benchmark.identity.tolist() == [0, 0, 1, 1, 2]
    assert benchmark.notes == {}


def test_a_list_for_development_gets_folds_of_either_kind(people):
    genuine = "".join(f"Ada\t{k % 2 + 1}\t{(k + 1) % 2 + 1}\n" for k in range(10))
    impostor = "".join(f"Ada\t{k % 2 + 1}\tBo\t{k % 2 + 1}\n" for k in range(10))
    (people / "pairsDevTest.txt").write_text(f"10\n{genuine}{impostor}")
    spec = f"lfw:root={people},pairs={people / 'pairsDevTest.txt'}"

    benchmark = BENCHMARKS.create(spec)

    assert benchmark.folds.tolist() == [*range(10), *range(10)]
    assert benchmark.notes == {}
    assert BENCHMARKS.create(f"{spec},folds=2").folds.tolist() == ([0] * 5 + [1] * 5) * 2


def test_a_list_of_another_length_than_announced_says_so(people):
    (people / "pairs.txt").write_text(LIST.replace("2\t1\n", "2\t5\n", 1))
    assert BENCHMARKS.create(f"lfw:root={people}").notes["pair list"] == (
        "has 4 pairs where its first line announces 20"
    )


def test_missing_photos_are_counted_and_named(people):
    (people / "Bo/Bo_0002.jpg").unlink()
    with pytest.raises(InputError, match=r"1 of 5 photos are not there, the first: Bo/Bo_0002.jpg"):
        BENCHMARKS.create(f"lfw:root={people}")


def test_pairs_of_missing_photos_can_be_dropped_and_are_counted(people):
    (people / "Bo/Bo_0002.jpg").unlink()

    with pytest.raises(InputError, match="the 2 pairs that are left are all of one fold of the list"):
        BENCHMARKS.create(f"lfw:root={people},missing=drop")
    benchmark = BENCHMARKS.create(f"lfw:root={people},missing=drop,folds=2")

    assert benchmark.notes["pairs dropped"] == "2, because 1 photos are not there"
    assert benchmark.folds.tolist() == [0, 1]
    assert [photo.name for photo in benchmark.photos] == ["Ada/Ada_0001.jpg", "Ada/Ada_0002.jpg", "Bo/Bo_0001.jpg"]
    assert list(zip(benchmark.left, benchmark.right)) == [(0, 1), (0, 2)]


def test_a_root_without_any_photo_of_the_list_is_refused(people, tmp_path):
    for missing in ("drop", "error"):
        with pytest.raises(InputError, match=r"none of the 5 photos of the list is there, .*; correct root$"):
            BENCHMARKS.create(f"lfw:root={tmp_path},pairs={people / 'pairs.txt'},missing={missing}")
    with pytest.raises(InputError, match="no such folder"):
        BENCHMARKS.create(f"lfw:root={tmp_path / 'x'},pairs={people / 'pairs.txt'}")


def write_landmarks(path, *names):
    path.write_text("\n".join([",".join(LANDMARK_COLUMNS), *(f"{name},{POINTS}" for name in names)]) + "\n")
    return path


def test_landmarks_beside_the_photos_are_used_when_asked_for(people):
    write_landmarks(people / "landmarks.csv", "Ada/Ada_0001.jpg")

    found = [photo.landmarks for photo in BENCHMARKS.create(f"lfw:root={people},landmarks=auto").photos]
    detected = [photo.landmarks for photo in BENCHMARKS.create(f"lfw:root={people}").photos]

    assert found[0].tolist() == [[30, 40], [70, 40], [50, 60], [35, 80], [65, 80]]
    assert found[1:] == [None] * 4
    assert detected == [None] * 5


def test_landmarks_of_other_photos_are_refused(people, tmp_path):
    path = write_landmarks(tmp_path / "other.csv", "x/y.jpg")
    with pytest.raises(InputError, match="names none of the photos"):
        BENCHMARKS.create(f"lfw:root={people},landmarks={path}")


def test_crops_take_no_landmarks(people, tmp_path):
    path = write_landmarks(tmp_path / "points.csv", "Ada/Ada_0001.jpg")
    with pytest.raises(InputError, match="exclude each other"):
        BENCHMARKS.create(f"lfw:root={people},landmarks={path},aligned=arcface")
    write_landmarks(people / "landmarks.csv", "Ada/Ada_0001.jpg")
    crops = BENCHMARKS.create(f"lfw:root={people},aligned=arcface,landmarks=auto")
    assert all(photo.landmarks is None for photo in crops.photos)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("path,x,y\n", "first line must be"),
        ("{head}\na.jpg,1,2\n", "line 2: a path and ten"),
        ("{head}\na.jpg,1,2,3,4,5,6,7,8,9,nan\n", "line 2"),
        ("{head}\na.jpg,1,2,3,4,5,6,7,8,9,x\n", "line 2"),
    ],
)
def test_damaged_landmarks_are_named(tmp_path, text, words):
    path = tmp_path / "landmarks.csv"
    path.write_text(text.replace("{head}", ",".join(LANDMARK_COLUMNS)))
    with pytest.raises(InputError, match=words):
        read_landmarks(path)


def test_a_generic_list_spreads_its_pairs_over_the_folds(people, tmp_path):
    path = tmp_path / "mine.txt"
    path.write_text(
        "Ada/Ada_0001.jpg Ada/Ada_0002.jpg 1\nBo/Bo_0001.jpg Bo/Bo_0002.jpg 1\n"
        "Ada/Ada_0001.jpg Bo/Bo_0001.jpg 0\nAda/Ada_0001.jpg Cy/Cy_0001.jpg 0\n"
    )

    benchmark = BENCHMARKS.create(f"pairs:path={path},root={people},folds=2")

    assert (benchmark.name, benchmark.identity) == ("mine", None)
    assert benchmark.folds.tolist() == [0, 1, 0, 1]


def test_a_folder_of_people_gives_every_pair_if_asked_for_many(people):
    benchmark = BENCHMARKS.create(f"folder:root={people},folds=2")

    pairs = {tuple(sorted(pair)) for pair in zip(benchmark.left.tolist(), benchmark.right.tolist())}

    assert pairs == set(itertools.combinations(range(5), 2))
    assert int(benchmark.same.sum()) == 2


@pytest.mark.parametrize("seed", range(5))
def test_drawn_pairs_are_distinct_and_half_genuine(seed):
    identity = np.random.default_rng(seed).integers(0, 12, size=80)

    left, right = draw_pairs(identity, 200, seed)

    assert (left != right).all()
    assert len({tuple(sorted(pair)) for pair in zip(left.tolist(), right.tolist())}) == 200
    assert (identity[left] == identity[right]).tolist() == [True] * 100 + [False] * 100
    np.testing.assert_array_equal(draw_pairs(identity, 200, seed), (left, right))


def test_every_fold_of_a_folder_holds_many_people_and_intervals_hold_the_accuracy(tmp_path):
    generator = np.random.default_rng(0)
    for person in range(10):
        for k in range(6):
            write_image(tmp_path / f"{person}" / f"{k}.jpg", np.zeros((8, 8, 3), np.uint8))
    benchmark = BENCHMARKS.create(f"folder:root={tmp_path},resamples=200")
    people = generator.normal(size=(10, 8)).repeat(6, axis=0)

    report = benchmark.score(people + generator.normal(size=(60, 8)))

    first = benchmark.folds == 0
    assert len(np.unique(benchmark.identity[benchmark.left[first & benchmark.same]])) > 4
    interval = report.intervals["accuracy"]
    assert interval.low < report.metrics["accuracy"] < interval.high
    assert report.protocol[WITHOUT_MODEL] == "91.53 %, by rejecting every pair"


def test_drawn_pairs_reach_every_pair_alike():
    identity = np.array([0, 0, 0, 1, 1, 2])
    counts = {}
    for seed in range(600):
        for pair in zip(*draw_pairs(identity, 4, seed)):
            key = tuple(sorted(int(k) for k in pair))
            counts[key] = counts.get(key, 0) + 1
    genuine = {k: v for k, v in counts.items() if identity[k[0]] == identity[k[1]]}
    impostor = {k: v for k, v in counts.items() if identity[k[0]] != identity[k[1]]}
    assert len(genuine) == 4
    assert len(impostor) == 11
    assert min(genuine.values()) > 0.8 * 300
    assert min(impostor.values()) > 0.7 * 109


@pytest.mark.parametrize(("identity", "pairs"), [([0, 1, 2], 10), ([0, 0, 0], 10), ([], 10), ([0, 0, 1], 1)])
def test_people_who_give_no_pairs_are_refused(identity, pairs):
    with pytest.raises(InputError, match="pairs"):
        draw_pairs(np.array(identity, np.intp), pairs, 0)


def test_photos_in_no_persons_folder_are_left_out_and_counted(people, tmp_path):
    whole = BENCHMARKS.create(f"folder:root={people}")
    write_image(people / "loose.jpg", np.zeros((8, 8, 3), np.uint8))
    benchmark = BENCHMARKS.create(f"folder:root={people}")

    assert [photo.name for photo in benchmark.photos] == [photo.name for photo in whole.photos]
    assert "no person's folder left out: 1" in benchmark.notes["pair list"]
    with pytest.raises(InputError, match=r"expected .*/PERSON/PHOTO"):
        BENCHMARKS.create(f"folder:root={people / 'Ada'}")


def test_an_image_of_many_pairs_is_embedded_once(tmp_path):
    a, b, c, d = (encode_jpeg(np.full((112, 112, 3), 60 * k, np.uint8)) for k in range(4))
    path = tmp_path / "toy.bin"
    path.write_bytes(pickle.dumps(([a, b, a, c, b, d, b, a], [True, False, False, True])))

    benchmark = BENCHMARKS.create(f"bin:path={path},folds=2")

    assert [photo.source for photo in benchmark.photos] == [a, b, c, d]
    assert benchmark.left.tolist() == [0, 0, 1, 1]
    assert benchmark.right.tolist() == [1, 2, 3, 0]
    assert benchmark.photos[2].name == "toy image 3"
    assert benchmark.photos[2].read().shape == (112, 112, 3)
    assert benchmark.aligned == "arcface"
