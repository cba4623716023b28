"""Labels from class centres: who is near one class, near two, near none; and the lists that train on them."""

from __future__ import annotations

import csv
import json
import shutil

import cv2
import numpy as np
import pytest

from facezoo.config import config_from_dict
from facezoo.curation import labels as module
from facezoo.curation.labels import label, nearest, open_images
from facezoo.image import write_image
from facezoo.registry import DATASETS
from facezoo.train import Trainer
from facezoo.types import Contract, InputError, unit

PEOPLE, KNOWN = 5, 4
"""The head knows all but the last person."""


class Means:
    """The mean colours of the four quarters of a crop, less grey: 12 dimensions."""

    contract = Contract(input_size=(8, 8), embedding_dim=12)

    def __call__(self, crops):
        rows = [cv2.resize(crop, (2, 2), interpolation=cv2.INTER_AREA).reshape(-1) - 127.5 for crop in crops]
        return np.array(rows, np.float32).reshape(-1, 12)


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    """A pattern a person; `loose` has images of all in one folder, one of them broken."""
    root = tmp_path_factory.mktemp("labels")
    rng = np.random.default_rng(1)
    patterns = [cv2.resize(rng.integers(0, 256, (2, 2, 3), dtype=np.uint8), (32, 32)) for _ in range(PEOPLE)]
    for person, pattern in enumerate(patterns):
        for number in range(6):
            image = np.clip(pattern + rng.normal(0, 6, pattern.shape), 0, 255).astype(np.uint8)
            if person < KNOWN:
                write_image(root / "known" / f"person{person}" / f"{number}.png", image)
            write_image(root / "loose" / f"{person}-{number}.png", image)
    (root / "loose" / "broken.png").write_bytes(b"\x89PNG broken")
    return root


def test_the_nearest_class_and_the_next_are_those_of_the_whole_matrix(monkeypatch):
    rng = np.random.default_rng(0)
    centres, rows = rng.normal(size=(37, 3, 5)), rng.normal(size=(50, 5))
    cosine = (unit(rows)[:, None, None] * unit(centres.reshape(-1, 5)).reshape(37, 3, 5)).sum(-1).max(-1)
    for at_once in (6, 30, 1000):
        monkeypatch.setattr(module, "CENTRES", at_once)
        found = nearest(centres, rows)
        np.testing.assert_array_equal(found.label, cosine.argmax(1))
        np.testing.assert_allclose(found.cosine, np.sort(cosine)[:, -1], atol=1e-6)
        np.testing.assert_allclose(found.second, np.sort(cosine)[:, -2], atol=1e-6)
    alone = nearest(centres[:1, 0], rows)
    assert set(alone.label) == {0} and set(alone.second) == {-1}


def test_only_images_near_one_class_get_its_label(faces):
    data, embed = open_images(str(faces / "loose")), Means()
    first = {person: embed([cv2.imread(str(faces / "loose" / f"{person}-0.png"))[..., ::-1]])[0] for person in range(5)}
    centres = np.stack([first[person] for person in range(KNOWN)])
    found = label(data, embed, centres, list("abcd"), cosine=0.9, margin=0.1)

    truth = {sample: int(data.path(sample)[0]) for sample in found.samples.tolist()}
    assert found.labels.tolist() == list(truth.values()) and set(truth.values()) == set(range(KNOWN))
    assert found.counts == {
        "images": 31,
        "labelled": 24,
        "near no class": 6,
        "near two classes": 0,
        "unreadable": 1,
        "labelled as before": 0,
        "labelled otherwise than before": 0,
    }
    twins = label(data, embed, np.stack([*centres, first[0]]), list("abcde"), cosine=0.9, margin=0.1)
    assert twins.counts["near two classes"] == 6 and 0 not in twins.labels


def test_labels_that_images_have_are_counted_against(faces):
    data, embed = DATASETS.create(f"folder:root={faces / 'known'}"), Means()
    centres = np.stack([embed([data.read(6 * person)])[0] for person in (1, 0, 2)])
    found = label(data, embed, centres, ["person0", "person1", "person2"], cosine=0.9)
    assert (found.counts["labelled as before"], found.counts["labelled otherwise than before"]) == (6, 12)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"cosine": 1.5}, "cosine is 1.5"), ({"margin": -1}, "margin -1"), ({"dim": 5}, "gives 12 dimensions, the head")],
)
def test_what_cannot_be_compared_is_refused(faces, options, message):
    centres = np.ones((2, options.pop("dim", 12)))
    with pytest.raises(InputError, match=message):
        label(open_images(str(faces / "loose")), Means(), centres, ["a", "b"], **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cosine": 0.999, "margin": 0.0}, "no image is labelled: the cosines to the nearest class are "),
        ({"cosine": 0.5, "margin": 2.0}, r"of \d+ with a cosine of 0.5 to a class the nearest is nearer than the next"),
    ],
)
def test_where_no_image_is_labelled_the_numbers_to_choose_by_are_told(faces, options, message):
    data, embed = DATASETS.create(f"folder:root={faces / 'known'}"), Means()
    centres = np.stack([embed([data.read(6 * person)])[0] for person in (0, 1)])
    centres[:, 0] += 40  # nobody's own direction
    with pytest.raises(InputError, match=message) as caught:
        label(data, embed, centres, ["a", "b"], **options)
    found = nearest(centres, embed([data.read(sample) for sample in range(len(data))]))
    if options["cosine"] > 0.9:
        assert f"{np.median(found.cosine):.3f} in half" in str(caught.value)
        assert f"{found.cosine.max():.3f} at most" in str(caught.value)


@pytest.fixture(scope="module")
def trained(faces, tmp_path_factory):
    out = tmp_path_factory.mktemp("labels-run")
    values = {
        "model": {
            "backbone": "mobilefacenet:embedding_dim=16,width=0.25,input_size=[32,32]",
            "head": "cosface:scale=16,margin=0.1",
        },
        "data": {"train": f"folder:root={faces / 'known'}", "batch_size": 12, "workers": 0},
        "optim": {"lr": 0.05},
        "train": {"epochs": 25, "threads": 1},
    }
    Trainer(config_from_dict(values), out).run()
    return out


def test_the_list_trains_beside_the_data_it_came_from(faces, trained, run, tmp_path, caplog):
    out, counts = tmp_path / "labels.txt", tmp_path / "counts.csv"
    tokens = ["head", "label", trained, trained, faces / "loose", out, "--counts", counts, "--json"]
    code, printed, error = run(*tokens)
    assert code == 0, error
    facts = json.loads(printed)
    assert facts["labelled"] >= 20 and facts["unreadable"] == 1 and "cosines mean little" not in caplog.text

    found = DATASETS.create(facts["train"])
    truth = [int(found.path(sample)[0]) for sample in range(len(found))]
    right = np.mean([found.classes[label] == f"person{person}" for label, person in zip(found.labels, truth)])
    assert right > 0.9
    with counts.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert sum(int(row["images"]) for row in rows) == len(found) and len(rows) == KNOWN

    known = f"folder:root={faces / 'known'}"
    both = DATASETS.create(f"multi:sets={json.dumps([known, facts['train']])},same=true")
    assert both.classes == [f"person{k}" for k in range(KNOWN)] and len(both) == 24 + len(found)

    shutil.copytree(trained, tmp_path / "other")
    code, _, error = run(*tokens[:3], tmp_path / "other", *tokens[4:], "--force")
    assert code == 0 and "their cosines mean little" in caplog.text

    code, _, error = run(*tokens)
    assert code == 2 and "is there already; name another place, or replace it with --force" in error
    assert run(*tokens, "--force")[0] == 0
