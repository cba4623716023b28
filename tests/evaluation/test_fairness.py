"""Fairness indices on tables computed by hand, zeros, and groups of a benchmark."""

from dataclasses import replace

import numpy as np
import pytest

from facezoo.evaluation import Verification
from facezoo.evaluation.columns import columns, read_groups
from facezoo.evaluation.fairness import between, fdr, garbe, gini, inequity
from facezoo.evaluation.lines import lines_of
from facezoo.evaluation.photos import Photo
from facezoo.types import InputError

# Three groups. FMR: largest difference 0.03, Gini (3/2) (0.02 + 0.03 + 0.01) 2 / (2 * 9 * 0.0233..) = 0.4286.
FMR = [0.01, 0.02, 0.04]
# FNMR: largest difference 0.1, Gini (3/2) 2 (0 + 0.1 + 0.1) / (2 * 9 * 0.1333..) = 0.25.
FNMR = [0.1, 0.1, 0.2]


def test_fdr_of_the_table():
    assert fdr(FMR, FNMR) == pytest.approx(1 - (0.5 * 0.03 + 0.5 * 0.1))
    assert fdr(FMR, FNMR, alpha=1) == pytest.approx(0.97)
    assert fdr([0.1, 0.1], [0.2, 0.2]) == 1


def test_garbe_of_the_table():
    assert gini(FMR) == pytest.approx(3 / 7)
    assert gini(FNMR) == pytest.approx(0.25)
    assert garbe(FMR, FNMR) == pytest.approx((3 / 7 + 0.25) / 2)
    assert garbe([0.1, 0.1], [0.2, 0.2]) == 0
    assert gini([0, 0, 1]) == pytest.approx(1)  # one group has all errors


def test_the_inequity_rate_of_the_table():
    assert inequity(FMR, FNMR) == pytest.approx(4**0.5 * 2**0.5)
    assert inequity(FMR, FNMR, alpha=0.25) == pytest.approx(4**0.25 * 2**0.75)
    assert inequity([0.1, 0.1], [0.2, 0.2]) == 1


def test_without_an_error_the_inequity_rate_is_not_defined():
    assert inequity([0, 0.1], [0.1, 0.1]) is None
    assert inequity([0.1, 0.1], [0.1, 0]) is None
    assert gini([0, 0]) == 0


@pytest.mark.parametrize("given", [([0.1], [0.1]), ([0.1, 0.2], [0.1]), (FMR, FNMR, 2)])
def test_what_is_no_table_is_refused(given):
    with pytest.raises(InputError, match="fairness"):
        fdr(*given)


def test_pairs_between_groups_are_counted_once_on_either_side():
    found = between(np.array([0, 1, 0, -1]), np.array([1, 0, 0, 0]), 2, np.array([1.0, 2, 4, 8]))
    assert found.tolist() == [[4, 3], [3, 0]]


def toy(resamples=0, weak=1.2, usual=0.3):
    """Two groups of 20 people; photos of the second are noisier."""
    generator = np.random.default_rng(0)
    identity = np.repeat(np.arange(40), 4)
    noise = np.where(identity < 20, usual, weak)[:, None]
    embeddings = generator.normal(size=(40, 12))[identity] + noise * generator.normal(size=(160, 12))
    left, right = np.triu_indices(160, 1)
    same = identity[left] == identity[right]
    names = [f"{'ab'[int(person >= 20)]}/{person}/{k}.jpg" for k, person in enumerate(identity)]
    photos = [Photo(name, b"") for name in names]
    benchmark = Verification("toy", photos, left, right, same, 5, identity=identity, resamples=resamples)
    return replace(benchmark, parts=columns(names, "1")), embeddings


def test_rates_by_group_are_those_of_the_groups_pairs():
    benchmark, embeddings = toy(resamples=30)
    report = benchmark.score(embeddings)
    scores = benchmark.scores(embeddings)
    group = (benchmark.identity >= 20).astype(int)
    left, right, threshold = group[benchmark.left], group[benchmark.right], report.metrics["threshold@far=1e-2"]
    for place, name in enumerate("ab"):
        inside = (left == place) & (right == place)
        fmr = (scores[inside & ~benchmark.same] >= threshold).mean()
        fnmr = (scores[inside & benchmark.same] < threshold).mean()
        assert report.metrics[f"{name}/fmr@far=1e-2"] == pytest.approx(fmr)
        assert report.metrics[f"{name}/fnmr@far=1e-2"] == pytest.approx(fnmr)
        found = report.intervals[f"{name}/fmr@far=1e-2"]
        assert found.low <= fmr <= found.high
    across = (scores[left != right] >= threshold).mean()
    assert report.tables["FMR across groups at FMR 1e-2"][1][2] == pytest.approx(across)
    assert report.metrics["b/fnmr@far=1e-2"] > report.metrics["a/fnmr@far=1e-2"]
    assert {"roc/a", "roc/b"} <= set(report.curves)


