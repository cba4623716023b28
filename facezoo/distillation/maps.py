"""The feature maps of any network, found by looking at one forward pass."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from facezoo.distillation.loss import Shape


class Maps:
    """What the stages of a network give: its map at each halving of the crop, 1 for half its sides, 2 for a quarter.

    What a map is follows from its size alone, so that any network has some: a module's output (B, C, H, W),
    (B, H, W, C) or tokens (B, H W, C) whose sides are those of the crop divided by nearly a power of two. The coarsest
    is the last map of the forward pass. A finer one is what goes into the module, the outermost and last one, that
    makes the next coarser out of it: a stage, a block or a layer, as the network is written. They are found once, in
    evaluation mode.

    It keeps no parameters and is no module; a network that is compiled as a whole does not come by its hooks.

    Attributes:
        shapes: (C, H, W) by halvings, in rising order; empty for a network without maps.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network, self.size = network, tuple(network.input_size)  # type: ignore[arg-type]
        self._found: dict[int, Tensor] = {}
        self._wanted: frozenset[int] | None = None
        self._collecting = False
        sources = _sources(_calls(network, self.size))
        self.shapes: Mapping[int, Shape] = {halvings: source.shape for halvings, source in sorted(sources.items())}
        for halvings, source in sources.items():
            keep = self._keeper(halvings)
            if source.before:
                source.module.register_forward_pre_hook(lambda module, inputs, keep=keep: keep(inputs[0]))
            else:
                source.module.register_forward_hook(lambda module, inputs, output, keep=keep: keep(output))

    def __call__(self, images: Tensor) -> tuple[Tensor, dict[int, Tensor]]:
        """The embeddings (B, D) and the maps (B, C, H, W) of a batch."""
        self._found, self._collecting = {}, True
        try:
            embeddings = self.network(images)
        finally:
            self._collecting = False  # a checkpointed block runs again in the backward pass
            found, self._found = self._found, {}
        return embeddings, found

    def want(self, stages: Iterable[int]) -> None:
        """Collect the maps at these halvings alone from now on; the others are neither looked at nor kept alive."""
        self._wanted = frozenset(stages)

    def _keeper(self, halvings: int) -> Callable[[Any], None]:
        def keep(tensor: Any) -> None:
            if self._collecting and (self._wanted is None or halvings in self._wanted):
                level, found = as_map(tensor, self.size)
                if level == halvings and found is not None:
                    self._found[halvings] = found

        return keep


@dataclass(eq=False)
class _Call:
    """One call of a module: halvings of the map that goes in and of that which comes out, 0 for none."""

    module: nn.Module
    above: _Call | None
    shape_in: Shape | None
    into: int
    shape_out: Shape | None = None
    out: int = 0

    def outermost(self) -> bool:
        """Whether no module around it does the same step."""
        above = self.above
        while above is not None:
            if (above.into, above.out) == (self.into, self.out):
                return False
            above = above.above
        return True


@dataclass(frozen=True)
class _Source:
    """Where a map is taken: before or behind a module."""

    module: nn.Module
    before: bool
    shape: Shape


PROBED = 2
"""Crops of the pass that is looked at: outputs for windows of a crop have another number of rows."""


@torch.no_grad()
def _calls(network: nn.Module, size: tuple[int, ...]) -> list[_Call]:
    """The calls of all modules but the network itself, in the order in which they end."""
    ended: list[_Call] = []
    stack: list[_Call] = []

    def begin(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        level, shape = _shape(inputs[0] if inputs else None, size)
        stack.append(_Call(module, stack[-1] if stack else None, shape, level))

    def end(module: nn.Module, inputs: Any, output: Any) -> None:
        call = stack.pop()
        call.out, call.shape_out = _shape(output, size)
        ended.append(call)

    modules = [module for module in network.modules() if module is not network]
    hooks = [m.register_forward_pre_hook(begin) for m in modules] + [m.register_forward_hook(end) for m in modules]
    was_training = network.training
    parameter = next(network.parameters())
    try:
        network.eval()
        network(torch.zeros(PROBED, 3, *size, dtype=parameter.dtype, device=parameter.device))
    finally:
        network.train(was_training)
        for hook in hooks:
            hook.remove()
    return ended


def _sources(calls: list[_Call]) -> dict[int, _Source]:
    maps = [call for call in calls if call.shape_out is not None]
    if not maps:
        return {}
    coarsest = maps[-1].out
    sources = {coarsest: _Source(maps[-1].module, False, maps[-1].shape_out)}  # type: ignore[arg-type]
    first = next(place for place, call in enumerate(maps) if call.out == coarsest)
    for halvings in {call.out for call in maps if call.out < coarsest}:
        last = max(place for place, call in enumerate(maps) if call.out == halvings)
        if (step := _step(maps, halvings)) is not None:
            sources[halvings] = _Source(step.module, True, step.shape_in)  # type: ignore[arg-type]
        elif last < first:  # what has such a size later on is inside of a coarser stage, and no map of the network
            sources[halvings] = _Source(maps[last].module, False, maps[last].shape_out)  # type: ignore[arg-type]
    return sources


def _step(maps: list[_Call], halvings: int) -> _Call | None:
    """The last of the outermost modules that make the next coarser map of this one."""
    steps = [call for call in maps if call.into == halvings and call.out > halvings]
    nearest = min((call.out for call in steps), default=0)
    outermost = [call for call in steps if call.out == nearest and call.outermost()]
    return outermost[-1] if outermost else None


def _shape(value: Any, size: tuple[int, ...]) -> tuple[int, Shape | None]:
    halvings, found = as_map(value, size)
    if found is None or len(found) != PROBED:
        return 0, None
    return halvings, (found.shape[1], found.shape[2], found.shape[3])


def as_map(value: Any, size: tuple[int, ...]) -> tuple[int, Tensor | None]:
    """A value as a map (B, C, H, W), and how often the sides of a crop of `size` are halved in it; (0, None) if it is
    none."""
    for view in _views(value, size):
        if halvings := _halvings(view.shape[2], view.shape[3], size):
            return halvings, view
    return 0, None


def _views(value: Any, size: tuple[int, ...]) -> Iterator[Tensor]:
    """In which ways a value might be a map."""
    if not isinstance(value, Tensor):
        return
    if value.dim() == 4:
        yield value
        yield value.permute(0, 3, 1, 2)
    elif value.dim() == 3:
        height = round(math.sqrt(value.shape[1] * size[0] / size[1]))
        if height and value.shape[1] % height == 0:
            yield value.transpose(1, 2).unflatten(2, (height, value.shape[1] // height))


def _halvings(height: int, width: int, size: tuple[int, ...]) -> int:
    """How often both sides are halved; 0 for what is no map: other proportions, one number, or the whole crop."""
    if height * width < 2:
        return 0
    down = round(math.log2(size[0] / height))
    return down if down == round(math.log2(size[1] / width)) and down > 0 else 0
