"""Verification sets by name: their lists, folds, people, landmarks, and what other projects' evaluators get wrong."""

import gzip
import json

import cv2
import numpy as np
import pytest
from scipy.io import savemat

from facezoo.data.pairs import PairList
from facezoo.evaluation.by_group import ByGroup
from facezoo.evaluation.compat import if_val
from facezoo.evaluation.digests import list_digest
from facezoo.evaluation.landmark_files import five_of_68, five_of_106, read_points
from facezoo.evaluation.pairs import read_person_pairs
from facezoo.evaluation.photos import Crops, Photo
from facezoo.evaluation.sets.agedb import read_splits
from facezoo.evaluation.sets.listed import Listed, verification
from facezoo.evaluation.verification import Verification
from facezoo.image import write_image
from facezoo.registry import BENCHMARKS
from facezoo.types import Contract, InputError

FIVE = "30.25 40\n70 40.5\n50 60\n35 80\n65.75 80\n"


FIVE_POINTS = [[30.25, 40], [70, 40.5], [50, 60], [35, 80], [65.75, 80]]


def picture(path):
    write_image(path, np.zeros((8, 8, 3), np.uint8))


def made(root, names, text, file):
    for name in names:
        picture(root / name)
    (root / file).parent.mkdir(parents=True, exist_ok=True)
    (root / file).write_text(text)


def pairs_of(benchmark):
    names = [photo.name for photo in benchmark.photos]
    return [(names[a], names[b], bool(s)) for a, b, s in zip(benchmark.left, benchmark.right, benchmark.same)]


def two_lines(pairs):
    return "".join(f"{a} {label}\n{b} {label}\n" for a, b, label in pairs)


@pytest.mark.parametrize(("name", "file"), [("cplfw", "pairs_CPLFW.txt"), ("calfw", "pairs_CALFW.txt")])
def test_cplfw_and_calfw_have_people_in_names_and_points_beside_the_photos(tmp_path, name, file):
    listed = [
        ("Al_Bo_1.jpg", "Al_Bo_2.jpg", 3),
        ("C_1.jpg", "C_2.jpg", 1),
        ("Al_Bo_1.jpg", "C_1.jpg", 0),
        ("C_2.jpg", "Al_Bo_2.jpg", 0),
    ]
    made(tmp_path, [f"images/{p}_{k}.jpg" for p in ("Al_Bo", "C") for k in (1, 2)], two_lines(listed), file)
    (tmp_path / "landmarks").mkdir()
    (tmp_path / "landmarks/C_1_5loc_attri.txt").write_text(FIVE)

    benchmark = BENCHMARKS.create(f"{name}:root={tmp_path},folds=2,landmarks=auto")

    assert benchmark.name == name
    assert pairs_of(benchmark) == [(a, b, label > 0) for a, b, label in listed]
    assert benchmark.folds.tolist() == [0, 1, 0, 1]
    assert benchmark.identity.tolist() == [0, 0, 1, 1]
    assert [photo.landmarks is None for photo in benchmark.photos] == [True, True, False, True]
    assert benchmark.photos[2].landmarks.tolist() == FIVE_POINTS


def test_points_are_not_cut_to_whole_pixels(tmp_path):
    (tmp_path / "a_5loc_attri.txt").write_text(FIVE)
    assert read_points(tmp_path, ["a.jpg"])["a.jpg"].tolist() == FIVE_POINTS


def test_labels_that_contradict_names_are_told_and_pairs_resampled(tmp_path):
    listed = [
        ("A_1.jpg", "A_2.jpg", 1),
        ("A_1.jpg", "A_2.jpg", 0),
        ("A_1.jpg", "B_1.jpg", 0),
        ("B_1.jpg", "B_2.jpg", 1),
    ]
    made(tmp_path, ["A_1.jpg", "A_2.jpg", "B_1.jpg", "B_2.jpg"], two_lines(listed), "pairs_CPLFW.txt")
    benchmark = BENCHMARKS.create(f"cplfw:root={tmp_path},folds=2")
    assert benchmark.identity is None
    assert benchmark.notes["identities"].startswith("not known: the labels of 1 pairs")


