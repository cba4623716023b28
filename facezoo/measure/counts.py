"""What a network costs, counted without memory: parameters, multiply-adds, and the most memory a pass takes."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode


@dataclass(frozen=True)
class Counts:
    """Of a network in evaluation mode.

    Attributes:
        parameters: all of them.
        macs: multiply-adds of convolutions, linear layers and attention's products for one crop.
        bytes: of the weights and buffers.
    """

    parameters: int
    macs: int
    bytes: int


def count(network: nn.Module, size: tuple[int, int]) -> Counts:
    """Count a network that lies on the device "meta", for one crop of `size` (height, width)."""
    with _evaluating(network), torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(torch.empty(1, 3, *size, device="meta"))
    tensors = [*network.parameters(), *network.buffers()]
    return Counts(
        sum(p.numel() for p in network.parameters()),
        counter.get_total_flops() // 2,
        sum(tensor.numel() * tensor.element_size() for tensor in tensors),
    )


def peak_bytes(network: nn.Module, size: tuple[int, int], batch: int) -> int:
    """Weights and the most that lives beside them while a batch passes, bytes; for a network on the device "meta".

    Memory that single kernels use for themselves is not counted.
    """
    tensors = [*network.parameters(), *network.buffers()]
    weights = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    with _evaluating(network), torch.no_grad(), Living() as living:
        crops = torch.empty(batch, 3, *size, device="meta")
        network(crops)
    return weights + living.most


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    was_training = network.training
    network.eval()
    try:
        yield
    finally:
        network.train(was_training)


class Living(TorchDispatchMode):
    """Bytes of the storages that tensors made meanwhile hold: now, and at most."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {_storage(t)._cdata for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)}
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if not isinstance(tensor, torch.Tensor):
                continue
            storage = _storage(tensor)
            key = storage._cdata
            if key not in self._known and key not in given:
                size = storage.nbytes()
                self._known.add(key)
                self.now += size
                self.most = max(self.most, self.now)
                weakref.finalize(storage, self._free, key, size)
        return result

    def _free(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size


def _storage(tensor: torch.Tensor) -> Any:
    return tensor.untyped_storage()
