"""Conventional training: the head's losses, and those between embeddings."""

import pytest
import torch
from torch import nn

from facezoo.heads import create_embedding_losses, create_head
from facezoo.modes.conventional import Conventional


class Flat(nn.Module):
    """Crops to embeddings by one linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(12, 8)

    def forward(self, images):
        return self.layer(images.flatten(1))


def mode(*specs: str) -> Conventional:
    torch.manual_seed(0)
    return Conventional(Flat(), create_head("magface", 8, 5), create_embedding_losses(specs, 5, 8))


def batch():
    torch.manual_seed(1)
    return torch.randn(10, 3, 2, 2), torch.arange(10) % 5, torch.arange(10)


def test_losses_between_embeddings_stand_beside_those_of_the_head():
    inputs = batch()
    plain, more = mode(), mode("centre", "batch_hard:margin=1,weight=0.5")

    without, found = plain(*inputs), more(*inputs)

    assert set(without) == {"classification", "penalty"}
    assert set(found) == {"classification", "penalty", "centre", "batch_hard"}
    assert all(torch.equal(found[name], without[name]) for name in without)
    (alone,) = create_embedding_losses(["batch_hard:margin=1,weight=0.5"], 5, 8).values()
    torch.testing.assert_close(found["batch_hard"], alone(more.backbone(inputs[0]), inputs[1]))


@pytest.mark.parametrize("name", ["centre", "triplet", "contrastive", "supervised_contrastive", "batch_hard"])
def test_their_gradients_reach_the_network(name):
    inputs = batch()
    trained = mode(name)
    trained(*inputs)[name].backward()
    assert trained.backbone.layer.weight.grad.abs().sum() > 0


def test_centres_are_part_of_the_state():
    trained, resumed = mode("centre"), mode("centre")
    trained(*batch())
    resumed.load_state_dict(trained.state_dict())
    assert torch.equal(resumed.embedding_losses["centre"].centres, trained.embedding_losses["centre"].centres)
    assert trained.embedding_losses["centre"].centres.abs().sum() > 0