def mat(path, splits):
    """A MATLAB file with the structs of AgeDB's."""
    cells = np.empty((len(splits), 1), object)
    for k, (left, right, labels) in enumerate(splits):
        names = np.empty((2, len(left)), object)
        for row, side in enumerate((left, right)):
            for column, name in enumerate(side):
                names[row, column] = {"name": name}
        cells[k, 0] = {"pairs": names, "labels": np.array([labels], np.int16)}
    savemat(path, {"splits": cells})


def test_agedb_reads_its_matlab_file(tmp_path):
    people = ["1_AnnaBell_30_f", "2_AnnaBell_61_f", "3_CarlDean_20_m", "4_CarlDean_55_m"]
    mat(
        tmp_path / "04_FINAL_protocol_30_years.mat",
        [
            ([people[0], people[0]], [people[1], people[2]], [1, -1]),
            ([people[1], people[2]], [people[2], people[3]], [-1, 1]),
        ],
    )
    for name in people:
        picture(tmp_path / f"{name}.jpg")
    points = np.random.default_rng(0).uniform(0, 100, (68, 2))
    rows = "\n".join(f"{x} {y}" for x, y in points)
    (tmp_path / f"{people[3]}.pts").write_text(f"version: 1\nn_points: 68\n{{\n{rows}\n}}\n")

    benchmark = BENCHMARKS.create(f"agedb:root={tmp_path},landmarks=auto")

    assert benchmark.name == "agedb_30"
    assert benchmark.same.tolist() == [True, False, False, True]
    assert benchmark.folds.tolist() == [0, 0, 1, 1]
    assert benchmark.identity.tolist() == [0, 0, 1, 1]
    np.testing.assert_allclose(benchmark.photos[3].landmarks, five_of_68(points))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not a MATLAB file"),
        (b"MATLAB 5.0 MAT-file" + bytes(200), "not a MATLAB file"),
        (b"\x89HDF\r\n\x1a\n" + bytes(600), "not a MATLAB file"),
        ({"other": np.ones(3)}, "not a MATLAB file"),
        ({"splits": np.ones(3)}, "split 1 is not one of AgeDB's"),
    ],
)
def test_what_is_no_file_of_agedb_is_named(tmp_path, content, words):
    path = tmp_path / "x.mat"
    path.write_bytes(content) if isinstance(content, bytes) else savemat(path, content)
    with pytest.raises(InputError, match=words):
        read_splits(path)


def test_names_of_agedb_stay_below_the_folder(tmp_path):
    mat(tmp_path / "x.mat", [(["../../a"], ["b"], [1]), (["a"], ["b"], [-1])])
    with pytest.raises(InputError, match="leaves the folder"):
        read_splits(tmp_path / "x.mat")


@pytest.mark.golden
def test_agedb_is_read_as_facex_zoo_reads_it(golden_root):
    with gzip.open(golden_root / "evaluation/pairs/expected.json.gz") as file:
        expected = json.load(file)["parsed"]["agedb"]

    listed, fold = read_splits(golden_root / "evaluation/pairs" / expected["file"])

    assert [[a, b, int(s)] for a, b, s in zip(listed.left, listed.right, listed.same)] == expected["pairs"]
    assert np.bincount(fold).tolist() == [600] * 10


