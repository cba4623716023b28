"""Optimisers, what they decay, and the learning rate of every step."""

from __future__ import annotations

import bisect
import math

import torch
from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from facezoo.config import OptimConfig, ScheduleConfig

UNDECAYED = (
    nn.modules.batchnorm._NormBase,
    nn.LayerNorm,
    nn.GroupNorm,
    nn.PReLU,
)


def parameter_groups(backbone: nn.Module, head: nn.Module, config: OptimConfig) -> list[dict]:
    """Groups with `lr_scale` and `weight_decay`; norm layers, biases, PReLU and 1-D tensors are not decayed.

    The rule goes by module type, not by name: rules by name leave the norms of IR networks decayed.
    """
    groups = []
    for module, lr_scale in ((backbone, 1.0), (head, config.head_lr_scale)):
        decayed, plain = split_decay(module)
        if config.decay_norms:
            decayed, plain = decayed + plain, []
        groups.append({"params": decayed, "weight_decay": config.weight_decay, "lr_scale": lr_scale})
        groups.append({"params": plain, "weight_decay": 0.0, "lr_scale": lr_scale})
    return [group for group in groups if group["params"]]


def split_decay(module: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Trainable parameters that weight decay acts on, and those it leaves alone."""
    decayed: list[nn.Parameter] = []
    plain: list[nn.Parameter] = []
    seen: set[nn.Parameter] = set()
    for owner in module.modules():
        for name, parameter in owner.named_parameters(recurse=False):
            if parameter in seen or not parameter.requires_grad:
                continue
            seen.add(parameter)
            spared = isinstance(owner, UNDECAYED) or parameter.ndim < 2 or name.endswith("bias_table")
            (plain if spared else decayed).append(parameter)
    return decayed, plain


def create_optimizer(groups: list[dict], config: OptimConfig) -> Optimizer:
    """SGD or AdamW over groups of `parameter_groups`; the learning rate is set before every step."""
    if config.name == "adamw":
        return AdamW(groups, lr=config.lr, betas=config.betas, fused=True)
    return SGD(groups, lr=config.lr, momentum=config.momentum, nesterov=config.nesterov, fused=True)


def set_lr(optimizer: Optimizer, lr: float) -> None:
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


class Ema:
    """Moving average of a module's floating-point state, buffers included: avg <- d avg + (1 - d) state."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.state = {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        # The young average would be dominated by the random start: its memory grows with the steps.
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, tensor in module.state_dict().items():
            if tensor.is_floating_point():
                self.state[name].lerp_(tensor, 1 - decay)
            else:
                self.state[name].copy_(tensor)
