"""The learning rate of every step."""

from __future__ import annotations

import bisect
import math

from torch.optim import Optimizer

from facezoo.config import ScheduleConfig


def set_lr(optimizer: Optimizer, lr: float) -> None:
    """Give every group `lr` times its `lr_scale`."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["lr_scale"]


def lr_at(step: int, total: int, steps_per_epoch: int, lr: float, config: ScheduleConfig) -> float:
    """Learning rate of step `step` (from 0) of `total`.

    Warm-up rises linearly from lr / warm-up steps; the curve after it covers the remaining steps.
    """
    warmup = round(config.warmup_epochs * steps_per_epoch)
    if step < warmup:
        return lr * (step + 1) / warmup
    if config.name == "constant":
        return lr
    if config.name == "step":
        passed = bisect.bisect_right(config.milestones, step / steps_per_epoch)
        return lr * config.gamma**passed
    done = (step - warmup) / max(1, total - warmup)
    if config.name == "cosine":
        share = (1 + math.cos(math.pi * done)) / 2
    else:
        share = (1 - done) ** config.power
    return lr * (config.final + (1 - config.final) * share)
