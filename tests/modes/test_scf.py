"""Spherical confidence: what learns, what is written, and what it is good for."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from facezoo.checkpoint import load_network
from facezoo.evaluation.aggregation import aggregate
from facezoo.heads import scf
from facezoo.modes.scf import SCF
from facezoo.networks.scf import Uncertainty, last_map
from facezoo.registry import BACKBONES
from facezoo.types import InputError

SPEC = "mobilefacenet:embedding_dim=16,width=0.25,input_size=[32,32]"


@pytest.fixture
def mode() -> SCF:
    torch.manual_seed(0)
    return SCF(BACKBONES.create(SPEC), torch.randn(5, 16), SPEC).train()


def batch():
    torch.manual_seed(1)
    return torch.randn(6, 3, 32, 32), torch.tensor([0, 4, 1, 1, 2, 3]), torch.arange(6)


def test_it_learns_concentrations_and_leaves_the_network_alone(mode):
    before, images = copy.deepcopy(mode.backbone.state_dict()), batch()
    optimiser = torch.optim.Adam([p for p in mode.parameters() if p.requires_grad], 1e-3)
    losses = []
    for _ in range(6):
        optimiser.zero_grad()
        loss = mode(*images)["divergence"]
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert all(torch.equal(before[name], tensor) for name, tensor in mode.backbone.state_dict().items())
    assert all(p.grad is not None for p in mode.uncertainty.parameters())
    assert not mode.backbone.training


def test_the_loss_is_that_of_embeddings_centres_and_concentrations(mode):
    mode.eval()
    images, labels, samples = batch()
    embeddings = mode.backbone(images)
    kappa = mode.uncertainty(last_map(mode._maps, images)[1]).exp()
    wanted = scf.SCF(16, 64)(embeddings, mode.centres[labels], kappa)
    torch.testing.assert_close(mode(images, labels, samples)["divergence"], wanted)


def test_what_is_written_gives_the_concentrations_again(mode, tmp_path):
    mode.eval()
    mode.write(tmp_path)
    images = batch()[0]
    wanted = mode.uncertainty(last_map(mode._maps, images)[1])
    torch.testing.assert_close(load_network(tmp_path / "concentration.safetensors")(images), wanted)


def test_a_map_of_seven_is_reduced_without_border_as_tfaces():
    network = Uncertainty(8, 7, 7).eval()
    maps = torch.randn(2, 8, 7, 7)
    assert network.convolutions(maps).shape == (2, 8, 1, 1)
    assert Uncertainty(8, 2, 2)(torch.randn(2, 8, 2, 2)).shape == (2, 1)
    x = F.relu(F.conv2d(maps, network.convolutions[0].weight))
    x = F.relu(F.conv2d(x, network.convolutions[2].weight) / (1 + 1e-5) ** 0.5)
    x = (F.conv2d(x, network.convolutions[5].weight) / (1 + 1e-5) ** 0.5).mean((2, 3))
    torch.testing.assert_close(network(maps), (1e-6 + network.output(x).exp()).log(), rtol=1e-4, atol=1e-5)


def test_the_sum_of_a_template_weighs_embeddings_by_their_concentration():
    rng = np.random.default_rng(0)
    embeddings, kappa, template = rng.normal(size=(5, 16)), rng.uniform(1, 900, 5), np.array([0, 0, 1, 1, 1])
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    _, found = aggregate(embeddings, template, weight=kappa)
    for number in range(2):
        total = (kappa[:, None] * unit)[template == number].sum(0)
        np.testing.assert_allclose(found[number], total / np.linalg.norm(total))


def test_a_network_without_maps_is_refused(flat):
    flat.input_size = (2, 2)
    with pytest.raises(InputError, match="no feature map"):
        SCF(flat, torch.randn(5, 8), "flat")