def cfp_set(root):
    for person in (1, 2):
        for kind, count in (("frontal", 2), ("profile", 1)):
            for k in range(count):
                picture(root / f"Images/{person:03d}/{kind}/{k + 1:02d}.jpg")
    lists = root / "Protocol"
    for split in ("01", "02"):
        for kind, same, diff in (("FP", "1,1\n\n3,2\n", "1,2\n"), ("FF", "1,2\n", "1,3\n2,4\n")):
            folder = lists / "Split" / kind / split
            folder.mkdir(parents=True)
            (folder / "same.txt").write_text(same)
            (folder / "diff.txt").write_text(diff)
    frontal = [
        f"{2 * p + k + 1} ../Data/Images/{p + 1:03d}/frontal/{k + 1:02d}.jpg\n" for p in range(2) for k in range(2)
    ]
    (lists / "Pair_list_F.txt").write_text("".join(frontal))
    (lists / "Pair_list_P.txt").write_text("".join(f"{p} ../Data/Images/{p:03d}/profile/01.jpg\n" for p in (1, 2)))


def test_cfp_reads_its_protocol(tmp_path):
    cfp_set(tmp_path)
    profile, frontal = (BENCHMARKS.create(f"cfp:root={tmp_path},protocol={kind}") for kind in ("fp", "ff"))

    assert pairs_of(profile)[:3] == [
        ("Images/001/frontal/01.jpg", "Images/001/profile/01.jpg", True),
        ("Images/002/frontal/01.jpg", "Images/002/profile/01.jpg", True),
        ("Images/001/frontal/01.jpg", "Images/002/profile/01.jpg", False),
    ]
    assert (profile.name, frontal.name) == ("cfp_fp", "cfp_ff")
    assert profile.folds.tolist() == [0, 0, 0, 1, 1, 1]
    assert profile.identity[profile.left[0]] == profile.identity[profile.right[0]]
    assert pairs_of(frontal)[2] == ("Images/001/frontal/02.jpg", "Images/002/frontal/02.jpg", False)


def test_what_is_left_of_one_fold_is_cut_anew_on_wish(tmp_path):
    names = [f"{k}.jpg" for k in range(8)]
    listed = PairList(names, names[1:] + names[:1], np.array([True, True, False, False] * 2))
    for name in names[:5]:
        (tmp_path / name).touch()
    source = Listed("toy", tmp_path, listed, fold=np.repeat([0, 1], 4))
    with pytest.raises(InputError, match="the 4 pairs that are left are all of one fold of the list; cut them anew"):
        verification(source, missing="drop")
    assert verification(source, missing="drop", folds=2).folds.tolist() == [0, 1, 0, 1]


def test_a_number_that_cfps_lists_do_not_have_is_named(tmp_path):
    cfp_set(tmp_path)
    (tmp_path / "Protocol/Split/FP/02/diff.txt").write_text("1,2\n1,9\n")
    with pytest.raises(InputError, match=r"02/diff.txt: line 2: 'i,j'"):
        BENCHMARKS.create(f"cfp:root={tmp_path}")


@pytest.mark.data
@pytest.mark.parametrize("kind", ["ff", "fp"])
def test_cfp_has_seven_thousand_pairs(data_root, kind):
    benchmark = BENCHMARKS.create(f"cfp:root={data_root / 'cfp112'},protocol={kind},aligned=arcface,missing=drop")
    dropped = int(benchmark.notes.get("pairs dropped", "0").partition(",")[0])
    assert len(benchmark.same) + dropped == 7000
    assert len(np.unique(benchmark.folds)) == 10
    assert dropped == (0 if kind == "ff" else 7000 - len(benchmark.same)) < 50
    assert len(np.unique(benchmark.identity)) == 500


def test_other_sets_in_lfws_grammar_have_their_own_lists(tmp_path):
    made(tmp_path, ["A/A_0001.jpg", "A/A_0002.jpg", "B/B_0001.jpg"], "A\t1\t2\nA\t1\tB\t1\n", "xqlfw_pairs.txt")
    (tmp_path / "pair_SLLFW.txt").write_text("A/A_0001.jpg\nA/A_0002.jpg\n\nA/A_0002.jpg\nB/B_0001.jpg\n")
    (tmp_path / "pairs.txt").write_text("A\t1\t2\nB\t1\tA\t2\n")
    for name, second in (("xqlfw", ("A", 1)), ("sllfw", ("A", 2)), ("talfw", ("B", 1))):
        benchmark = BENCHMARKS.create(f"{name}:root={tmp_path},folds=2")
        assert benchmark.name == name
        assert benchmark.same.tolist() == [True, False]
        assert benchmark.photos[benchmark.left[1]].name == "{0}/{0}_{1:04d}.jpg".format(*second)
        assert benchmark.identity is not None


