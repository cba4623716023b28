"""Averages of weights: which count, what BatchNorm makes of the result, and what a moving average forgets."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from facezoo.config import Config, DataConfig, OptimConfig, TrainConfig
from facezoo.optim import Ema, Swa, create_average
from facezoo.optim.average import norm_statistics
from facezoo.types import InputError


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.9), nn.Conv2d(4, 2, 1), nn.BatchNorm2d(2))


def move(module: nn.Module) -> None:
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn_like(parameter))


def test_the_weights_at_the_ends_of_epochs_count_alike():
    module = network()
    average = Swa(module, first=4, every=3)
    taken = []
    for step in range(12):
        move(module)
        counted = average.update(module, step)
        assert counted == (step + 1 in (4, 7, 10))
        if counted:
            taken.append(copy.deepcopy(module.state_dict()))
    for name in ("0.weight", "3.bias", "1.weight"):
        torch.testing.assert_close(average.state[name], torch.stack([state[name] for state in taken]).mean(0))


def test_before_the_first_end_of_an_epoch_the_average_is_the_network():
    module = network()
    average = Swa(module, first=4, every=3)
    for step in range(3):
        move(module)
        average.update(module, step)
        assert all(torch.equal(value, average.state[name]) for name, value in module.state_dict().items())


def test_statistics_are_those_of_the_averaged_network_without_dropout():
    module = network().train()
    averaged = copy.deepcopy(module)
    move(averaged)
    batches = [torch.randn(8, 3, 9, 9) + k for k in range(3)]
    average = Swa(module, first=1, every=1)
    average.settle(averaged, module, iter(batches))

    convolved = [averaged[0](batch) for batch in batches]
    means = torch.stack([x.mean((0, 2, 3)) for x in convolved])
    variances = torch.stack([x.var((0, 2, 3)) for x in convolved])
    torch.testing.assert_close(average.state["1.running_mean"], means.mean(0))
    torch.testing.assert_close(average.state["1.running_var"], variances.mean(0))
    normed = [averaged[3](nn.functional.batch_norm(x, None, None, *averaged[1].parameters(), True)) for x in convolved]
    torch.testing.assert_close(
        average.state["4.running_mean"], torch.stack([x.mean((0, 2, 3)) for x in normed]).mean(0)
    )


def test_frozen_norms_keep_their_statistics_and_a_network_without_any_runs_no_batch():
    module = network().train()
    module[1].eval()
    found = norm_statistics(copy.deepcopy(module), module, iter([torch.randn(4, 3, 9, 9)]))
    assert set(found) == {"4.running_mean", "4.running_var", "4.num_batches_tracked"}

    def never():
        raise AssertionError
        yield

    assert norm_statistics(nn.Linear(2, 2), nn.Linear(2, 2), never()) == {}


def test_a_moving_average_differs_from_the_weights_and_follows_them():
    module = network()
    average = Ema(module, 0.9)
    first = copy.deepcopy(module.state_dict())["0.weight"]
    wanted = first.double()
    for step in range(10):
        move(module)
        assert not average.update(module, step)
        decay = min(0.9, (1 + step) / (10 + step))
        wanted = decay * wanted + (1 - decay) * module[0].weight.detach().double()
    torch.testing.assert_close(average.state["0.weight"].double(), wanted, rtol=1e-5, atol=1e-6)
    assert not torch.equal(average.state["0.weight"], module[0].weight)


def test_a_config_has_one_average_that_averages_something():
    assert create_average(network(), OptimConfig(), 5) is None
    assert create_average(network(), OptimConfig(swa=2.5), 4).first == 10
    assert create_average(network(), OptimConfig(swa=0.01), 4).first == 1  # the random start is none of the averaged
    data = DataConfig("folder:root=x")
    with pytest.raises(InputError, match=r"optim\.swa and optim\.ema are two averages"):
        Config(data, optim=OptimConfig(swa=1, ema=0.9))
    with pytest.raises(InputError, match=r"optim\.swa is 9\.5, it must be at most 9"):
        Config(data, optim=OptimConfig(swa=9.5), train=TrainConfig(epochs=10))
