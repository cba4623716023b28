"""Several datasets as one: classes, weights, label spaces, and specs within specs."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest

from facezoo.data.subset import spec_text
from facezoo.image import write_image
from facezoo.registry import DATASETS
from facezoo.types import InputError


@pytest.fixture
def roots(tmp_path):
    """Two folders, one with brackets, blanks and a comma in its name; ada is in both."""
    rng = np.random.default_rng(0)
    first, second = tmp_path / "one", tmp_path / "two (x), [y"
    for root, names in ((first, ("ada/1.png", "ada/2.png", "bob/1.png")), (second, ("ada/1.png", "eve/1.png"))):
        for name in names:
            write_image(root / name, rng.integers(256, size=(8, 8, 3), dtype=np.uint8))
    return [spec_text("folder", root=first), spec_text("folder", root=second)]


def multi(sets, more=""):
    return f"multi:sets={json.dumps(sets)}{more}"


def test_sets_follow_each_other_with_classes_of_their_own(roots):
    data = DATASETS.create(multi([roots[0], roots[0]]))
    one = DATASETS.create(roots[0])
    assert data.classes == ["0-ada", "0-bob", "1-ada", "1-bob"] and data.labels.tolist() == [0, 0, 1, 2, 2, 3]
    assert data.source.tolist() == [0, 0, 0, 1, 1, 1] and data.labels.dtype == np.int64
    assert [data.encoded(k) for k in range(6)] == [one.encoded(k) for k in range(3)] * 2
    assert data.path(0) == "0-ada/1.png" and data.path(5) == "1-bob/1.png" and data.name(5) == one.name(2)
    assert data.weights is data.spaces is data.shards is None and data.problems.entries == 6
    np.testing.assert_array_equal(data.read(-1), one.read(2))
    assert pickle.loads(pickle.dumps(data)).digest() == data.digest()  # noqa: S301 - our own


def test_names_with_brackets_commas_and_parentheses_survive(roots):
    assert DATASETS.create(multi(roots)).classes == ["0-ada", "0-bob", "1-ada", "1-eve"]
    nested = DATASETS.create(multi([multi(roots), roots[1]], ",separate=true"))
    assert nested.classes == ["0-0-ada", "0-0-bob", "0-1-ada", "0-1-eve", "1-ada", "1-eve"]


def test_sets_of_sets_and_sets_in_other_specs(roots, tmp_path):
    inner = multi(roots, ",weights=[2,1],separate=true")
    data = DATASETS.create(multi([inner, roots[0]], ",weights=(0.5,3),separate=true"))
    assert data.classes == ["0-0-ada", "0-0-bob", "0-1-ada", "0-1-eve", "1-ada", "1-bob"]
    assert data.spaces.tolist() == [0, 0, 1, 1, 2, 2]
    assert data.weights.tolist() == [1, 1, 1, 0.5, 0.5, 3, 3, 3]
    (tmp_path / "few.txt").write_text("0\n4\n")
    plain = multi([roots[0], roots[0]])
    subset = DATASETS.create(spec_text("subset", of=plain, samples=tmp_path / "few.txt"))
    assert subset.classes == ["0-ada", "1-ada"]


def test_weights_and_spaces_change_what_is_trained_on(roots):
    specs = [multi(roots, more) for more in ("", ",weights=[1,2]", ",separate=true", ",weights=[2,1]")]
    assert len({DATASETS.create(spec).digest() for spec in specs}) == 4


def test_shards_go_on_where_another_set_has_them(people, write, tmp_path, roots):
    write(f"webdataset:path={tmp_path / 'shards'}", people)
    shards = f"webdataset:path={tmp_path / 'shards'}"
    assert DATASETS.create(multi([shards, roots[0], shards])).shards.tolist() == [
        *(0, 0, 0, 1, 1, 1, 2, 2),
        *(3, 3, 3),
        *(4, 4, 4, 5, 5, 5, 6, 6),
    ]


def test_what_was_wrong_in_any_set_is_told(roots, tmp_path):
    write_image(tmp_path / "one" / "stray.png", np.zeros((8, 8, 3), np.uint8))
    assert DATASETS.create(multi(roots)).problems.stray.count == 1


@pytest.mark.parametrize(
    "more, message",
    [
        (",weights=[1]", "1 weights for 2 sets"),
        (",weights=[1,0]", "they must be above 0"),
        (",weights=[1,1e999]", "they must be above 0"),
    ],
)
def test_weights_that_mean_nothing_are_refused(roots, more, message):
    with pytest.raises(InputError, match=message):
        DATASETS.create(multi(roots, more))


def test_no_set_and_hidden_spaces_are_refused(roots):
    with pytest.raises(InputError, match="no set; write multi:sets="):
        DATASETS.create("multi:sets=[]")
    with pytest.raises(InputError, match="has several label spaces; write separate=true"):
        DATASETS.create(multi([multi(roots, ",separate=true"), roots[0]]))
    with pytest.raises(InputError, match="no:x=1: no such file or folder, and no spec"):
        DATASETS.create('multi:sets=["no:x=1"]')


def test_sets_of_the_same_people_share_their_classes(roots):
    data = DATASETS.create(multi(roots, ",same=true,weights=[1,2]"))
    assert data.classes == ["ada", "bob", "eve"] and data.labels.tolist() == [0, 0, 1, 0, 2]
    assert data.spaces is None and data.weights.tolist() == [1, 1, 1, 2, 2]
    assert data.digest() != DATASETS.create(multi(roots, ",weights=[1,2]")).digest()
    with pytest.raises(InputError, match="the same people have one label space"):
        DATASETS.create(multi(roots, ",same=true,separate=true"))
