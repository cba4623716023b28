"""Recommended thresholds, their warnings, wrong labels, and the tail that is extrapolated."""

import json
from functools import partial

import numpy as np
import pytest
from scipy.stats import genpareto

from facezoo.evaluation.extremes import Pareto, extrapolate, fit_pareto
from facezoo.evaluation.intervals import wilson
from facezoo.evaluation.metrics import det, min_dcf, tally, tar_at_far
from facezoo.evaluation.operating import (
    _recommended,
    _written,
    angle,
    cosine_of,
    operating_points,
    point_rows,
    squared_distance,
)
from facezoo.evaluation.pair_counting import count_pairs
from facezoo.evaluation.pair_resampling import draw_identities, resampled
from facezoo.evaluation.report import shown_cosine
from facezoo.evaluation.suspects import suspects
from facezoo.types import InputError, unit


def crowd(seed=0, number=100, photos=3, dim=24, noise=0.6):
    generator = np.random.default_rng(seed)
    identity = np.repeat(np.arange(number), photos)
    embeddings = generator.normal(size=(number, dim))[identity] + noise * generator.normal(size=(len(identity), dim))
    return embeddings, identity


def points(targets, resamples=0, **options):
    embeddings, identity = crowd(**options)
    return operating_points(count_pairs(embeddings, identity).settled(embeddings, targets), targets, resamples)


def test_the_recommended_threshold_never_exceeds_its_fmr():
    for target, point in zip((0.1, 0.01, 0.001), points((0.1, 0.01, 0.001)), strict=True):
        assert point.fmr <= target
        assert point.measurable


@pytest.mark.parametrize("target", [0.3, 0.01, 0.001])
def test_the_recommended_threshold_as_written_has_the_rates_that_are_stated(target):
    embeddings, identity = crowd()
    left, right = np.triu_indices(len(identity), 1)
    same = identity[left] == identity[right]
    point = points((target,))[0]

    for text in (json.dumps(point.threshold), shown_cosine(point.threshold)):
        threshold = float(text)
        for dtype in (np.float64, np.float32):  # as evaluation and as a gallery computes them
            vectors = unit(embeddings.astype(dtype))
            scores = (vectors[left] * vectors[right]).sum(axis=1)
            assert (scores[~same] >= threshold).mean() == pytest.approx(point.fmr, abs=1e-12)
            assert (scores[same] < threshold).mean() == pytest.approx(point.fnmr, abs=1e-12)
    assert 0.99 * target < point.fmr + 1 / (~same).sum() <= target + 1 / (~same).sum()


def test_the_border_is_rejected_whatever_a_product_rounds():
    """The highest impostor that must be rejected lies closely below a number of four decimals."""
    scores = np.array([0.1, 0.2, 0.39999999, 0.6, 0.7])
    same = np.array([False, False, False, False, True])
    tallied = tally(scores, same)
    threshold, fmr, fnmr = _recommended(tallied, tar_at_far(tallied, 0.25), 4)
    assert (threshold, fmr, fnmr) == (0.4001, 0.25, 0)


def test_the_interval_of_a_threshold_holds_the_threshold():
    point = points((0.01,), 200)[0]
    for kind in ("threshold", "fmr", "fnmr"):
        assert point.intervals[kind].low <= getattr(point, kind) <= point.intervals[kind].high


def test_the_intervals_are_those_of_the_threshold_as_it_is_written():
    """Against a slow bootstrap in which the threshold is rounded in every resample."""
    embeddings, identity = crowd(number=40, noise=0.8)
    left, right = np.triu_indices(len(identity), 1)
    same = identity[left] == identity[right]
    vectors = unit(embeddings)
    scores = (vectors[left] * vectors[right]).sum(axis=1)
    counts = count_pairs(embeddings, identity).settled(embeddings, [0.01])
    written = partial(_written, digits=1)  # so few that a rounded threshold cannot be taken for another

    measure = resampled(counts, counts.tally(), [0.01], {"1e-2": written})

    for drawn in draw_identities(40, 20, 0):
        weight = np.where(same, drawn[identity[left]], drawn[identity[left]] * drawn[identity[right]])
        impostors = np.sort(scores[~same & (weight > 0)])
        mass = [weight[~same & (scores >= s)].sum() <= 0.01 * weight[~same].sum() for s in impostors]
        threshold = written(np.nextafter(impostors[np.argmax(mass) - 1], 1))
        found = measure(drawn)
        assert found["threshold@far=1e-2"] == threshold
        fnmr = weight[same & (scores < threshold)].sum() / weight[same].sum()
        assert found["fnmr@far=1e-2"] == pytest.approx(fnmr, abs=1e-12)
        border = written(tar_at_far(counts.tally(), 0.01).threshold)
        fmr = weight[~same & (scores >= border)].sum() / weight[~same].sum()
        assert found["fmr@far=1e-2"] == pytest.approx(fmr, abs=1e-12)


