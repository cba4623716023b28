"""K-fold accuracy against a slow loop and the reference implementations' numbers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facezoo.evaluation.compat import fxz_grid, if_grid, if_val
from facezoo.evaluation.folds import consecutive_folds, fold_accuracy, stratified_folds
from facezoo.types import InputError, unit

FIXTURE = "evaluation/verification_10fold.npz"


def slow_fold_accuracy(scores, same, fold):
    """Every threshold tried on every pair."""
    accuracies = []
    for k in np.unique(fold):
        training, test = fold != k, fold == k
        values = np.unique(scores[training])
        thresholds = [values[0], *((values[1:] + values[:-1]) / 2), np.nextafter(values[-1], np.inf)]
        rated = []
        for threshold in thresholds:
            accepted = scores[training] >= threshold
            fmr = (accepted & ~same[training]).sum()
            rated.append(((accepted == same[training]).sum(), -fmr, threshold))
        chosen = max(rated)[2]
        accuracies.append(((scores[test] >= chosen) == same[test]).mean())
    return np.array(accuracies)


@pytest.mark.parametrize(("pairs", "folds"), [(60, 10), (61, 7), (40, 40), (200, 2)])
@pytest.mark.parametrize("decimals", [1, 2, 12])
def test_every_threshold_that_differs_is_tried(pairs, folds, decimals):
    generator = np.random.default_rng(pairs)
    same = np.arange(pairs) % 2 == 0
    scores = np.round(generator.normal(0.3 * same, 0.3), decimals)

    found = fold_accuracy(scores, same, folds)

    np.testing.assert_array_equal(found.accuracies, slow_fold_accuracy(scores, same, consecutive_folds(pairs, folds)))


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=6, max_size=40), st.integers(2, 5))
def test_ties_and_lopsided_folds_agree_with_the_slow_loop(pairs, folds):
    pairs = [(3, True), (3, False), *pairs]
    scores, same = np.array([s for s, _ in pairs]) / 8, np.array([g for _, g in pairs])

    found = fold_accuracy(scores, same, folds).accuracies

    np.testing.assert_array_equal(found, slow_fold_accuracy(scores, same, consecutive_folds(len(same), folds)))


def test_three_thousand_pairs_in_seven_folds():
    same = np.arange(3000) % 3 == 0
    scores = np.round(np.random.default_rng(0).normal(same, 0.5), 2)

    found = fold_accuracy(scores, same, 7)

    fold = consecutive_folds(3000, 7)
    np.testing.assert_array_equal(found.accuracies, slow_fold_accuracy(scores, same, fold))
    assert sorted(np.bincount(fold)) == [428, 428, 428, 429, 429, 429, 429]


def test_parted_scores_are_always_right():
    same = np.arange(90) % 3 == 0
    found = fold_accuracy(np.where(same, 0.9, 0.1), same, 9)
    assert (found.mean, found.std) == (1.0, 0.0)


def test_shuffled_scores_are_worth_a_coin():
    generator = np.random.default_rng(0)
    found = fold_accuracy(generator.random(6000), np.arange(6000) % 2 == 0)
    assert found.mean == pytest.approx(0.5, abs=0.03)


def test_the_threshold_lies_midway_between_scores():
    same = np.tile([True, False], 4)
    assert fold_accuracy(np.where(same, 0.75, 0.25), same, 4).thresholds.tolist() == [0.5] * 4


def test_neighbouring_floats_are_still_parted():
    low = 0.5
    high = np.nextafter(low, 1)
    same = np.tile([True, False], 4)
    assert fold_accuracy(np.where(same, high, low), same, 4).mean == 1.0


def test_a_pair_without_a_comparison_is_wrong_if_genuine_and_right_if_not():
    same = np.tile([True, False], 10)
    scores = np.where(same, 0.9, 0.1)
    scores[[0, 1]] = -np.inf

    assert fold_accuracy(scores, same, 10).accuracies.tolist() == [0.5] + [1.0] * 9


def test_lists_that_name_genuine_pairs_first_are_spread_over_the_folds():
    same = np.repeat([True, False], 30)
    fold = stratified_folds(same, 10)
    assert np.bincount(fold[same]).tolist() == np.bincount(fold[~same]).tolist() == [3] * 10


def test_stratified_equals_consecutive_for_balanced_blocks():
    same = np.tile(np.repeat([True, False], 30), 10)
    np.testing.assert_array_equal(stratified_folds(same, 10), consecutive_folds(600, 10))


@pytest.mark.parametrize("folds", [0, 1, 7])
def test_folds_that_do_not_fit_are_refused(folds):
    with pytest.raises(InputError, match="folds"):
        fold_accuracy(np.arange(6) / 6, np.arange(6) % 2 == 0, folds)


@pytest.mark.golden
@pytest.mark.parametrize(("scores", "name"), [("scores", "facexzoo"), ("scores_quantised", "facexzoo_quantised")])
def test_fxz_grid_gives_facex_zoos_numbers(golden, scores, name):
    given_, expected, _ = golden.load(FIXTURE)

    found = fxz_grid(expected[scores], given_["issame"])

    np.testing.assert_allclose(found.thresholds, expected[f"{name}.thresholds"], atol=1e-6)
    np.testing.assert_allclose(found.accuracies, expected[f"{name}.accuracies"], atol=1e-6)
    assert found.mean == pytest.approx(float(expected[f"{name}.mean"]), abs=1e-6)
    assert found.standard_error == pytest.approx(float(expected[f"{name}.std"]), abs=1e-6)


def golden_cosine(given_):
    embeddings = unit(given_["emb"].astype(np.float64))
    return (embeddings[::2] * embeddings[1::2]).sum(axis=1)


@pytest.mark.golden
def test_if_grid_gives_the_numbers_of_insightface_tface_and_evolve(golden):
    given_, expected, _ = golden.load(FIXTURE)

    found = if_grid(golden_cosine(given_), given_["issame"])

    for name in ("insightface", "tface", "evolve"):
        np.testing.assert_allclose(found.accuracies, expected[f"{name}.accuracies"], atol=1e-6)
    for name in ("tface", "evolve"):
        np.testing.assert_allclose(2 - 2 * found.thresholds, expected[f"{name}.best_thresholds"], atol=1e-6)
    assert found.mean == pytest.approx(float(expected["insightface.mean"]), abs=1e-6)
    assert found.accuracies.std() == pytest.approx(float(expected["insightface.std"]), abs=1e-6)


@pytest.mark.golden
@pytest.mark.parametrize("far", [0.1, 0.01, 0.001])
def test_if_val_gives_insightfaces_tar_at_far(golden, far):
    given_, expected, _ = golden.load(FIXTURE)

    found = if_val(golden_cosine(given_), given_["issame"], far)

    wanted = expected[f"insightface_shim.val_valstd_far@{far}"]
    np.testing.assert_allclose([found.val, found.std, found.far], wanted, atol=1e-6)


@pytest.mark.golden
def test_the_exact_rule_agrees_with_the_slow_loop_on_quantised_scores(golden):
    given_, expected, _ = golden.load(FIXTURE)
    scores, same = expected["scores_quantised"].astype(np.float64), given_["issame"]

    found = fold_accuracy(scores, same)

    np.testing.assert_array_equal(found.accuracies, slow_fold_accuracy(scores, same, consecutive_folds(6000, 10)))


@pytest.mark.parametrize("rule", [fxz_grid, if_grid, if_val])
def test_grids_refuse_pairs_without_a_comparison(rule):
    same = np.arange(40) % 2 == 0
    scores = np.where(same, 0.9, 0.1)
    scores[3] = -np.inf
    with pytest.raises(InputError, match="rule=exact"):
        rule(scores, same)


def test_if_val_accepts_nothing_while_the_training_far_stays_below():
    same = np.arange(40) % 2 == 0
    opposite = -1.0  # a squared distance of 4 lies above the grid
    assert if_val(np.where(same, 0.9, opposite), same).val == 0.0
