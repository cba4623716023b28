"""Averages of a network's weights over training, which are what is validated and saved."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from facezoo import distributed
from facezoo.config import OptimConfig

NORM_BATCHES = 100
"""Batches of the data that BatchNorm sees with averaged weights; all of an epoch where it has fewer."""


class Average(ABC):
    """An average of a module's state over the steps.

    Attributes:
        state: the average, by name.
    """

    def __init__(self, module: nn.Module) -> None:
        self.state = {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}

    @abstractmethod
    def update(self, module: nn.Module, step: int) -> bool:
        """Take in the state after step `step` (from 0); whether BatchNorm now needs the statistics of `settle`."""

    def settle(self, network: nn.Module, trained: nn.Module, batches: Iterable[Tensor]) -> None:
        """Take what `norm_statistics` finds, with a network that has this average."""
        self.state |= norm_statistics(network, trained, batches)


class Ema(Average):
    """Moving average of a module's floating-point state, buffers included: avg <- d avg + (1 - d) state."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        super().__init__(module)
        self.decay = decay

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> bool:
        """Take in the state after step `step` (from 0); statistics of BatchNorm are averaged as well."""
        # The young average would be dominated by the random start: its memory grows with the steps.
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, tensor in module.state_dict().items():
            if tensor.is_floating_point():
                self.state[name].lerp_(tensor, 1 - decay)
            else:
                self.state[name].copy_(tensor)
        return False


class Swa(Average):
    """Stochastic weight averaging: the mean of the weights at the ends of epochs; https://arxiv.org/abs/1803.05407.

    Before the first of them the average is the network as it is. Statistics of BatchNorm are not averaged: they are
    found anew, with the averaged weights.

    Args:
        module: what is averaged.
        first: the step after which the first weights count.
        every: steps from there to the next.
    """

    def __init__(self, module: nn.Module, first: int, every: int) -> None:
        super().__init__(module)
        self.first, self.every = first, every

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> bool:
        """Take in the state after step `step` (from 0); whether it counts."""
        past, between = divmod(step + 1 - self.first, self.every)
        counts = past >= 0 and between == 0
        if past >= 0 and not counts:
            return False
        for name, tensor in module.state_dict().items():
            if counts and tensor.is_floating_point():
                self.state[name].lerp_(tensor, 1 / (past + 1))
            else:
                self.state[name].copy_(tensor)
        return counts


def create_average(module: nn.Module, config: OptimConfig, steps_per_epoch: int) -> Average | None:
    """The average that a config asks for."""
    if config.ema:
        return Ema(module, config.ema)
    if config.swa:
        return Swa(module, max(1, round(config.swa * steps_per_epoch)), steps_per_epoch)
    return None


@torch.no_grad()
def norm_statistics(network: nn.Module, trained: nn.Module, batches: Iterable[Tensor]) -> dict[str, Tensor]:
    """What the BatchNorms of a network see in batches of images: their buffers by name, the mean over the batches.

    All else stands in evaluation mode, as when the network is used: no dropout. Under several ranks each looks at its
    part, and the statistics are the mean of the ranks'. The network's own statistics are lost.

    Args:
        trained: the same network in training; what is in evaluation mode there is frozen, and so are its statistics.
    """
    norms = {
        name: module
        for name, module in network.named_modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm)
        and module.track_running_stats
        and trained.get_submodule(name).training
    }
    if not norms:
        return {}
    network.eval()
    for norm in norms.values():
        norm.reset_running_stats()
        norm.momentum = None  # the mean of all batches
        norm.train()
    for images in batches:
        network(images)
    found = {}
    for name, norm in norms.items():
        for key, buffer in norm.named_buffers():
            mean = distributed.total(buffer) / distributed.ranks() if buffer.is_floating_point() else buffer
            found[f"{name}.{key}" if name else key] = mean
    return found