def test_few_errors_and_few_people_are_said():
    rare, unseen = points((1e-4, 1e-6))
    assert rare.warnings[0].startswith("few errors")  # 4 false matches at most
    assert unseen.warnings[0].startswith("not measurable")
    assert not unseen.measurable
    assert unseen.intervals["fmr"].high == pytest.approx(3 / 50)  # so many pairs of 100 people share none
    assert "below 6.0e-02 at best" in unseen.warnings[0]
    assert any(word.startswith("few people") for word in points((0.1,), number=20)[0].warnings)
    assert point_rows([unseen])[1][1:6] == (None,) * 5


def test_many_false_matches_of_few_people_are_said():
    embeddings, identity = crowd(photos=4)
    embeddings[:80] += 3 * embeddings[0]  # the photos of 20 people resemble each other
    targets = [0.005]
    point = operating_points(count_pairs(embeddings, identity).settled(embeddings, targets), targets, 0)[0]
    assert point.false_matches > 100
    assert point.warnings[0].startswith(f"few people behind the errors: of the {point.false_matches:,.0f} false")


def test_where_identities_count_alike_their_pairs_are_the_trials():
    embeddings, identity = crowd()
    counts = count_pairs(embeddings, identity, equal="identities")
    point = operating_points(counts, [1e-4], 0)[0]
    assert not point.measurable  # 4,950 pairs of 100 people
    assert point.warnings[0].startswith("not measurable: 4,950")


def test_no_false_non_match_is_bounded_by_the_number_of_people():
    point = points((0.01,), 20, noise=0.01)[0]
    assert point.fnmr == 0
    assert (point.intervals["fnmr"].low, point.intervals["fnmr"].high) == (0, pytest.approx(3 / 100))


def test_copies_and_one_person_under_two_names_are_found():
    embeddings, identity = crowd(photos=6, noise=0.5)
    identity[21:24] = 100  # half of the photos of person 3
    embeddings[100] = embeddings[40]  # persons 16 and 6

    found = {frozenset((int(identity[s.left]), int(identity[s.right]))): s.why for s in
             suspects(count_pairs(embeddings, identity), embeddings)}  # fmt: skip

    assert found[frozenset((3, 100))].startswith("one person")
    assert found[frozenset((16, 6))].startswith("copies")
    assert len(found) == 2


def test_converters_agree_with_vectors():
    a, b = np.array([1.0, 0, 0]), np.array([0.6, 0.8, 0])
    assert squared_distance(0.6) == pytest.approx(((a - b) ** 2).sum())
    assert angle(0.5) == pytest.approx(60)
    assert (angle(1.0000001), angle(-1)) == (0, 180)
    assert cosine_of(squared_distance(0.3)) == pytest.approx(0.3)
    with pytest.raises(InputError, match="0 and 4"):
        cosine_of(5)


@pytest.mark.parametrize("shape", [-0.3, 0.0, 0.25])
def test_the_fit_of_a_tail_is_that_of_scipy_and_of_the_truth(shape):
    values = genpareto.rvs(shape, scale=0.1, size=4000, random_state=1)
    found = fit_pareto(values)
    theirs = genpareto.fit(values, floc=0)
    assert found == pytest.approx((theirs[0], theirs[2]), abs=2e-3)
    assert found == pytest.approx((shape, 0.1), abs=0.06)
    assert fit_pareto(values, np.full(4000, 3.0)) == pytest.approx(found, abs=1e-4)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("values", [[0.0, 1.0], [1.0] * 60, [1e-9, 1.0, 1.0, 1.0], np.geomspace(1e-6, 1e6, 50)])
def test_a_fit_at_the_edge_of_what_is_possible_gives_no_warning(values):
    shape, scale = fit_pareto(values)
    assert -0.5 <= shape <= 1 and scale > 0


@pytest.mark.parametrize("shape", [-0.2, 0.0, 0.2])
def test_threshold_and_rate_of_a_tail_are_inverse(shape):
    tail = Pareto(0.4, 1e-3, shape, 0.05)
    assert tail.fmr(tail.threshold(1e-6)) == pytest.approx(1e-6)
    assert tail.fmr(0.4) == pytest.approx(1e-3)
    assert tail.fmr(0.5) / 1e-3 == pytest.approx(genpareto.sf(0.1, shape, scale=0.05))


