"""Millions of pairs of templates: their scores, rates and intervals."""

import numpy as np
import pytest

from facezoo.evaluation import template_pairs, template_verification
from facezoo.evaluation.metrics import Sorted, auc, eer, tar_at_far
from facezoo.evaluation.template_pairs import (
    TemplatePairs,
    border_tally,
    nearest_points,
    pair_cosines,
    score_templates,
)
from facezoo.evaluation.template_resampling import levels
from facezoo.evaluation.template_verification import FARS, verify_templates
from facezoo.evaluation.verification import far_name
from facezoo.types import unit


@pytest.mark.parametrize("ties", [1000, 8, 1])
def test_the_short_tally_gives_the_metrics_of_the_whole(ties):
    rng = np.random.default_rng(ties)
    genuine = np.sort(np.round(rng.normal(1, 1, 300) * ties) / ties).astype(np.float32)
    impostor = np.sort(np.round(rng.normal(-1, 1, 20_001) * ties) / ties).astype(np.float32)
    same = np.arange(len(genuine) + len(impostor)) < len(genuine)
    whole = Sorted(np.concatenate([genuine, impostor]), same).tally()

    short = border_tally(genuine, impostor, (300, 20_001), FARS)

    assert len(short.scores) <= len(whole.scores) and auc(short) == pytest.approx(auc(whole), abs=1e-12)
    assert eer(short) == pytest.approx(eer(whole), abs=1e-12)
    for far in FARS:
        assert tar_at_far(short, far) == tar_at_far(whole, far)


def test_the_nearest_points_are_those_of_scikit_learn():
    from sklearn.metrics import roc_curve

    rng = np.random.default_rng(0)
    genuine = np.sort(np.round(rng.normal(1, 1, 200), 2))
    impostor = np.sort(np.round(rng.normal(-1, 1, 5000), 2))
    fpr, tpr, _ = roc_curve(np.repeat([1, 0], [200, 5000]), np.concatenate([genuine, impostor]))
    fpr, tpr = np.flipud(fpr), np.flipud(tpr)

    found = nearest_points(genuine, impostor, (200, 5000), FARS)

    expected = [min(zip(abs(fpr - far), range(len(fpr))))[1] for far in FARS]
    assert found == [(tpr[k], fpr[k]) for k in expected]


@pytest.mark.parametrize("crossed", [0, 1000])
@pytest.mark.parametrize("sparse", [0, 40])
def test_products_and_gathered_pairs_score_alike(sparse, crossed, monkeypatch):
    monkeypatch.setattr(template_pairs, "SPARSE", sparse)
    monkeypatch.setattr(template_pairs, "CROSSED", crossed)
    monkeypatch.setattr(template_pairs, "LEFTS", 3)
    monkeypatch.setattr(template_pairs, "GATHER", 5)
    rng = np.random.default_rng(0)
    vectors = unit(rng.normal(size=(20, 6)))
    left, right = rng.integers(2, 20, 200), rng.integers(0, 17, 200)

    np.testing.assert_allclose(
        pair_cosines(vectors, left, right), (vectors[left] * vectors[right]).sum(axis=1), atol=1e-6
    )


def test_the_interval_of_a_tar_holds_it_where_scores_tie_at_the_border():
    """A genuine pair ties with the impostor at the border: it is rejected, by the rate and by every resample."""
    vectors = unit(np.array([[1.0, 0.0], [0.6, 0.8], [1.0, 0.0], [0.6, 0.8], [0.0, 1.0], [0.0, 1.0]]))
    left, right = np.array([0, 2, 4, *[0] * 10]), np.array([1, 3, 5, 3, *[4] * 9])
    same = np.arange(13) < 3

    report = verify_templates(vectors, np.zeros(6, bool), left, right, same, [], resamples=200)

    assert report.metrics["tar@far=1e-1"] == 1 and report.metrics["fmr@far=1e-1"] == 0.1
    strict = verify_templates(vectors, np.zeros(6, bool), left, np.where(right == 4, 3, right), same, [], resamples=200)
    assert strict.metrics["tar@far=1e-1"] == pytest.approx(1 / 3)
    assert strict.intervals["tar@far=1e-1"].low < 1 / 3 < strict.intervals["tar@far=1e-1"].high
    tar, threshold = (strict.intervals[f"{kind}@far=1e-1"] for kind in ("tar", "threshold"))
    assert strict.tables["TAR at FAR"][1][2:4] == (tar.low, tar.high)
    assert strict.tables["TAR at FAR"][1][6:] == (threshold.low, threshold.high)


