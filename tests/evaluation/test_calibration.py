"""Cosines become log-likelihood ratios."""

import json

import numpy as np
import pytest

from facezoo.evaluation.calibration import cllr, fit_calibration, held_out, min_cllr, read_calibration
from facezoo.evaluation.metrics import tally
from facezoo.types import Contract, InputError


def normal_scores(seed=0, pairs=20000):
    """Two normal distributions of one width, whose log-likelihood ratio is the line 8 s - 1.6."""
    generator = np.random.default_rng(seed)
    same = np.arange(pairs) % 5 == 0
    return tally(generator.normal(np.where(same, 0.4, 0.0), np.sqrt(0.05)), same)


@pytest.mark.parametrize("method", ["logistic", "isotonic"])
def test_known_ratios_are_found(method):
    ratios = fit_calibration(normal_scores(), method)(np.array([0.0, 0.2, 0.4]))
    np.testing.assert_allclose(ratios, [-1.6, 0, 1.6], atol=0.12 if method == "logistic" else 0.4)


def test_the_number_of_pairs_of_either_kind_does_not_move_the_ratios():
    scores = np.random.default_rng(0).normal(np.repeat([0.4, 0.0], 500), 0.2)
    same = np.repeat([True, False], 500)
    once = fit_calibration(tally(scores, same))
    repeated = fit_calibration(
        tally(np.append(scores, np.tile(scores[500:], 9)), np.append(same, np.zeros(4500, bool)))
    )
    np.testing.assert_allclose(repeated([0.1, 0.3]), once([0.1, 0.3]), rtol=1e-8)


def test_the_cost_of_hand_made_ratios():
    ones = np.ones(2)
    assert cllr(np.zeros(2), ones, ones) == pytest.approx(1)
    assert cllr(np.array([-np.inf, np.inf]), np.array([0, 1]), np.array([1, 0])) == 0
    assert cllr(np.log([3.0]), np.ones(1), np.ones(1)) == pytest.approx((np.log2(1 + 1 / 3) + np.log2(1 + 3)) / 2)


def test_no_calibration_costs_less_than_the_minimum():
    tallied = normal_scores()
    least = min_cllr(tallied)
    for method in ("logistic", "isotonic"):
        cost = cllr(fit_calibration(tallied, method)(tallied.scores), tallied.genuine, tallied.impostor)
        assert least <= cost + 1e-9
        assert cost < least + 0.02


def test_isotonic_ratios_rise_and_are_finite():
    found = fit_calibration(tally([0.1, 0.2, 0.3, 0.4], [False, False, True, True]), "isotonic")
    ratios = found(np.linspace(-1, 1, 50))
    assert np.isfinite(ratios).all()
    assert (np.diff(ratios) >= 0).all()
    assert ratios[0] < 0 < ratios[-1]


def test_scores_that_part_the_kinds_have_no_best_line():
    with pytest.raises(InputError, match="use isotonic"):
        fit_calibration(tally([0.1, 0.2, 0.3, 0.4], [False, False, True, True]))


@pytest.mark.parametrize("method", ["logistic", "isotonic"])
def test_a_written_calibration_reads_back(tmp_path, method):
    from dataclasses import replace

    found = replace(fit_calibration(normal_scores(pairs=500), method), data="ab", contract=Contract(name="m"), cllr=0.5)
    found.write(tmp_path / "c.json")
    again = read_calibration(tmp_path / "c.json")
    np.testing.assert_array_equal(again([0.1, 0.9]), found([0.1, 0.9]))
    assert (again.contract, again.data, again.cllr) == (found.contract, "ab", 0.5)


@pytest.mark.parametrize("text", ["nonsense", "[]", '{"method": "votes"}', None])
def test_what_is_no_calibration_is_one_sentence(tmp_path, text):
    path = tmp_path / "c.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=r"c\.json"):
        read_calibration(path)


def test_scores_that_do_not_rise_are_refused(tmp_path):
    fit_calibration(normal_scores(pairs=500)).write(tmp_path / "c.json")
    values = json.loads((tmp_path / "c.json").read_text())
    (tmp_path / "c.json").write_text(json.dumps({**values, "scores": [1.0, 0.0]}))
    with pytest.raises(InputError, match="must rise"):
        read_calibration(tmp_path / "c.json")


def test_held_out_people_are_not_fitted_to():
    generator = np.random.default_rng(0)
    identity = np.repeat(np.arange(40), 3)
    embeddings = generator.normal(size=(40, 16))[identity] + 0.8 * generator.normal(size=(120, 16))
    failed = np.zeros(120, bool)
    failed[0] = True
    cost, least = held_out(embeddings, identity, failed, "logistic", folds=4)
    assert 0 < least <= cost < 1
    alike = held_out(embeddings, identity, failed, "logistic", folds=4, equal="identities")
    assert alike != (cost, least)  # person 0 has fewer pairs
    with pytest.raises(InputError, match="cannot fill"):
        held_out(embeddings[:9], identity[:9], failed[:9], "logistic")