@pytest.mark.parametrize(
    "text", ["A/1.jpg\tA/2.jpg\t1\nA/1.jpg\tB/1.jpg\t0\n", "A/1.jpg 1\nA/2.jpg 1\nA/1.jpg 0\nB/1.jpg 0\n"]
)
def test_lists_of_people_may_name_photos(tmp_path, text):
    (tmp_path / "pairs.txt").write_text(text)
    listed = read_person_pairs(tmp_path / "pairs.txt")
    assert list(zip(listed.left, listed.right, listed.same.tolist())) == [
        ("A/1.jpg", "A/2.jpg", True),
        ("A/1.jpg", "B/1.jpg", False),
    ]


@pytest.mark.golden
def test_five_points_are_taken_from_106_as_facex_zoo_takes_them(golden):
    given, expected, _ = golden.load("align/landmarks_crops.npz")
    found = np.stack([five_of_106(points) for points in given["lms106"]])
    np.testing.assert_array_equal(found, expected["facexzoo.five_from_106"])
    found = np.stack([five_of_68(points) for points in given["lms68"]])
    np.testing.assert_allclose(found, expected["insightface.five_from_68"], atol=1e-5)


def test_face_info_with_106_points_is_read(tmp_path):
    points = np.random.default_rng(0).uniform(0, 200, (106, 2)).round(3)
    path = tmp_path / "info.txt"
    path.write_text("A/1.jpg 1,2,3,4 " + ",".join(str(value) for value in points.ravel()) + "\n")
    found = read_points(path, ["A/1.jpg", "B/1.jpg"])
    assert list(found) == ["A/1.jpg"]
    np.testing.assert_allclose(found["A/1.jpg"], five_of_106(points))


@pytest.mark.parametrize(
    ("file", "text", "words"),
    [
        ("lmk.txt", "a/b.jpg 0 1 2\n", "line 1: neither"),
        ("lmk.txt", "a/b.jpg 0 1 2 3 4 5 6 7 8 9 x\n", "of 5 points"),
        ("lmk.txt", "a/b.jpg 1,2,3,4 1,2,3\n", "of 106 points"),
        ("b_5loc_attri.txt", "1 2\n3 4\n", "of 5 points"),
        ("b.pts", "version: 1\n{\n1 2\n}\n", "of 68 points"),
    ],
)
def test_points_of_another_form_are_named(tmp_path, file, text, words):
    (tmp_path / file).write_text(text)
    place = tmp_path / file if file == "lmk.txt" else tmp_path
    with pytest.raises(InputError, match=words):
        read_points(place, ["b.jpg"])


@pytest.mark.parametrize(("pairs", "folds"), [(3000, 10), (6000, 10), (7000, 10), (6001, 7)])
def test_any_number_of_pairs_is_scored_honestly(tmp_path, pairs, folds):
    """FaceX-Zoo's array of 10 x 600 leaves zeros that count as right, 86.0 % for an honest 73.2 %; more pairs fail."""
    generator = np.random.default_rng(pairs)
    same = np.arange(pairs) % 2 == 0
    left = generator.integers(300, size=pairs)
    right = np.where(same, left ^ 1, (left + 2 * generator.integers(1, 150, size=pairs)) % 300)
    listed = PairList([f"{k}.jpg" for k in left], [f"{k}.jpg" for k in right], same)
    benchmark = verification_of(tmp_path, listed, folds)
    people = np.repeat(generator.normal(size=(150, 8)), 2, axis=0) + 0.8 * generator.normal(size=(300, 8))
    embeddings = people[[int(photo.name.removesuffix(".jpg")) for photo in benchmark.photos]]

    report = benchmark.score(embeddings)

    scores = benchmark.scores(embeddings)
    best = max(((scores >= t) == same).mean() for t in np.quantile(scores, np.linspace(0, 1, 400)))
    assert report.protocol["pairs"] == pairs
    assert report.metrics["accuracy"] == pytest.approx(best, abs=0.01)


