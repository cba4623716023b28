"""Error-versus-discard curves: what is discarded, at which threshold, and the area."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from facezoo.evaluation import Verification
from facezoo.evaluation.columns import columns
from facezoo.evaluation.photos import Photo
from facezoo.evaluation.quality_curves import Discarding, error_versus_discard
from facezoo.types import InputError


def pairs(seed=0, photos=400):
    """Photos whose noise their quality tells; genuine and impostor pairs of neighbours."""
    generator = np.random.default_rng(seed)
    quality = generator.uniform(size=photos)
    left = generator.integers(photos, size=3000)
    right = (left + generator.integers(1, photos, size=3000)) % photos
    same = np.arange(3000) % 2 == 0
    worse = 1 - np.minimum(quality[left], quality[right])
    scores = generator.normal(np.where(same, 0.6 - 0.5 * worse, 0.0), 0.1)
    return scores, same, left, right, quality


@pytest.mark.parametrize("discard", ["images", "pairs"])
@pytest.mark.parametrize("rule", ["fixed", "recompute", "magface"])
def test_a_quality_that_tells_lowers_the_error(discard, rule):
    found = error_versus_discard(*pairs(), 0.01, discard=discard, rule=rule)
    kept = np.isfinite(found.fnmr) & (found.discarded <= 0.8)
    assert found.fnmr[kept][-1] < found.fnmr[0] / 3
    assert (np.diff(found.fnmr[kept]) < 0.02).all()


def test_the_threshold_stays_only_where_it_is_said_to():
    fixed = error_versus_discard(*pairs(), 0.01)
    again = error_versus_discard(*pairs(), 0.01, rule="recompute")
    assert len(set(fixed.threshold[np.isfinite(fixed.threshold)])) == 1
    assert len(set(again.threshold)) > 5
    assert fixed.fnmr[0] == again.fnmr[0]
    assert (again.fmr[np.isfinite(again.fmr)] <= 0.01).all()


def test_magfaces_index_is_that_of_its_script():
    scores, same, left, right, quality = pairs()
    found = error_versus_discard(scores, same, left, right, quality, 0.001, discard="pairs", rule="magface")
    impostors = np.sort(scores[~same])[::-1]
    assert found.threshold[0] == impostors[(len(impostors) - 1) // 1000]
    assert found.fnmr[0] == (scores[same] < found.threshold[0]).mean()


def test_so_many_images_or_pairs_go_as_the_share_says():
    left, right = np.array([0, 0, 1, 2, 3]), np.array([1, 2, 2, 3, 1])
    same, scores = np.array([True, False, True, False, True]), np.array([0.9, 0.1, 0.2, 0.3, 0.8])
    quality = np.array([3.0, 1.0, 2.0, 4.0])
    images = error_versus_discard(scores, same, left, right, quality, 0.5, steps=np.array([0, 0.25]))
    # Photo 1 goes with its three pairs: no genuine pair is left.
    assert np.isnan(images.fnmr[1])
    by_pair = error_versus_discard(
        scores, same, left, right, quality, 0.4, discard="pairs", steps=np.array([0, 0.2, 0.4])
    )
    # The three genuine pairs are equally bad, by photo 1: one goes, then two, and the wrong one is as likely to stay.
    assert by_pair.fnmr.tolist() == pytest.approx([1 / 3, 1 / 3, 1 / 3])


@pytest.mark.parametrize("discard", ["images", "pairs"])
@pytest.mark.parametrize("rule", ["fixed", "recompute", "magface"])
def test_the_order_of_equals_is_nothing(discard, rule):
    scores, same, left, right, quality = pairs(photos=100)
    quality = np.round(quality * 5)
    order, places = np.random.default_rng(1).permutation(len(same)), np.random.default_rng(2).permutation(100)
    moved = np.argsort(places)[left[order]], np.argsort(places)[right[order]], quality[places]
    found = error_versus_discard(scores, same, left, right, quality, 0.01, discard=discard, rule=rule)
    again = error_versus_discard(scores[order], same[order], *moved, 0.01, discard=discard, rule=rule)
    np.testing.assert_allclose(again.fnmr, found.fnmr, atol=1e-12)
    np.testing.assert_allclose(again.threshold, found.threshold)


@pytest.mark.parametrize("discard", ["images", "pairs"])
def test_equals_count_by_the_chance_that_they_stay(discard):
    """Every choice of the photos, or pairs, that go is gone through."""
    generator = np.random.default_rng(3)
    left, right = np.triu_indices(6, 1)
    same, scores = generator.random(15) < 0.5, generator.normal(size=15)
    quality = np.array([2.0, 1, 1, 1, 1, 0])
    worst = np.minimum(quality[left], quality[right])
    rated = quality if discard == "images" else worst
    gone = 3 if discard == "images" else 8
    wrong = left_over = 0
    certain = np.flatnonzero(rated < 1)
    threshold = error_versus_discard(scores, same, left, right, quality, 0.3, discard=discard).threshold[0]
    for drawn in itertools.combinations(np.flatnonzero(rated == 1), gone - len(certain)):
        out = np.isin(np.arange(len(rated)), [*certain, *drawn])
        kept = same & ~(out[left] | out[right] if discard == "images" else out)
        wrong, left_over = wrong + (scores[kept] < threshold).sum(), left_over + kept.sum()
    found = error_versus_discard(
        scores, same, left, right, quality, 0.3, discard=discard, steps=np.array([0, gone / len(rated)])
    )
    assert found.fnmr[1] == pytest.approx(wrong / left_over)


def test_the_area_is_that_of_the_trapezoids():
    curve = Discarding(np.array([0, 0.1, 0.2, 0.4]), np.array([0.2, 0.1, 0.1, 0.0]), np.zeros(4), np.zeros(4))
    assert curve.area(0.2) == pytest.approx(0.015 + 0.01)
    assert curve.area(0.3) == pytest.approx(0.025 + 0.0075)
    assert curve.relative_area(0.2) == pytest.approx(0.025 / 0.04)
    with pytest.raises(InputError, match="up_to"):
        curve.area(0.5)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"discard": "people"}, "images or pairs"),
        ({"rule": "best"}, "fixed, recompute or magface"),
        ({"steps": np.array([0.1, 0.2])}, "rise from 0"),
    ],
)
def test_a_wrong_option_is_one_sentence(change, words):
    with pytest.raises(InputError, match=words):
        error_versus_discard(*pairs(), 0.01, **change)


def test_a_column_of_quality_adds_curves_areas_and_a_table(tmp_path):
    _, same, left, right, quality = pairs(photos=60)
    names = [f"{k}.jpg" for k in range(60)]
    lines = [f"{name},{value}" for name, value in zip(names, quality, strict=True)]
    (tmp_path / "sharpness.csv").write_text("path,score\n" + "\n".join(lines))
    photos = [Photo(name, b"") for name in names]
    benchmark = Verification("toy", photos, left, right, same, 5, resamples=0)
    embeddings = np.random.default_rng(0).normal(size=(60, 8))

    report = replace(benchmark, parts=columns(names, quality=tmp_path / "sharpness.csv")).score(embeddings)

    assert "edc/sharpness at 1e-2" in report.curves
    assert "pauc@0.2/sharpness@far=1e-2" in report.metrics
    assert "threshold fixed on all pairs" in report.protocol["quality"]
    assert report.tables["FNMR after discarding by sharpness"][0][1] == "0% discarded"
    (tmp_path / "sharpness.csv").write_text("path,score\n0.jpg,1\n")
    with pytest.raises(InputError, match="states no score of 59 of 60 photos"):
        columns(names, quality=tmp_path / "sharpness.csv")
