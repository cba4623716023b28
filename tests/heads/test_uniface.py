"""UniFace's unified cross-entropy against a slow loop, and its bias."""

import math

import pytest
import torch

from facezoo.heads import create_head
from facezoo.registry import LOSSES
from facezoo.types import InputError


def test_the_loss_is_a_slow_loops():
    torch.manual_seed(0)
    logits, labels = torch.randn(6, 9, dtype=torch.float64) * 8, torch.randint(9, (6,))
    loss = LOSSES.create("uniface:negative_weight=0.7,start=3.5", num_classes=9).double()
    total = 0.0
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        total += math.log(1 + math.exp(3.5 - row[label]))
        total += 0.7 * sum(math.log(1 + math.exp(z - 3.5)) for j, z in enumerate(row) if j != label)
    assert loss(logits, labels).item() == pytest.approx(total / 6)


def test_the_bias_starts_from_the_number_of_classes_and_learns():
    head = create_head("cosface:margin=0.4", 8, 50, loss="uniface")
    assert head.loss.bias.item() == pytest.approx(math.log(500))
    head(torch.randn(4, 8), torch.arange(4))["classification"].backward()
    assert head.loss.bias.grad.item() != 0
    assert "loss.bias" in head.state_dict()


def test_gradients_are_those_of_finite_differences():
    torch.manual_seed(0)
    loss = LOSSES.create("uniface", num_classes=5).double()
    logits, labels = torch.randn(4, 5, dtype=torch.float64, requires_grad=True), torch.tensor([0, 4, 4, 2])

    def value(logits, bias):
        return torch.func.functional_call(loss, {"bias": bias}, (logits, labels))

    assert torch.autograd.gradcheck(value, (logits, loss.bias.detach().clone().requires_grad_()))


def test_extreme_logits_stay_finite():
    logits = torch.tensor([[-1e4, 1e4], [1e4, -1e4]], requires_grad=True)
    value = LOSSES.create("uniface", num_classes=2)(logits, torch.tensor([0, 0]))
    value.backward()
    assert torch.isfinite(value) and torch.isfinite(logits.grad).all()


def test_negatives_that_count_for_nothing_are_refused():
    with pytest.raises(InputError, match="negative_weight is 0"):
        LOSSES.create("uniface:negative_weight=0", num_classes=3)
