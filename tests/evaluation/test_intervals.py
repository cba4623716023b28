"""Intervals: the quantiles of t, the weights of a resample, and how often the truth is covered."""

from dataclasses import replace

import numpy as np
import pytest

from facezoo.evaluation.by_group import ByGroup
from facezoo.evaluation.folds import fold_accuracy, weighted_fold_accuracy
from facezoo.evaluation.intervals import (
    bootstrap,
    error_bound,
    fold_interval,
    identity_intervals,
    identity_weights,
    independent_trials,
    pair_weights,
    t_quantile,
    wilson,
)
from facezoo.evaluation.metrics import Sorted, auc, eer, tally, tar_at_far
from facezoo.evaluation.photos import Photo
from facezoo.evaluation.verification import Verification, pair_measure
from facezoo.types import InputError


@pytest.mark.parametrize(
    ("freedom", "table"), [(1, 12.706), (2, 4.303), (3, 3.182), (4, 2.776), (9, 2.262), (30, 2.042), (1000, 1.962)]
)
def test_quantiles_of_t_are_those_of_the_tables(freedom, table):
    assert t_quantile(0.95, freedom) == pytest.approx(table, abs=6e-4)


def test_the_interval_over_ten_folds_is_2_262_standard_errors():
    same = np.arange(2000) % 2 == 0
    folds = fold_accuracy(np.random.default_rng(0).normal(1.5 * same), same)

    low, high = fold_interval(folds)

    assert (high - low) / 2 == pytest.approx(2.262 * folds.std / np.sqrt(10), rel=1e-3)
    assert (high + low) / 2 == pytest.approx(folds.mean)