def crowd(seed, number=120, photos=2, dim=10):
    """Templates of people, and all their pairs."""
    rng = np.random.default_rng(seed)
    person = np.repeat(np.arange(number), photos)
    vectors = unit(rng.normal(size=(number, dim))[person] + 0.7 * rng.normal(size=(len(person), dim)))
    left, right = np.triu_indices(len(person), 1)
    return vectors, np.zeros(len(person), bool), left, right, person[left] == person[right], []


def test_resampled_rates_are_those_of_a_sum_over_pairs():
    """A pair of i and j weighs w_i + w_j - 1, a genuine one of i weighs w_i."""
    vectors, _, left, right, same, _ = crowd(0, 30)
    pairs = score_templates(vectors, np.zeros(60, bool), left, right, same)
    scores, person = pairs.scores, np.arange(60) // 2
    found = levels(pairs, 0.05)
    drawn = np.stack([np.bincount(np.random.default_rng(k).integers(30, size=30), minlength=30) for k in range(3)])

    fmr, tar = found.rates(drawn)

    a, b = person[left], person[right]
    for row, w in enumerate(drawn):
        for column in range(0, len(found.thresholds), 7):
            above = scores >= np.float32(found.thresholds[column])
            weight = (w[a] + w[b] - 1)[~same]
            assert fmr[row, column] == pytest.approx(weight[above[~same]].sum() / weight.sum(), abs=1e-6)
            assert tar[row, column] == pytest.approx(w[a[same]][above[same]].sum() / w[a[same]].sum(), abs=1e-6)
    matches = ~same & (scores >= np.float32(found.thresholds[-1]))
    cells = np.bincount(a[matches] * 30 + b[matches])
    assert found.noise[-1] == pytest.approx((cells**2).sum() / matches.sum() ** 2)


def test_the_interval_of_a_tar_covers_it_although_few_impostors_set_its_threshold():
    """12 false matches: at a fixed threshold the interval would hold the TAR of ten times as many people too seldom."""
    far = 12 / (120 * 119 * 2)
    truth = verify_templates(*crowd(10_000, 1500), resamples=0, fars=(far,)).metrics[f"tar@far={far_name(far)}"]
    covered = fixed = 0
    for trial in range(60):
        report = verify_templates(*crowd(trial), resamples=200, seed=trial, fars=(far,))
        found, tar = report.intervals[f"tar@far={far_name(far)}"], report.metrics[f"tar@far={far_name(far)}"]
        covered += found.low <= truth <= found.high
        fixed += abs(tar - truth) <= 1.96 * (tar * (1 - tar) / 120) ** 0.5
    assert covered >= 53 > fixed


def test_few_impostor_pairs_among_a_million_are_found(monkeypatch):
    monkeypatch.setattr(template_verification, "MATCHED", 8)
    same = np.arange(40) != 3
    pairs = TemplatePairs(np.zeros(40), np.arange(40), np.arange(40, 80), same, np.arange(80))
    assert template_verification._impostor_trials(pairs) == 1


@pytest.mark.parametrize("templates", [9, 50_000])
def test_pairs_that_are_listed_again_are_counted(templates, monkeypatch):
    monkeypatch.setattr(template_pairs, "GATHER", 3)
    left, right = np.array([0, 1, 8, 3, 1, 0, 8], np.int32), np.array([1, 0, 3, 8, 2, 1, 7], np.int32)
    left[2:3], right[6:] = templates - 1, templates - 1
    right[3] = templates - 1
    assert template_pairs.listed_again(left, right, templates) == 3
