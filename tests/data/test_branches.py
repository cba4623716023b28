"""Several sets at once in groups, and lists of people before two cameras."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from facezoo.data.side_by_side import class_sets, people
from facezoo.image import write_image
from facezoo.registry import DATASETS, SAMPLERS
from facezoo.types import InputError

# Three people with 1, 2 and 4 photos in set 0, five with 3 each in set 1; b and c are in both.
CLASSES = ["0-a", "0-b", "0-c", "1-c", "1-d", "1-e", "1-b", "1-f"]
LABELS = np.repeat(np.arange(8), [1, 2, 4, 3, 3, 3, 3, 3])
SOURCE = (LABELS >= 3).astype(np.int64)


def create(spec, batch_size=4, labels=LABELS, source=SOURCE, classes=CLASSES):
    return SAMPLERS.create_for(spec, labels=labels, source=source, classes=classes, batch_size=batch_size, seed=1)


def test_a_group_is_photos_of_one_identity_of_every_set():
    for epoch in range(5):
        groups = create("branches:each=2").epoch(epoch).reshape(-1, 2, 2)
        assert (SOURCE[groups] == [[0, 0], [1, 1]]).all()
        labels = LABELS[groups]
        assert (labels[:, :, 0] == labels[:, :, 1]).all()
        assert sorted(labels[:, 1, 0]) == [3, 4, 5, 6, 7], "everybody of the largest set once"
        assert set(labels[:, 0, 0]) == {0, 1, 2}, "the others again and again"
        assert ((groups[:, :, 0] == groups[:, :, 1]) == (labels[:, :, 0] == 0)).all(), "the only photo comes twice"


def test_the_same_identity_is_known_by_its_name():
    sampler = create("branches:same=true,each=2")
    assert sampler.group == 4 and sampler.draws == 8
    groups = sampler.epoch(0).reshape(-1, 2, 2)
    names = np.array([name.partition("-")[2] for name in CLASSES])[LABELS[groups]]
    assert (names == names[:, :1, :1]).all() and sorted(names[:, 0, 0]) == ["b", "c"]
    assert (SOURCE[groups] == [[0, 0], [1, 1]]).all()


@pytest.mark.parametrize("exclude", [0, 7])
def test_nobody_of_two_sets_comes_again_while_in_the_queue(exclude):
    labels, count = np.repeat(np.arange(82), 1), 41
    classes = [f"{label // count}-{label % count:02}" for label in labels]
    sampler = create(f"branches:same=true,exclude={exclude}", 8, labels, labels // count, classes)
    drawn = labels[np.concatenate([sampler.epoch(epoch)[::2] for epoch in range(12)])]
    again = any(set(drawn[max(0, at - 7) : at]) & set(drawn[at : at + 4]) for at in range(0, len(drawn), 4))
    assert again == (exclude == 0)


@pytest.mark.parametrize(
    ("spec", "changes", "words"),
    [
        ("branches", {"source": None}, "the data are one set"),
        ("branches", {"source": np.zeros(len(LABELS), np.int64)}, "the data are one set"),
        ("branches:each=0", {}, "each is 0"),
        ("branches:each=3", {"batch_size": 10}, "it must be a multiple of 6: 3 photos of 2 sets"),
        ("branches:exclude=1", {}, "it goes with same=true only"),
        ("branches:same=true,exclude=2", {}, "it must be 0 to 0: half of an epoch's 2 identities"),
        ("branches:same=true", {"classes": [f"{label}-{label}" for label in range(8)]}, "the same name in all sets"),
    ],
)
def test_what_cannot_be_grouped_is_refused(spec, changes, words):
    with pytest.raises(InputError, match=words):
        create(spec, **changes)


def test_classes_know_their_set_and_person():
    assert class_sets(LABELS, SOURCE).tolist() == [0, 0, 0, 1, 1, 1, 1, 1]
    assert class_sets(LABELS, None).tolist() == [0] * 8
    with pytest.raises(InputError, match="images in two sets"):
        class_sets(LABELS % 3, SOURCE)
    found = people(CLASSES)
    assert found[1] == found[6] and found[2] == found[3] and len(set(found.tolist())) == 6


@pytest.fixture
def cameras(tmp_path):
    for person in range(3):
        for kind, level in (("nir", 40), ("vis", 200)):
            for number in range(2):
                image = np.full((8, 8, 3), level + person, np.uint8)
                write_image(tmp_path / kind / f"{person}_{number}.png", cv2.flip(image, 1))
    return tmp_path


def write(folder, text):
    path = folder / "list.txt"
    path.write_text(text)
    return path


@pytest.mark.parametrize("blank", [" ", "\t"])
def test_a_list_of_two_cameras_is_two_sets(cameras, blank):
    lines = [
        ("nir/0_0.png", "vis/0_0.png", "4"),
        ("nir/0_0.png", "vis/0_1.png", "4"),
        ("nir/1_0.png", "vis/1_0.png", "9"),
    ]
    path = write(cameras, "".join(blank.join(line) + "\n" for line in lines) + "\n")
    data = DATASETS.create(f"nir_vis:path={path}")

    assert data.classes == ["0-4", "0-9", "1-4", "1-9"]
    assert data.labels.tolist() == [0, 0, 1, 2, 3] and data.source.tolist() == [0, 0, 0, 1, 1]
    assert [data.path(i) for i in range(5)] == [
        *("0-vis/0_0.png", "0-vis/0_1.png", "0-vis/1_0.png"),
        *("1-nir/0_0.png", "1-nir/1_0.png"),
    ]
    assert [int(data.read(i)[0, 0, 0]) for i in range(5)] == [200, 200, 201, 40, 41]
    assert data.problems.blank_lines.count == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nir/0_0.png 4\n", "is not two paths"),
        ("nir/0_0.png vis/0_0.png vis/0_1.png 4\n", "is not two paths"),
        ("nir/0_0.png vis/0_0.png x\n", "whole number"),
        ("nir/0_0.png vis/0_0.png 4\nnir/0_0.png vis/1_0.png 5\n", "has the labels 4 and 5"),
        ("nir/0_0.png ../vis/0_0.png 4\n", "is not two paths|leads out of|lies outside"),
        ("nir/0_0.png vis/../../x.png 4\n", "is not two paths|leads out of|lies outside"),
        ("nir/0_0.png /etc/x.png 4\n", "leads out of"),
        ("nir/0_0.png vis/none.png 4\n", "1 of 1 listed files are not below"),
    ],
)
def test_a_wrong_list_of_two_cameras_is_one_sentence(cameras, text, words):
    with pytest.raises(InputError, match=words):
        DATASETS.create(f"nir_vis:path={write(cameras, text)}")
