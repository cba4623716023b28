"""Paired tests hold their level, find what is there, and correct for their number."""

import numpy as np
import pytest
from scipy.stats import binomtest

from facezoo.evaluation.intervals import identity_weights, pair_weights
from facezoo.evaluation.metrics import Sorted
from facezoo.evaluation.significance import difference_of, holm, mcnemar, paired_bootstrap
from facezoo.evaluation.verification import pair_measure
from facezoo.types import InputError


def test_mcnemar_is_the_binomial_test_of_the_trials_that_differ():
    first = np.array([1] * 40 + [1] * 9 + [0] * 2 + [0] * 5, bool)
    second = np.array([1] * 40 + [0] * 9 + [1] * 2 + [0] * 5, bool)
    found = mcnemar(first, second)
    assert (found.first_only, found.second_only) == (9, 2)
    assert found.p == pytest.approx(binomtest(9, 11).pvalue)
    assert mcnemar(second, first).p == found.p


def test_models_that_never_differ_are_not_told_apart():
    assert mcnemar([True, False], [True, False]).p == 1
    with pytest.raises(InputError, match="the same trials"):
        mcnemar([True], [True, False])


def test_mcnemar_rejects_equal_models_no_more_often_than_it_says():
    generator = np.random.default_rng(0)
    rejected = [mcnemar(*(generator.random((2, 400)) < 0.8)).p < 0.05 for _ in range(2000)]
    assert 0.02 < np.mean(rejected) < 0.055


def rank1(hits, identity):
    """The share of hits as a measure, of trials of which those of one identity are drawn together."""
    return lambda weights: {"rank1": float(weights @ hits / weights.sum())}


def test_the_bootstrap_over_identities_rejects_equal_models_as_often_as_it_says():
    generator = np.random.default_rng(1)
    identity = np.repeat(np.arange(80), 4)
    rejected, covered = [], []
    for trial in range(500):
        hard = generator.normal(size=80)[identity]  # people are hard for both models, and each has its own as well
        own = generator.normal(size=(2, 80))[:, identity]
        hits = (hard + own + generator.normal(size=(2, 320)) < 1.0).astype(float)
        weights = identity_weights(identity, identity, 200, trial)
        found = paired_bootstrap([rank1(each, identity) for each in hits], weights)[0, 1, "rank1"]
        rejected.append(found.p < 0.05)
        covered.append(found.low <= 0 <= found.high)
    assert 0.025 < np.mean(rejected) < 0.08
    assert 0.92 < np.mean(covered) < 0.975


def test_pairs_drawn_one_by_one_would_reject_too_often():
    """Why identities are drawn: the photos of a person are hard together."""
    generator = np.random.default_rng(2)
    identity = np.repeat(np.arange(40), 8)
    rejected = []
    for trial in range(200):
        own = 2 * generator.normal(size=(2, 40))[:, identity]
        hits = (own + generator.normal(size=(2, 320)) < 1.0).astype(float)
        found = paired_bootstrap([rank1(each, identity) for each in hits], pair_weights(320, 200, trial))
        rejected.append(found[0, 1, "rank1"].p < 0.05)
    assert np.mean(rejected) > 0.15


def scored(generator, shared, spread):
    """Scores of 150 genuine and 150 impostor pairs that have `shared` noise and some of their own."""
    same = np.arange(300) < 150
    return np.where(same, 1.5, 0.0) + shared + spread * generator.normal(size=300), same


def test_eer_and_tar_of_equal_models_are_rejected_no_more_often_than_they_say():
    generator = np.random.default_rng(3)
    fold = np.arange(300) % 5
    rejected = {"eer": [], "tar@far=1e-2": []}
    for trial in range(150):
        shared = generator.normal(size=300)
        measures = []
        for _ in range(2):
            scores, same = scored(generator, shared, 0.5)
            measures.append(pair_measure(Sorted(scores, same), fold, [1e-2], accuracy=False))
        found = paired_bootstrap(measures, pair_weights(300, 100, trial))
        for name, those in rejected.items():
            those.append(found[0, 1, name].p < 0.05)
    for name, those in rejected.items():
        assert np.mean(those) < 0.06, name


def test_a_better_model_is_found_with_a_narrower_interval_than_two_separate_ones_give():
    generator = np.random.default_rng(4)
    shared, fold = generator.normal(size=300), np.arange(300) % 5
    good, same = scored(generator, shared, 0.1)
    bad, _ = scored(generator, shared, 1.2)
    measures = [pair_measure(Sorted(scores, same), fold, [1e-2]) for scores in (good, bad)]
    found = paired_bootstrap(measures, pair_weights(300, 200, 0))[0, 1, "eer"]
    assert found.high < 0 and found.p < 0.05

    drawn = np.array([[measure(weight)["eer"] for measure in measures] for weight in pair_weights(300, 200, 0)])
    apart = np.percentile(drawn[:, 0] - drawn[::-1, 1], [2.5, 97.5])
    assert found.high - found.low < np.ptp(apart)


def test_a_model_is_not_different_from_itself():
    scores, same = scored(np.random.default_rng(5), 0.0, 1.0)
    measures = [pair_measure(Sorted(scores, same), np.arange(300) % 5, [1e-2])] * 2
    for found in paired_bootstrap(measures, pair_weights(300, 50, 0)).values():
        assert (found.low, found.high, found.p) == (0, 0, 1)


def test_a_p_value_is_never_smaller_than_the_resamples_can_show():
    assert difference_of(np.full(99, 0.5)).p == pytest.approx(2 / 100)
    with pytest.raises(InputError, match="0 resamples"):
        paired_bootstrap([dict, dict], iter([]))


def test_holm_multiplies_by_what_is_left_and_keeps_the_order():
    assert holm([0.01, 0.04, 0.03]).tolist() == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.6, 0.7]).tolist() == [1, 1]
    assert holm([]).tolist() == []


def test_holm_rejects_any_of_many_true_hypotheses_no_more_often_than_one_test_does():
    drawn = np.random.default_rng(6).random((4000, 10))
    assert np.mean([(holm(p) < 0.05).any() for p in drawn]) == pytest.approx(0.05, abs=0.012)


def test_a_metric_that_the_first_resample_leaves_open_is_compared():
    def measure(gain):
        return lambda weights: {"rate": gain + weights[0]} if weights.any() else {}

    weights = iter([np.zeros(2), *(np.full(2, 1.0 + k) for k in range(9))])
    found = paired_bootstrap([measure(0.5), measure(0.0)], weights)
    assert found[0, 1, "rate"].low == pytest.approx(0.5)
