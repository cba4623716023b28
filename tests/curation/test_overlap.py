import csv

import numpy as np
import pytest

from facezoo.curation.embeddings import embed_dataset
from facezoo.curation.outliers import fits
from facezoo.curation.overlap import Probes, audit, identities_of, write_overlap
from facezoo.curation.overlap_page import overlap_page
from facezoo.curation.probes import open_probes
from facezoo.data.opening import open_dataset
from facezoo.data.subset import filtered, read_names
from facezoo.evaluation.photos import Photo
from facezoo.evaluation.verification import Verification
from facezoo.image import write_image
from facezoo.types import InputError, unit

STRANGERS, SHARED, TRAIN = 300, 12, 200


def people(rng, centres, photos, spread=0.6):
    """Unit vectors of photos of people, and their labels."""
    labels = np.repeat(np.arange(len(centres)), photos)
    noise = unit(rng.normal(size=(len(labels), centres.shape[1])))
    return unit(centres[labels] + spread * noise).astype(np.float32), labels


@pytest.fixture
def planted():
    """Centres of 200 training identities, and 312 test identities of which the last 12 are training identities."""
    rng = np.random.default_rng(0)
    train = unit(rng.normal(size=(TRAIN, 64))).astype(np.float32)
    others = unit(rng.normal(size=(STRANGERS, 64)))
    vectors, labels = people(rng, np.concatenate([others, train[:SHARED]]), 3)
    names = [f"t{k}" for k in range(STRANGERS + SHARED)]
    photos = [f"{names[label]}/{k}.jpg" for k, label in enumerate(labels)]
    return train, Probes(names, labels, vectors, photos, lambda k: np.full((8, 8, 3), k % 256, np.uint8))


def test_who_is_in_both_is_found_and_hardly_anybody_else(planted):
    train, test = planted
    found = audit(train, test, false_alarms=0.05)
    pairs = {(match.identity, match.train) for match in found.overlapping}
    assert pairs >= {(STRANGERS + k, k) for k in range(SHARED)} and len(pairs) <= SHARED + 1
    assert found.to_dict()["overlapping"] == len(pairs) and found.to_dict()["test_identities"] == len(test.names)


def test_strangers_are_taken_for_one_person_about_as_often_as_allowed():
    counts = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        train = unit(rng.normal(size=(TRAIN, 64))).astype(np.float32)
        vectors, labels = people(rng, unit(rng.normal(size=(STRANGERS, 64))), 1)
        test = Probes([str(k) for k in range(STRANGERS)], labels, vectors, [""] * STRANGERS, lambda k: None)
        counts.append(len(audit(train, test, false_alarms=5.0).overlapping))
    assert 0.2 < np.mean(counts) < 10


def test_fewer_false_alarms_ask_for_a_higher_cosine(planted):
    train, test = planted
    assert audit(train, test, 0.01).threshold > audit(train, test, 1.0).threshold
    match = audit(train, test).matches[0]
    assert match.chance < 1 and match.photo_score <= 1


def test_people_without_a_face_are_left_out(planted):
    train, test = planted
    vectors = test.vectors.copy()
    vectors[test.labels == 3] = 0
    found = audit(train, Probes(test.names, test.labels, vectors, test.photos, test.read))
    assert found.identities == len(test.names) - 1 and all(match.identity != 3 for match in found.matches)


def test_too_few_identities_tell_nothing(planted):
    train, test = planted
    few = test.labels < 50
    small = Probes(test.names[:50], test.labels[few], test.vectors[few], test.photos, test.read)
    with pytest.raises(InputError, match=r"50 test identities are too few .* 201 are needed"):
        audit(train, small)
    with pytest.raises(InputError, match="false_alarms is 0"):
        audit(train, test, 0)


def benchmark(identity):
    photos = [Photo(name, np.zeros((8, 8, 3), np.uint8)) for name in ("a/1", "a/2", "b/1", "c/1", "a/3")]
    left, right = np.array([0, 1, 2, 0]), np.array([1, 4, 3, 2])
    return Verification("toy", photos, left, right, np.array([True, True, False, False]), identity=identity)


@pytest.mark.parametrize("identity", [None, np.array([7, 7, 2, 1, 7])])
def test_identities_are_the_benchmarks_or_follow_from_its_genuine_pairs(identity):
    names, labels = identities_of(benchmark(identity))
    assert [names[label] for label in labels] == ["a", "a", "b", "c", "a"] and len(names) == 3


def test_from_folders_to_a_list_without_the_overlap(world, embed, paint, tmp_path, monkeypatch):
    monkeypatch.setattr("facezoo.curation.overlap.TAIL", 0.02)
    for person in (*range(100, 155), 20, 21):
        for photo in (20, 21):
            write_image(tmp_path / "test" / f"x{person}" / f"{photo}.png", paint(person, photo))
    train = open_dataset(str(world))
    test = open_probes(str(tmp_path / "test"), embed, "m", tmp_path / "e", pytest.fail, "")
    judged = fits(embed_dataset(train, embed, "m", tmp_path / "t"), train.labels)
    found = audit(judged.centres, test, false_alarms=0.01)
    write_overlap(found, test, train.classes, tmp_path / "out")
    rows = list(csv.DictReader((tmp_path / "out/matches.csv").read_text().splitlines()))
    over = {(row["test_identity"], row["train_identity"]) for row in rows if row["overlaps"] == "1"}
    assert over == {("x20", "p20"), ("x21", "p21")} and len(rows) == 57
    drop = read_names(tmp_path / "out/leave_out.txt")
    assert len(filtered(train, drop=drop)) == len(train) - 20
    html = overlap_page(found, test, train, judged.scores, "Overlap", shown=1)
    assert "2 found, the first 1 are shown" in html and html.count("<figure>") == 2