def test_a_group_without_an_error_has_a_bound_and_no_inequity_rate():
    benchmark, embeddings = toy()
    report = benchmark.score(embeddings)
    assert report.metrics["a/fnmr@far=1e-2"] == 0
    assert report.metrics["inequity@far=1e-2"] is None
    words = "a has no false non-match in 20 pairs that share no person, so a rate below 1.5e-01"
    assert words in report.protocol["inequity@far=1e-2"]
    assert report.intervals["a/fnmr@far=1e-2"].high == pytest.approx(3 / 20)


def test_indices_have_no_interval_where_a_group_shows_no_error():
    benchmark, embeddings = toy(resamples=30)
    none = benchmark.score(embeddings)
    assert none.metrics["a/fnmr@far=1e-2"] == 0 < none.metrics["garbe@far=1e-2"]
    assert not {"garbe@far=1e-2", "fdr@far=1e-2"} & set(none.intervals)
    assert "fdr and garbe have no interval" in none.protocol["inequity@far=1e-2"]
    benchmark, embeddings = toy(resamples=30, usual=1.2)
    some = benchmark.score(embeddings)
    assert some.intervals["garbe@far=1e-2"].low < some.intervals["garbe@far=1e-2"].high


def test_groups_come_from_folders_or_a_file(tmp_path):
    names = ["a/x/1.jpg", "b/y/2.jpg", "b/z/3.jpg"]
    assert read_groups(names, "1")[1].tolist() == [0, 1, 1]
    path = tmp_path / "groups.csv"
    path.write_text("age,path,group\n9,a/x/1.jpg,old\n8,b/z/3.jpg,young\n")
    known, places = read_groups(names, str(path))
    assert (known, places.tolist()) == (["old", "young"], [0, -1, 1])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("file,group\n", "columns path and group"),
        ("path,group\nelse.jpg,a\n", "names none of the photos"),
        ("path,group\na/1.jpg,a\n", "all photos are in one group"),
        ("path,group\na/1.jpg,a\na/1.jpg,a\na/1.jpg,b\n", "line 4: a/1.jpg has another group in a line before"),
    ],
)
def test_a_column_that_cannot_be_used_is_one_sentence(tmp_path, text, words):
    (tmp_path / "g.csv").write_text(text)
    with pytest.raises(InputError, match=words):
        read_groups(["a/1.jpg"], str(tmp_path / "g.csv"))
    with pytest.raises(InputError, match="folders deep"):
        read_groups(["a/1.jpg"], "4")
    with pytest.raises(InputError, match="no such file"):
        read_groups(["a/1.jpg"], str(tmp_path / "none.csv"))


def test_a_group_that_is_always_rejected_has_a_bound():
    benchmark, embeddings = toy(resamples=20)
    failed = np.isin(np.arange(160), np.flatnonzero(benchmark.identity >= 20))
    report = benchmark.score(embeddings, failed)
    found = report.intervals["b/fnmr@far=1e-2"]
    assert report.metrics["b/fnmr@far=1e-2"] == 1
    assert (found.low, found.high) == (pytest.approx(1 - 3 / 20), 1)
    assert found.method == "rule of three, no success in 20 pairs that share no person"


def test_a_group_without_a_mistake_is_drawn_at_the_rate_that_its_pairs_could_show():
    benchmark, embeddings = toy(weak=0.01, usual=0.01)
    lines = {line.label: line for line in lines_of(benchmark.score(embeddings), "roc")}
    assert lines["a"].trials == {"fmr": 80 * 79 // 2 - 120, "fnmr": 120}
    perfect = replace(lines["a"], points={"fmr": [0.0, 1.0], "fnmr": [0.0, 0.0]})
    assert perfect.floor("fnmr") == 1 / 240