def test_an_extrapolated_threshold_meets_what_more_people_show():
    small, large = crowd(0, 150), crowd(1, 1500)
    found = extrapolate(count_pairs(*small), 3e-6, resamples=100)
    truth = operating_points(count_pairs(*large).settled(large[0], [3e-6]), [3e-6], 0)[0].threshold
    assert found.interval.low <= truth <= found.interval.high
    assert found.sentence().startswith("extrapolated, not measured")
    assert found.distance < 0.06


def test_intervals_of_extrapolated_thresholds_cover_the_truth():
    """That of ten times as many people; `benchmarks/interval_coverage.py` has more, also people alike in groups."""
    large = crowd(1, 1500)
    truth = operating_points(count_pairs(*large).settled(large[0], [3e-6]), [3e-6], 0)[0].threshold
    covered = 0
    for trial in range(20):
        found = extrapolate(count_pairs(*crowd(100 + trial, 150)), 3e-6, resamples=60, seed=trial)
        covered += found.interval.low <= truth <= found.interval.high
    assert covered >= 18


def test_a_tail_needs_scores_and_a_target_beyond_it():
    with pytest.raises(InputError, match="50 or more"):
        extrapolate(count_pairs(*crowd(number=3)), 1e-6)
    with pytest.raises(InputError, match="where the tail begins"):
        extrapolate(count_pairs(*crowd()), 0.5)


def test_the_detection_cost_of_a_hand_made_table():
    scores, same = np.array([0.1, 0.2, 0.3, 0.4]), np.array([False, True, False, True])
    # Above 0.3: FNMR 1/2, FMR 0. At 0.2: FNMR 0, FMR 1/2.
    assert min_dcf(tally(scores, same), p_target=0.5) == pytest.approx(0.5)
    assert min_dcf(tally(scores, same), p_target=0.01) == pytest.approx(0.5)
    assert min_dcf(tally(scores, same), p_target=0.5, miss=10) == pytest.approx(0.5)
    assert min_dcf(tally([0, 1], [False, True])) == 0
    with pytest.raises(InputError, match="p_target"):
        min_dcf(tally(scores, same), p_target=1)


def test_det_deviates_are_those_of_the_normal_distribution():
    fmr, fnmr = det(tally([0.1, 0.2, 0.3, 0.4], [False, True, False, True]))
    assert fmr.tolist() == [np.inf, 0, 0, -np.inf, -np.inf]
    assert fnmr.tolist() == [-np.inf, -np.inf, 0, 0, np.inf]


def test_wilson_is_the_interval_of_the_book():
    assert wilson(10, 100) == pytest.approx((0.0552, 0.1744), abs=1e-4)
    assert wilson(0, 10) == pytest.approx((0, 0.2775), abs=1e-4)
    with pytest.raises(InputError, match="trials"):
        wilson(0, 0)


def test_no_error_is_exactly_none_where_identities_count_alike():
    generator = np.random.default_rng(0)
    identity = np.repeat(np.arange(60), generator.integers(2, 9, 60))
    embeddings = np.eye(60)[identity] + 0.01 * generator.normal(size=(len(identity), 60))

    point = operating_points(count_pairs(embeddings, identity, equal="identities"), [0.01], 20)[0]

    assert point.fnmr == 0
    assert point.intervals["fnmr"].high == pytest.approx(3 / 60)


def test_copies_that_leave_no_threshold_are_said():
    embeddings, identity = np.random.default_rng(0).normal(size=(60, 16)), np.repeat(np.arange(30), 2)
    embeddings[[0, 4, 8, 12]] = embeddings[[2, 6, 10, 14]]  # four pairs where one false match is allowed
    point = operating_points(count_pairs(embeddings, identity).settled(embeddings, [1e-3]), [1e-3], 0)[0]
    assert (point.fmr, point.fnmr) == (0, 1)
    assert point.warnings[-1].startswith("copies under two names")


def test_of_photos_and_masked_copies_fewer_photos_give_the_pairs_that_are_wanted():
    embeddings, identity = crowd(number=10, photos=2)
    both = count_pairs(np.tile(embeddings, (2, 1)), np.tile(identity, 2), copies=True)
    said = operating_points(both, (1e-5,))[0].warnings[0]
    needed = int(said.rpartition("such as of ")[2].partition(" photos")[0])

    assert needed * (needed - 1) >= 1e5 > (needed - 1) * (needed - 2)  # each with the copies of all others
