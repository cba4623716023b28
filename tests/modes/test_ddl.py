"""Distribution distillation: which images become pairs, negatives and classes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from facezoo.heads import create_head, ddl
from facezoo.modes.ddl import DDL
from facezoo.types import InputError

SETS = np.array([0, 0, 0, 1, 1, 2])


def test_every_set_is_classified_and_its_pairs_are_compared(flat):
    head = create_head("curricularface:scale=8", 8, 6, spaces=SETS)
    mode = DDL(flat, head, SETS, order_weight=0.3).eval()
    torch.manual_seed(1)
    labels = torch.tensor([0, 3, 5, 2, 4, 5, 1, 3, 5]).repeat_interleave(2)
    images = torch.randn(18, 3, 2, 2)

    found = mode(images, labels, torch.arange(18))

    embeddings = flat(images)
    branches = []
    for number in range(3):
        first = torch.tensor([2 * (3 * group + number) for group in range(3)])
        own = torch.stack([first, first + 1], 1).flatten()
        wanted = head(embeddings[own], labels[own])["classification"]
        torch.testing.assert_close(found[f"classification_{number}"], wanted)
        branches.append(ddl.Branch(embeddings[first], embeddings[first + 1], embeddings[first], labels[first]))
    torch.testing.assert_close(found["ddl"], ddl.DDL(order_weight=0.3)(branches))
    assert set(found) == {"ddl", "classification_0", "classification_1", "classification_2"}


def test_gradients_reach_the_network_and_the_centres_of_a_sampled_head(flat):
    head = create_head("cosface:scale=8", 8, 6, sample_rate=0.7)
    mode = DDL(flat, head, SETS[:6] > 0).train()
    labels = torch.tensor([0, 3, 2, 4]).repeat_interleave(2)
    losses = mode(torch.randn(8, 3, 2, 2), labels, torch.arange(8))
    sum(losses.values()).backward()
    assert flat.layer.weight.grad.abs().sum() > 0
    assert head.weight.grad.is_sparse and head.weight.grad.to_dense()[[0, 2, 3, 4]].abs().sum(1).min() > 0


def test_other_batches_and_one_set_are_refused(flat):
    head = create_head("cosface", 8, 6)
    with pytest.raises(InputError, match=r"the data are one set; write data.train = multi"):
        DDL(flat, head, SETS * 0)
    labels = torch.tensor([0, 0, 2, 2, 4, 4])
    with pytest.raises(InputError, match=r"two of an identity of every set; write data.sampler = 'branches:each=2'"):
        DDL(flat, head, SETS)(torch.randn(6, 3, 2, 2), labels, torch.arange(6))
