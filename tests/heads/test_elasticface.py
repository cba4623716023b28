"""ElasticFace: drawn margins, whom they go to, and that evaluation draws nothing."""

import math

import pytest
import torch

from facezoo.heads.margin import take_target
from facezoo.registry import HEADS
from facezoo.types import InputError


def batch(rows: int = 64, classes: int = 7):
    torch.manual_seed(0)
    return torch.rand(rows, classes, dtype=torch.float64) * 1.6 - 0.8, torch.randint(classes, (rows,))


def drawn_margins(spec: str, cosine, labels):
    """What each row's margin was, from its logit."""
    margin = HEADS.create(spec)
    target, logit = take_target(cosine, labels), take_target(margin(cosine, labels, cosine[:, :1]), labels) / 64
    return (logit.acos() - target.acos() if "arc" in spec else target - logit)[:, 0]


@pytest.mark.parametrize(("spec", "mean", "std"), [("elasticarc", 0.5, 0.05), ("elasticcos", 0.35, 0.05)])
def test_margins_have_the_mean_and_deviation_that_were_asked_for(spec, mean, std):
    cosine, labels = batch(rows=20000)
    found = drawn_margins(spec, cosine, labels)
    assert found.mean().item() == pytest.approx(mean, abs=2e-3)
    assert found.std().item() == pytest.approx(std, abs=2e-3)


@pytest.mark.parametrize("spec", ["elasticarc@plus", "elasticcos@plus"])
def test_plus_gives_the_largest_margin_to_the_hardest_sample_and_so_on(spec):
    cosine, labels = batch()
    found = drawn_margins(spec, cosine, labels)
    by_difficulty = found[take_target(cosine, labels)[:, 0].argsort()]
    assert (by_difficulty.diff() < 0).all()


@pytest.mark.parametrize("spec", ["elasticarc", "elasticcos", "elasticarc@plus", "elasticcos@plus"])
def test_evaluation_has_the_mean_margin(spec):
    cosine, labels = batch()
    got = HEADS.create(spec).eval()(cosine, labels, cosine[:, :1])
    for row, label, logits in zip(cosine.tolist(), labels.tolist(), got.tolist(), strict=True):
        c = row[label]
        row[label] = math.cos(math.acos(c) + 0.5) if "arc" in spec else c - 0.35
        assert logits == pytest.approx([64 * value for value in row])


@pytest.mark.parametrize("spec", ["elasticarc", "elasticcos@plus"])
def test_the_seed_decides_and_every_step_draws_anew(spec):
    cosine, labels = batch()
    margin, runs = HEADS.create(spec), []
    for _ in range(2):
        torch.manual_seed(1)
        runs.append([margin(cosine, labels, cosine[:, :1]) for _ in range(2)])
    assert torch.equal(runs[0][0], runs[1][0]) and torch.equal(runs[0][1], runs[1][1])
    assert not torch.equal(runs[0][0], runs[0][1])


def test_a_negative_deviation_is_refused():
    with pytest.raises(InputError, match="elasticcos: std is -1"):
        HEADS.create("elasticcos:std=-1")
