"""Error rates against slow loops and scikit-learn, and what no scores may break."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score, roc_curve

from facezoo.evaluation.metrics import auc, eer, roc, score_statistics, tally, tar_at_far
from facezoo.types import InputError

ONE_OF_EACH = [True, False]


def draw(seed, pairs=400, decimals=2):
    """Overlapping scores with many ties."""
    generator = np.random.default_rng(seed)
    same = np.append(ONE_OF_EACH, generator.random(pairs - 2) < 0.4)
    return np.round(generator.normal(0.4 * same, 0.25), decimals), same


@st.composite
def scored_pairs(draw):
    scores = draw(st.lists(st.integers(-20, 20), min_size=2, max_size=60))
    same = ONE_OF_EACH + draw(st.lists(st.booleans(), min_size=len(scores) - 2, max_size=len(scores) - 2))
    return np.array(scores) / 20, np.array(same)


@pytest.mark.parametrize("seed", range(3))
def test_auc_is_the_share_of_won_comparisons(seed):
    scores, same = draw(seed)

    wins = [(g > i) + (g == i) / 2 for g in scores[same] for i in scores[~same]]

    assert auc(tally(scores, same)) == pytest.approx(np.mean(wins), abs=1e-12)
    assert auc(tally(scores, same)) == pytest.approx(roc_auc_score(same, scores), abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_roc_has_every_point_of_scikit_learn(seed):
    scores, same = draw(seed)

    fpr, tpr, _ = roc_curve(same, scores, drop_intermediate=False)
    points = roc(tally(scores, same))

    np.testing.assert_allclose(points.fmr, fpr, atol=1e-12)
    np.testing.assert_allclose(1 - points.fnmr, tpr, atol=1e-12)


def test_roc_thresholds_accept_what_they_reach():
    scores, same = draw(0)

    points = roc(tally(scores, same))

    for threshold, fmr, fnmr in zip(points.threshold, points.fmr, points.fnmr):
        assert fmr == pytest.approx((scores[~same] >= threshold).mean(), abs=1e-12)
        assert fnmr == pytest.approx((scores[same] < threshold).mean(), abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_eer_lies_where_the_lines_between_roc_points_cross(seed):
    scores, same = draw(seed)

    points = roc(tally(scores, same))
    crossings = []
    for k in range(len(points.fmr) - 1):
        a, b = points.fmr[k], points.fmr[k + 1]
        c, d = points.fnmr[k], points.fnmr[k + 1]
        if c > a and d <= b:
            share = (c - a) / ((c - a) + (b - d))
            crossings.append(a + share * (b - a))

    assert eer(tally(scores, same)) == pytest.approx(crossings[0], abs=1e-12)


@pytest.mark.parametrize("far", [0.5, 0.1, 0.029, 0.01, 0.004])
@pytest.mark.parametrize("seed", range(3))
def test_tar_at_far_is_the_best_that_keeps_the_target(seed, far):
    scores, same = draw(seed)

    kept = [t for t in [*scores, scores.max() + 1] if (scores[~same] >= t).mean() <= far]
    expected = max((scores[same] >= t).mean() for t in kept)
    point = tar_at_far(tally(scores, same), far)

    assert point.fmr <= far
    assert point.tar == pytest.approx(expected, abs=1e-12)
    assert (scores[~same] >= point.threshold).mean() == pytest.approx(point.fmr, abs=1e-12)
    assert (scores[same] >= point.threshold).mean() == pytest.approx(point.tar, abs=1e-12)


def test_a_target_that_the_pairs_reach_exactly_is_used_up():
    same = np.append(True, np.zeros(100, bool))  # 0.29 * 100 is 28.999999999999996
    scores = np.append(0.0, np.arange(100) / 100)

    assert tar_at_far(tally(scores, same), 0.29).fmr == 0.29


def test_ties_at_the_border_are_rejected():
    same = np.array([True, True, False, False, False, False])
    scores = np.array([0.9, 0.5, 0.5, 0.5, 0.1, 0.1])

    point = tar_at_far(tally(scores, same), 0.25)

    assert (point.fmr, point.tar) == (0.0, 0.5)


def test_too_few_impostors_are_not_measurable_and_bounded_by_three_over_n():
    scores, same = draw(1)

    point = tar_at_far(tally(scores, same), 1e-4)

    assert not point.measurable
    assert point.fmr == 0
    assert point.threshold > scores[~same].max()


@given(scored_pairs())
def test_a_monotone_transform_changes_no_rate(pairs):
    scores, same = pairs
    one, other = tally(scores, same), tally(np.exp(3 * scores) - 7, same)

    assert auc(one) == auc(other)
    assert eer(one) == eer(other)
    assert tar_at_far(one, 0.1).tar == tar_at_far(other, 0.1).tar


@given(scored_pairs(), st.sampled_from([0.5, 0.1, 0.01, 1e-3]))
def test_the_far_is_never_above_its_target(pairs, far):
    scores, same = pairs
    point = tar_at_far(tally(scores, same), far)

    assert (scores[~same] >= point.threshold).mean() <= far


@given(scored_pairs())
def test_swapping_the_kinds_mirrors_the_auc(pairs):
    scores, same = pairs
    assert auc(tally(scores, same)) == pytest.approx(1 - auc(tally(scores, ~same)), abs=1e-12)


def test_a_pair_without_a_comparison_is_never_accepted():
    same = np.array([True, True, False, False])
    scores = np.array([0.9, -np.inf, 0.1, -np.inf])

    points = roc(tally(scores, same))

    assert (points.fmr.max(), points.fnmr.min()) == (0.5, 0.5)
    assert tar_at_far(tally(scores, same), 0.5).tar == 0.5
    assert auc(tally(scores, same)) == (2 + 0 + 0.5) / 4


def test_eer_is_undefined_where_the_rates_never_meet():
    scores = np.array([0.9, -np.inf, -np.inf, 0.1, -np.inf, -np.inf, -np.inf])
    assert eer(tally(scores, np.arange(7) < 3)) is None


def test_d_prime_is_the_distance_of_the_means_in_deviations():
    same = np.repeat([True, False], 50_000)
    scores = np.random.default_rng(0).normal(np.where(same, 3.0, 1.0), 0.5)

    found = score_statistics(scores, same)

    assert found.d_prime == pytest.approx(4, abs=0.05)
    assert found.genuine_mean == pytest.approx(3, abs=0.02)


@pytest.mark.parametrize(
    ("scores", "same", "words"),
    [
        ([0.1, np.nan], ONE_OF_EACH, "NaN"),
        ([0.1, np.inf], ONE_OF_EACH, "infinite"),
        ([0.1, 0.2], [True, True], "no impostor pair"),
        ([0.1, 0.2], [False, False], "no genuine pair"),
        ([0.1], ONE_OF_EACH, "shapes"),
        ([-np.inf, -np.inf], ONE_OF_EACH, "no pair could be compared"),
    ],
)
def test_scores_that_give_no_rate_are_refused(scores, same, words):
    with pytest.raises(InputError, match=words):
        tally(scores, same)


@pytest.mark.parametrize("far", [0, 1, -1, 2])
def test_a_far_outside_0_and_1_is_refused(far):
    with pytest.raises(InputError, match="far"):
        tar_at_far(tally(*draw(0)), far)
