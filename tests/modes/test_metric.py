"""Training without class centres: the embedding losses alone."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from facezoo.heads import create_embedding_losses
from facezoo.modes.metric import Metric
from facezoo.types import InputError


def test_its_losses_are_the_embedding_losses(flat):
    losses = create_embedding_losses(["triplet:mining=all", "contrastive"], 5, 8)
    images, labels = torch.randn(10, 3, 2, 2), torch.arange(5).repeat_interleave(2)
    mode = Metric(flat, losses)

    found = mode(images, labels, torch.arange(10))

    embeddings = flat(images)
    assert set(found) == {"triplet", "contrastive"}
    assert all(torch.equal(found[name], losses[name](embeddings, labels)) for name in found)
    sum(found.values()).backward()
    assert flat.layer.weight.grad.abs().sum() > 0


def test_batches_without_a_pair_are_refused(flat):
    mode = Metric(flat, create_embedding_losses(["triplet"], 5, 8))

    mode.check_order(lambda: torch.tensor([0, 1, 2, 1]))
    with pytest.raises(InputError, match=r"no pairs to learn from; write data\.sampler = 'identities:each=4'"):
        mode.check_order(lambda: torch.arange(5))
    Metric(flat, create_embedding_losses(["triplet", "centre"], 5, 8)).check_order(lambda: torch.arange(5))


def test_without_a_loss_it_is_refused(flat):
    with pytest.raises(InputError, match=r"there is no loss; write model.embedding_losses"):
        Metric(flat, nn.ModuleDict())
