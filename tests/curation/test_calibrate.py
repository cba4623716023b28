import numpy as np
import pytest

from facezoo.curation.calibrate import rare_above, rare_below
from facezoo.types import InputError


@pytest.fixture
def scores():
    rng = np.random.default_rng(0)
    rare, common = rng.normal(0, 0.1, 20_000), rng.normal(0.5, 0.1, 98_000)
    return np.concatenate([rng.normal(0, 0.1, 2000), common]), rare, common


def test_the_share_of_a_rare_kind_is_found(scores):
    assert rare_below(scores[0], scores[1], 0.8).share == pytest.approx(0.02, rel=0.1)


@pytest.mark.parametrize("precision", [0.7, 0.9, 0.98])
def test_precision_and_recall_come_as_foretold(scores, precision):
    mixture, rare, _ = scores
    found = rare_below(mixture, rare, precision)
    below = mixture <= found.value
    right = below[:2000]
    assert right.sum() / below.sum() == pytest.approx(precision, abs=0.05) or found.recall == pytest.approx(
        0.99, abs=1e-3
    )
    assert right.mean() == pytest.approx(found.recall, abs=0.02)


def test_a_lower_precision_finds_no_less(scores):
    values = [rare_below(scores[0], scores[1], precision).value for precision in (0.99, 0.9, 0.5)]
    assert values == sorted(values)


def test_where_there_is_nothing_rare_hardly_anything_is_found(scores):
    _, rare, common = scores
    apart = common + 0.4
    assert (apart <= rare_below(apart, rare, 0.9).value).sum() <= 1


def test_the_other_side_is_the_mirror_image(scores):
    below, above = rare_below(scores[0], scores[1], 0.9), rare_above(-scores[0], -scores[1], 0.9)
    assert above.value == -below.value and above.recall == below.recall


def test_what_gives_no_threshold_is_refused():
    with pytest.raises(InputError, match="precision is 0"):
        rare_below(np.ones(3), np.ones(3), 0)
    with pytest.raises(InputError, match="too few identities"):
        rare_below(np.ones(3), np.empty(0), 0.5)


@pytest.mark.parametrize("score", [-0.1, 0.0, 0.1])
def test_a_single_one_is_found(score):
    rng = np.random.default_rng(0)
    mixture = np.append(rng.normal(0.8, 0.05, 200), score)
    assert (mixture <= rare_below(mixture, rng.normal(0, 0.1, 200), 0.8).value).sum() == 1
