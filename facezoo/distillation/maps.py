"""The feature maps of any network, found by looking at one forward pass."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from facezoo.distillation.loss import Shape


class Maps:
    """The last map of a network at each halving of the crop: 1 for half its sides, 2 for a quarter, and so on.

    What a map is follows from its size alone, so that any network has some: a module's output (B, C, H, W),
    (B, H, W, C) or tokens (B, H W, C) whose sides are those of the crop divided by nearly a power of two. The module
    that gives the last one is found once, in evaluation mode.

    It keeps no parameters and is no module; a network that is compiled as a whole does not come by its hooks.

    Attributes:
        shapes: (C, H, W) by halvings, in rising order; empty for a network without maps.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network, self.size = network, tuple(network.input_size)
        self._found: dict[int, Tensor] = {}
        self._collecting = False
        last: dict[int, tuple[nn.Module, Shape]] = {}
        self._probe(last)
        self.shapes: Mapping[int, Shape] = {halvings: last[halvings][1] for halvings in sorted(last)}
        for halvings, (module, _) in last.items():
            module.register_forward_hook(self._keeper(halvings))

    def __call__(self, images: Tensor) -> tuple[Tensor, dict[int, Tensor]]:
        """The embeddings (B, D) and the maps (B, C, H, W) of a batch."""
        self._found, self._collecting = {}, True
        try:
            embeddings = self.network(images)
        finally:
            self._collecting = False  # a checkpointed block runs again in the backward pass
            found, self._found = self._found, {}
        return embeddings, found

    @torch.no_grad()
    def _probe(self, last: dict[int, tuple[nn.Module, Shape]]) -> None:
        def look(module: nn.Module, inputs: Any, output: Any) -> None:
            halvings, found = as_map(output, self.size)
            if found is not None and len(found) == PROBED:
                last[halvings] = module, tuple(found.shape[1:])

        hooks = [m.register_forward_hook(look) for m in self.network.modules() if m is not self.network]
        was_training = self.network.training
        parameter = next(self.network.parameters())
        try:
            self.network.eval()
            self.network(torch.zeros(PROBED, 3, *self.size, dtype=parameter.dtype, device=parameter.device))
        finally:
            self.network.train(was_training)
            for hook in hooks:
                hook.remove()

    def _keeper(self, halvings: int) -> Callable[..., None]:
        def keep(module: nn.Module, inputs: Any, output: Any) -> None:
            if self._collecting:
                level, found = as_map(output, self.size)
                if level == halvings and found is not None:
                    self._found[halvings] = found

        return keep


PROBED = 2
"""Crops of the pass that is looked at: outputs for windows of a crop have another number of rows."""


def as_map(output: Any, size: tuple[int, ...]) -> tuple[int, Tensor | None]:
    """A module's output as a map (B, C, H, W), and how often the sides of a crop of `size` are halved in it; (0, None)
    if it is none."""
    if not isinstance(output, Tensor):
        return 0, None
    if output.dim() == 4:
        for view in (output, output.permute(0, 3, 1, 2)):
            if halvings := _halvings(view.shape[2], view.shape[3], size):
                return halvings, view
    elif output.dim() == 3:
        height = round(math.sqrt(output.shape[1] * size[0] / size[1]))
        if height and output.shape[1] % height == 0:
            width = output.shape[1] // height
            if halvings := _halvings(height, width, size):
                return halvings, output.transpose(1, 2).unflatten(2, (height, width))
    return 0, None


def _halvings(height: int, width: int, size: tuple[int, ...]) -> int:
    """How often both sides are halved; 0 for what is no map: other proportions, one number, or the whole crop."""
    if height * width == 1 or height == 0 or width == 0:
        return 0
    down = round(math.log2(size[0] / height))
    return down if down == round(math.log2(size[1] / width)) and down > 0 else 0
