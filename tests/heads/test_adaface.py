"""AdaFace: logits and statistics against slow loops, state, edges."""

import math
import statistics

import pytest
import torch

from facezoo.heads import create_head
from facezoo.registry import HEADS
from facezoo.types import InputError


def batch(rows: int = 32, classes: int = 7, seed: int = 0):
    torch.manual_seed(seed)
    cosine = torch.rand(rows, classes, dtype=torch.float64) * 1.9 - 0.95
    labels = torch.randint(classes, (rows,))
    cosine.scatter_(1, labels[:, None], torch.linspace(-0.9999, 0.9999, rows, dtype=torch.float64)[:, None])
    # Below, inside and above the range that counts.
    return cosine, labels, torch.logspace(-4, 2.5, rows, dtype=torch.float64)[torch.randperm(rows)][:, None]


def target(cosine: float, norm: float, mean: float, std: float) -> float:
    norm = min(max(norm, 1e-3), 100)
    z = min(max(0.333 * (norm - mean) / (std + 1e-3), -1), 1)
    angle = math.acos(min(max(cosine, -0.999), 0.999)) - 0.4 * z
    return math.cos(min(max(angle, 1e-3), math.pi - 1e-3)) - 0.4 - 0.4 * z


@pytest.mark.parametrize("alpha", [0.01, 1.0])
def test_logits_and_statistics_are_a_slow_loops_over_five_steps(alpha):
    margin = HEADS.create(f"adaface:alpha={alpha}").double()
    mean, std = 20.0, 100.0
    for step in range(5):
        cosine, labels, norms = batch(seed=step)
        clipped = [min(max(norm, 1e-3), 100) for norm in norms[:, 0].tolist()]
        mean += alpha * (statistics.fmean(clipped) - mean)
        std += alpha * (statistics.stdev(clipped) - std)

        logits = margin(cosine, labels, norms)

        assert margin.mean.item() == pytest.approx(mean) and margin.std.item() == pytest.approx(std)
        wanted = 64 * cosine
        for row, label in enumerate(labels.tolist()):
            wanted[row, label] = 64 * target(cosine[row, label].item(), norms[row].item(), mean, std)
        torch.testing.assert_close(logits, wanted)


def test_the_preset_has_the_class_default_of_the_authors():
    assert HEADS.create("adaface@authors").alpha == 1.0


def test_large_norms_get_an_angle_taken_away_and_small_ones_one_added():
    """The paper's two ends: z = -1 is ArcFace with -(-m), z = 1 a negative angle and twice the additive margin."""
    margin = HEADS.create("adaface").double().eval()
    margin.mean.fill_(50)
    margin.std.fill_(1)
    cosine, labels = torch.full((2, 1), 0.5, dtype=torch.float64), torch.zeros(2, dtype=torch.int64)
    small, large = (margin(cosine, labels, torch.tensor([[1.0], [99.0]]).double()) / 64).flatten().tolist()
    assert small == pytest.approx(math.cos(math.acos(0.5) + 0.4))
    assert large == pytest.approx(math.cos(math.acos(0.5) - 0.4) - 0.8)


def test_the_norms_have_no_gradient_and_the_statistics_rest_in_evaluation():
    margin = HEADS.create("adaface").double().eval()
    cosine, labels, norms = batch()
    logits = margin(cosine.requires_grad_(), labels, norms.requires_grad_())
    logits.sum().backward()
    assert norms.grad is None
    assert (margin.mean.item(), margin.std.item()) == (20, 100)


def test_one_embedding_alone_leaves_the_deviation():
    margin = HEADS.create("adaface")
    margin(torch.zeros(1, 3), torch.zeros(1, dtype=torch.int64), torch.full((1, 1), 30.0))
    assert margin.std.item() == 100 and margin.mean.item() == pytest.approx(20.1)


def test_a_saved_head_continues_as_if_it_had_not_stopped():
    torch.manual_seed(0)
    straight, resumed = create_head("adaface", 8, 5), create_head("adaface", 8, 5)
    batches = [(10 * torch.randn(6, 8), torch.randint(5, (6,))) for _ in range(50)]
    for embeddings, labels in batches[:25]:
        straight(embeddings, labels)
    resumed.load_state_dict(straight.state_dict())
    for embeddings, labels in batches[25:]:
        wanted, got = straight(embeddings, labels), resumed(embeddings, labels)
    assert torch.equal(got["classification"], wanted["classification"])
    assert resumed.margin.mean != 20 and torch.equal(resumed.margin.mean, straight.margin.mean)


def test_a_share_beyond_one_is_refused():
    with pytest.raises(InputError, match="alpha is 2"):
        HEADS.create("adaface:alpha=2")