def verification_of(root, pairs, folds):
    """The files are empty: nothing reads them."""
    for name in {*pairs.left, *pairs.right}:
        (root / name).touch()
    return verification(Listed("toy", root, pairs), folds=folds, resamples=0)


def test_insightfaces_val_is_added_when_asked_for(tmp_path):
    same = np.arange(200) % 2 == 0
    names = [f"{side}{k}.jpg" for k in range(200) for side in "ab"]
    pairs = PairList(names[::2], names[1::2], same)
    plain = verification_of(tmp_path, pairs, 10)
    benchmark = verification(Listed("toy", tmp_path, pairs), val=0.1, resamples=0)
    embeddings = np.random.default_rng(0).normal(size=(1200, 8)) + 2 * np.repeat(
        np.eye(8)[np.arange(600) % 8], 2, axis=0
    )

    report = benchmark.score(embeddings)

    wanted = if_val(plain.scores(embeddings), same, 0.1, plain.folds)
    assert report.metrics["val@far=0.1"] == wanted.val
    assert report.metrics["far of val@far=0.1"] == wanted.far
    assert report.protocol["val@far=0.1"].startswith("insightface")
    assert "val@far=0.1" not in plain.score(embeddings).metrics
    with pytest.raises(InputError, match="val=2"):
        verification(Listed("toy", tmp_path, pairs), val=2)


def test_zoom_scales_and_takes_the_middle_as_evolve_does():
    crop = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (112, 112, 3), dtype=np.uint8), (0, 0), 3)
    found = Crops([], Contract(), "arcface").crop(Photo("x", crop, zoom=128))
    rows, columns = np.mgrid[:112, :112]
    place = lambda at: ((at + 8 + 0.5) * 112 / 128 - 0.5).astype(np.float32)  # noqa: E731
    wanted = cv2.remap(crop, place(columns), place(rows), cv2.INTER_LINEAR)
    assert found.shape == (112, 112, 3)
    assert np.abs(found.astype(int) - wanted).max() <= 2


def test_zoom_is_for_crops(tmp_path):
    made(tmp_path, ["A/A_0001.jpg", "A/A_0002.jpg", "B/B_0001.jpg"], "A\t1\t2\nA\t1\tB\t1\n", "pairs.txt")
    with pytest.raises(InputError, match="aligned=arcface"):
        BENCHMARKS.create(f"lfw:root={tmp_path},zoom=128,folds=2")
    benchmark = BENCHMARKS.create(f"lfw:root={tmp_path},zoom=128,aligned=arcface,folds=2")
    assert benchmark.notes["zoom"].startswith("crops scaled to 128")
    with pytest.raises(InputError, match="zoom=64 is less"):
        Crops([], Contract(), "arcface").crop(Photo("x", np.zeros((112, 112, 3), np.uint8), zoom=64))


def test_the_digest_of_the_lists_tells_groups_apart(tmp_path):
    pairs = [
        Verification("x", [], *np.array([[0, 2], [1, 3]]), np.array(same), 1) for same in ([True, False], [False, True])
    ]
    whole, part = ({"a": pairs[0], "b": pairs[1]}, {"a": pairs[0]})
    digests = {list_digest(ByGroup("rfw", groups)) for groups in (whole, part, {"a": pairs[1]})}
    assert len(digests) == 3
