"""The network of the galleries in semi-siamese training: a moving average of the trained one."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from facezoo import distributed
from facezoo.types import InputError


class GalleryNetwork(nn.Module):
    """A copy of the probes' network that follows it slowly and learns nothing itself.

    Its BatchNorm takes the statistics of the batch, wherever that of the probes does, and nothing else in it is in
    training mode. Under several ranks a batch is dealt out anew before it and put back in order behind it (shuffled
    BatchNorm, https://arxiv.org/abs/1911.05722): otherwise probe and gallery of a person share the statistics of
    their rank, by which they can be told from other ranks' people.

    Args:
        probes: the network that is trained.
        decay: of the average of parameters.
        ema_buffers: average the statistics of BatchNorm as well, and normalise by them instead of by the batch's.
        shuffle_norm: deal batches out anew; in one process, and with `ema_buffers`, it changes nothing.
    """

    def __init__(
        self, probes: nn.Module, decay: float = 0.999, ema_buffers: bool = False, shuffle_norm: bool = True
    ) -> None:
        super().__init__()
        if not 0 <= decay < 1:
            raise InputError(f"gallery network: decay is {decay}, it must be at least 0 and below 1")
        self.network = copy.deepcopy(probes).requires_grad_(False)
        self.decay, self.ema_buffers, self.shuffle_norm = decay, ema_buffers, shuffle_norm

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Embeddings (b, D) of images (b, 3, H, W), without gradient."""
        if not self.shuffle_norm or self.ema_buffers:
            return self.network(images)
        ranks = torch.full((len(images),), distributed.rank(), device=images.device)
        whole, ranks = distributed.gather_batch(images, ranks)
        # Also in one process, so that what is drawn next is the same for any number of them.
        order = distributed.broadcast(torch.randperm(len(whole), device=whole.device))
        if distributed.ranks() == 1:
            return self.network(images)
        first, last = distributed.own_bounds(len(whole))
        dealt = distributed.gather_rows(self.network(whole[order[first:last]]))
        return torch.empty_like(dealt).index_copy_(0, order, dealt)[ranks == distributed.rank()]

    def train_like(self, probes: nn.Module) -> None:
        """Take over which BatchNorm layers are in training mode."""
        self.eval()
        if not self.ema_buffers:
            for own, leader in zip(self.network.modules(), probes.modules(), strict=True):
                if isinstance(own, _BatchNorm):
                    own.training = leader.training

    @torch.no_grad()
    def follow(self, probes: nn.Module) -> None:
        """A step towards the probes' network: own <- d own + (1 - d) probes."""
        _average(list(self.network.parameters()), list(probes.parameters()), self.decay)
        if not self.ema_buffers:
            return
        # Between steps every rank has its own statistics; the first one's are what the next step starts from.
        pairs = [
            (own, distributed.broadcast(leader))
            for own, leader in zip(self.network.buffers(), probes.buffers(), strict=True)
        ]
        averaged = [(own, leader) for own, leader in pairs if own.is_floating_point()]
        _average([own for own, _ in averaged], [leader for _, leader in averaged], self.decay)
        for own, leader in pairs:
            if not own.is_floating_point():
                own.copy_(leader)


def _average(own: list[Tensor], leaders: list[Tensor], decay: float) -> None:
    if not own:
        return
    torch._foreach_mul_(own, decay)
    torch._foreach_add_(own, leaders, alpha=1 - decay)
