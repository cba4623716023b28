"""Learning rates against the schedules of the field's projects; the moving average."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn

from facezoo.config import ScheduleConfig
from facezoo.optim import Ema, lr_at


def curve(total: int, per_epoch: int, lr: float, config: ScheduleConfig) -> np.ndarray:
    return np.array([lr_at(step, total, per_epoch, lr, config) for step in range(total)])


@pytest.fixture
def schedules(golden, golden_root):
    inputs, outputs, _ = golden.load(str(golden_root / "optim" / "lr_schedules.npz"))
    return json.loads(str(inputs["params"])), outputs


@pytest.mark.golden
@pytest.mark.parametrize("name", ["multistep", "sst"])
def test_step_schedule_is_that_of_facexzoo(schedules, name):
    settings, wanted = schedules[0][name], schedules[1][f"facexzoo_{name}"]
    config = ScheduleConfig(name="step", milestones=[float(m) for m in settings["milestones"]])

    assert curve(len(wanted), 1, settings["lr"], config) == pytest.approx(wanted, rel=1e-12)


@pytest.mark.golden
def test_step_schedule_with_warmup_is_that_of_evolve(schedules):
    settings, wanted = schedules[0]["evolve"], schedules[1]["evolve"]
    config = ScheduleConfig(
        name="step",
        milestones=[float(stage) for stage in settings["stages"]],
        warmup_epochs=settings["epochs"] // 25,
    )

    assert curve(len(wanted), settings["iters"], settings["lr"], config) == pytest.approx(wanted, rel=1e-12)


@pytest.mark.golden
def test_polynomial_schedule_is_that_of_arcface_torch_after_warmup(schedules):
    settings, wanted = schedules[0]["poly"][0], schedules[1]["insightface_poly"][:, 0]
    total, warmup = settings["total"], settings["warm"]
    config = ScheduleConfig(name="polynomial", warmup_epochs=warmup, power=settings["power"])
    ours = curve(total, 1, settings["lr"][0], config)

    assert ours[warmup:] == pytest.approx(wanted[warmup:total], rel=1e-9)
    # During warm-up the reference lags a step behind and starts with the full rate; ours starts at lr / warm-up.
    assert ours[: warmup - 1] == pytest.approx(wanted[1:warmup], rel=1e-12)


def test_cosine_goes_from_lr_to_its_final_share():
    rates = curve(100, 10, 0.2, ScheduleConfig(name="cosine", warmup_epochs=1, final=0.1))

    assert rates[0] == pytest.approx(0.02)
    assert rates[10] == rates.max() == pytest.approx(0.2)
    assert rates[-1] == pytest.approx(0.02, rel=0.02)
    assert (np.diff(rates[10:]) < 0).all()


def test_moving_average_follows_but_differs():
    network = nn.Linear(2, 2)
    ema = Ema(network, 0.9)
    before = network.weight.detach().clone()
    with torch.no_grad():
        network.weight += 1.0
    ema.update(network, step=1000)

    assert torch.allclose(ema.state["weight"], before + 0.1)