def identities(seed, people=30, photos=4, pairs=300):
    """Pairs of photos of people, all with ties in their scores."""
    generator = np.random.default_rng(seed)
    person = np.repeat(np.arange(people), photos)
    left = generator.integers(len(person), size=pairs)
    right = np.where(generator.random(pairs) < 0.5, left // photos * photos + generator.integers(photos, size=pairs), 0)
    right = np.where(right == 0, generator.integers(len(person), size=pairs), right)
    same = person[left] == person[right]
    return person[left], person[right], same, np.round(generator.normal(0.8 * same, 0.4), 1)


def test_weights_stand_for_drawing_identities_again():
    left, right, same, _ = identities(0)
    generator = np.random.default_rng(7)
    people = np.unique(np.concatenate([left, right]))

    for weights in identity_weights(left, right, 5, seed=7):
        drawn = people[generator.integers(len(people), size=len(people))]
        times = {person: int((drawn == person).sum()) for person in people}
        expected = [times[a] if a == b else times[a] * times[b] for a, b in zip(left, right)]
        assert weights.tolist() == expected
    assert same.any()


@pytest.mark.parametrize("seed", range(3))
def test_weighted_metrics_equal_those_of_repeated_pairs(seed):
    left, right, same, scores = identities(seed)
    ordered, fold = Sorted(scores, same), np.arange(len(same)) * 5 // len(same)

    for weights in identity_weights(left, right, 5, seed):
        times = weights.astype(int)
        repeated = tally(np.repeat(scores, times), np.repeat(same, times))
        weighted = ordered.tally(weights)
        for metric in (auc, eer, lambda t: tar_at_far(t, 0.05).tar):
            assert metric(weighted) == pytest.approx(metric(repeated), abs=1e-9)
        again = fold_accuracy(np.repeat(scores, times), np.repeat(same, times), np.repeat(fold, times))
        np.testing.assert_allclose(weighted_fold_accuracy(ordered, fold, weights).accuracies, again.accuracies)


def test_a_seed_gives_one_interval():
    def measure(weights):
        return {"mean": float(weights @ np.arange(50)) / weights.sum()}

    one, same, other = (bootstrap(measure, pair_weights(50, 200, seed)) for seed in (1, 1, 2))

    assert one == same != other


def test_the_interval_over_pairs_covers_the_true_auc():
    covered, trials, distance = 0, 60, 1.0
    truth = 0.7602499  # P(N(1, 1) > N(0, 1)) = Phi(1 / sqrt 2)
    for trial in range(trials):
        same = np.arange(200) % 2 == 0
        ordered = Sorted(np.random.default_rng(trial).normal(distance * same), same)
        low, high = bootstrap(lambda w, o=ordered: {"auc": auc(o.tally(w))}, pair_weights(200, 200, trial))["auc"]
        covered += low <= truth <= high
    assert covered >= 0.86 * trials


def people_of_one_kind(seed, people=40, photos=4):
    """All pairs of photos whose genuine scores depend on the person: pairs of one person are no new evidence."""
    generator = np.random.default_rng(seed)
    person = np.repeat(np.arange(people), photos)
    left, right = np.triu_indices(len(person), 1)
    left, right = person[left], person[right]
    same = left == right
    ease = generator.normal(1.0, 0.6, people)[left]
    return left, right, same, np.where(same, ease, 0) + generator.normal(0, 0.4, len(same))


def test_only_resampled_identities_cover_the_truth_of_dependent_pairs():
    drawn_again = (people_of_one_kind(seed) for seed in range(1000, 1100))
    truth = float(np.mean([auc(tally(scores, same)) for _, _, same, scores in drawn_again]))
    covered = {"identities": 0, "pairs": 0}
    trials = 40
    for trial in range(trials):
        left, right, same, scores = people_of_one_kind(trial)
        ordered = Sorted(scores, same)
        drawn = {
            "identities": identity_weights(left, right, 100, trial),
            "pairs": pair_weights(len(same), 100, trial),
        }
        for kind, weights in drawn.items():
            low, high = bootstrap(lambda w, o=ordered: {"auc": auc(o.tally(w))}, weights)["auc"]
            covered[kind] += low <= truth <= high
    assert covered["identities"] >= 0.8 * trials
    assert covered["pairs"] < covered["identities"]


def test_a_metric_that_most_resamples_leave_open_has_no_interval():
    values = iter([0.5, None, None, None])
    assert bootstrap(lambda _: {"eer": next(values)}, pair_weights(5, 4, 0)) == {}


def test_a_bootstrap_without_resamples_is_refused():
    with pytest.raises(InputError, match="resamples"):
        bootstrap(lambda _: {}, iter(()))


def separated(people, pairs, known):
    """`pairs` genuine and as many impostor pairs of distinct photos, and embeddings that make no error."""
    person = np.repeat(np.arange(people), 2 * pairs // people + 2)
    generator = np.random.default_rng(0)
    left, right = [], []
    for k in range(pairs):
        mine = np.flatnonzero(person == k % people)
        left += [mine[0], mine[1]]
        right += [mine[2 + k // people], generator.choice(np.flatnonzero(person == (k + 1) % people))]
    left, right = np.array(left), np.array(right)
    benchmark = Verification(
        "clean", [], left, right, person[left] == person[right], 6, identity=person if known else None, resamples=20
    )
    return benchmark, np.eye(people)[person]


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("resamples", [0, 20])
def test_where_no_error_was_seen_the_interval_is_the_rule_of_three(known, resamples):
    benchmark, embeddings = separated(20, 60, known)
    trials, of_all = benchmark.impostor_trials, benchmark.trials(np.ones(120, bool))
    assert 6 < trials <= 10 or (not known and 10 < trials <= 60)  # 20 people in a ring

    report = replace(benchmark, resamples=resamples).score(embeddings)

    assert (report.metrics["accuracy"], report.metrics["auc"], report.metrics["eer"]) == (1.0, 1.0, 0.0)
    ends = {name: (found.low, found.high) for name, found in report.intervals.items()}
    assert ends["eer"] == (0.0, pytest.approx(3 / trials))
    assert ends["auc"] == (pytest.approx(1 - 3 / trials), 1.0)
    assert ends["accuracy"] == ends["accuracy_over_folds"] == (pytest.approx(1 - 3 / of_all), 1.0)
    what = "person" if known else "photo"
    assert report.intervals["eer"].method == f"rule of three, no error in {trials} pairs that share no {what}"
    assert report.intervals["accuracy"].method == f"rule of three, no error in {of_all} pairs that share no {what}"


def test_independent_trials_share_no_person_or_photo():
    everyone = np.triu_indices(21, 1)
    assert independent_trials(*everyone) == 10
    assert independent_trials(np.zeros(9, int), np.arange(1, 10)) == 1  # one photo in all pairs
    assert independent_trials(np.arange(0, 20, 2), np.arange(1, 20, 2)) == 10
    person = np.arange(21) // 3
    assert independent_trials(*everyone, person) in range(3, 8)  # a person with itself, or two of the seven
    same = person[everyone[0]] == person[everyone[1]]
    assert independent_trials(everyone[0][same], everyone[1][same], person) == 7
    assert independent_trials(everyone[0][~same], everyone[1][~same], person) == 3
    assert independent_trials(np.empty(0, int), np.empty(0, int)) == 0


def test_no_error_is_bounded_although_pairs_share_people():
    """A few wolves among many people are taken for everybody: 3 / pairs would miss the rate nearly always."""
    generator, share, people = np.random.default_rng(0), 0.02, 60
    left, right = np.triu_indices(people, 1)
    truth = 1 - (1 - share) ** 2
    bound = error_bound(independent_trials(left, right))
    clean = [not (generator.random(people) < share).any() for _ in range(2000)]
    assert np.mean(clean) > 0.2 and 3 / len(left) < truth < bound


def test_a_perfect_tar_counts_the_genuine_trials():
    person = np.repeat(np.arange(100), 2)
    one = np.arange(0, 200, 2)
    left = np.concatenate([one[:40], one, one])
    right = np.concatenate([one[:40] + 1, (one + 2) % 200, (one + 4) % 200])
    benchmark = Verification("clean", [], left, right, person[left] == person[right], 4, resamples=20)

    found = benchmark.score(np.eye(100)[person]).intervals["tar@far=1e-2"]

    assert (found.low, found.high) == (pytest.approx(1 - 3 / 40), 1.0)


def test_one_error_keeps_the_interval_of_the_resamples():
    benchmark, embeddings = separated(6, 36, known=False)
    embeddings[benchmark.right[0]] = embeddings[benchmark.right[1]]

    report = benchmark.score(embeddings)

    assert report.metrics["auc"] < 1
    assert all("bootstrap" in report.intervals[name].method for name in ("accuracy", "auc", "eer"))


def test_a_rate_of_0_has_no_empty_interval():
    found = identity_intervals(lambda _: {"rank1": 0.0}, np.arange(9), {"rank1": 0.0}, 9, "identities", 20, 0)["rank1"]
    assert (found.low, found.high) == (0, pytest.approx(3 / 9))
    assert found.method == "rule of three, no success in 9 identities"


def test_fewer_than_three_trials_bound_nothing():
    assert error_bound(2) == 1.0


def test_folds_that_are_equally_accurate_leave_an_interval_of_single_trials():
    person = np.repeat(np.arange(40), 2)
    left, right = np.arange(0, 80, 2), np.arange(1, 81, 2)
    right[1::2] = (right[1::2] + 20) % 80  # impostor and genuine pairs in turns
    embeddings = np.eye(40)[person]
    embeddings[left[::8]] = np.eye(40)[np.arange(1, 41, 8)]  # one genuine pair in each fold is rejected
    benchmark = Verification("even", [], left, right, person[left] == person[right], 5, resamples=0)

    report = benchmark.score(embeddings)

    found = report.intervals["accuracy"]
    assert (report.metrics["std"], report.metrics["accuracy"]) == (0, 0.875)
    assert (found.low, found.high) == wilson(0.875 * 40, 40)
    assert found.method.startswith("Wilson's, of 40 pairs that share no photo")
    benchmark = replace(benchmark, photos=[Photo(str(k), b"") for k in range(80)])
    alike = ByGroup("both", {"a": benchmark, "b": benchmark}).score(np.vstack([embeddings] * 2)).intervals["accuracy"]
    assert (alike.low, alike.high) == wilson(0.875 * 40, 40)


def test_a_resample_of_one_fold_alone_has_no_accuracy():
    scores, same = np.array([0.1, 0.9, 0.2, 0.8]), np.array([0, 1, 0, 1], bool)
    measure = pair_measure(Sorted(scores, same), np.array([0, 0, 1, 1]), [0.5])
    assert "accuracy" not in measure(np.array([2.0, 2, 0, 0]))
    assert measure(np.array([2.0, 0, 0, 2])) == {"auc": 1, "eer": 0, "min_dcf": 0, "accuracy": 1, "tar@far=5e-1": 1}


def test_the_detection_cost_has_an_interval_that_is_never_empty():
    generator = np.random.default_rng(0)
    identity = np.repeat(np.arange(40), 2)
    left, right = np.arange(80), (np.arange(80) + 1) % 80
    pairs = Verification("toy", [], left, right, identity[left] == identity[right], identity=identity, resamples=100)
    embeddings = generator.normal(size=(40, 8))[identity]

    found = pairs.score(embeddings + 0.8 * generator.normal(size=(80, 8)))

    assert found.intervals["min_dcf"].low < found.metrics["min_dcf"] < found.intervals["min_dcf"].high
    assert "min_dcf" not in pairs.score(embeddings).intervals
