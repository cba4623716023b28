"""What a run resumes from, in two parts: what all ranks have alike, and the class centres, of which each has its own.

The centres are saved by the rank that owns them and put together by class when a run is resumed, so that the number
of ranks may change in between; https://arxiv.org/abs/2010.05222 splits them in the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from facezoo import distributed
from facezoo.heads.classifier import Classifier

Rows: TypeAlias = dict[str, Tensor]
"""Tensors with one entry for each class of a rank, by name."""


OPTIMIZER = "optimizer/"


def split_state(mode: nn.Module, optimizer: Optimizer) -> tuple[dict[str, Any], Rows]:
    """{mode, optimizer} without what belongs to classes, and that: centres and the optimiser's memory of them."""
    model, memory = mode.state_dict(), optimizer.state_dict()
    rows: Rows = {}
    entries = dict(memory["state"])
    for name, head, index in _heads(mode, optimizer):
        rows[f"{name}.weight"] = model.pop(f"{name}.weight")
        memories = entries.pop(index, None)
        if memories is not None:
            entries[index] = {key: value for key, value in memories.items() if not _by_class(value, head)}
            for key in memories.keys() - entries[index].keys():
                rows[f"{OPTIMIZER}{name}.weight/{key}"] = memories[key]
    return {"mode": model, "optimizer": {**memory, "state": entries}}, rows


def join_state(mode: nn.Module, optimizer: Optimizer, common: dict[str, Any], rows: Rows) -> None:
    """Load what `split_state` gave, the rows being those of this rank."""
    model, memory = dict(common["mode"]), common["optimizer"]
    entries = {index: dict(values) for index, values in memory["state"].items()}
    for name, _, index in _heads(mode, optimizer):
        model[f"{name}.weight"] = rows[f"{name}.weight"]
        prefix = f"{OPTIMIZER}{name}.weight/"
        found = {key.removeprefix(prefix): value for key, value in rows.items() if key.startswith(prefix)}
        if found:
            entries.setdefault(index, {}).update(found)
    mode.load_state_dict(model)
    optimizer.load_state_dict({**memory, "state": entries})


def own_rows(classes: int, parts: int, read: Callable[[int], Rows]) -> Rows:
    """This rank's rows, cut out of those of `parts` ranks; a part that has none of them is not read."""
    first, last = distributed.own_bounds(classes)
    found: dict[str, list[Tensor]] = {}
    for part in range(parts):
        start, stop = distributed.bounds(classes, parts, part)
        low, high = max(first, start), min(last, stop)
        if low < high:
            for name, tensor in read(part).items():
                found.setdefault(name, []).append(tensor[low - start : high - start])
    return {name: torch.cat(tensors) if len(tensors) > 1 else tensors[0].clone() for name, tensors in found.items()}


def _heads(mode: nn.Module, optimizer: Optimizer) -> Iterator[tuple[str, Classifier, int]]:
    """The classifiers of a mode by name, and under which number the optimiser's state has their centres."""
    order = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    numbers = {id(parameter): number for number, parameter in enumerate(order)}
    for name, module in mode.named_modules():
        if isinstance(module, Classifier):
            yield name, module, numbers.get(id(module.weight), -1)


def _by_class(value: Any, head: Classifier) -> bool:
    return isinstance(value, Tensor) and value.dim() > 0 and len(value) == len(head.weight)


def replicated_names(mode: nn.Module, backbone: nn.Module) -> list[str]:
    """What DistributedDataParallel leaves alone: parameters and buffers that the heads and losses keep equal on all
    ranks, or split between them, by themselves."""
    own = {id(tensor) for tensor in [*backbone.parameters(), *backbone.buffers()]}
    heads = {id(p) for module in mode.modules() if isinstance(module, Classifier) for p in module.parameters()}
    names = [name for name, parameter in mode.named_parameters() if id(parameter) in heads]
    return names + [name for name, buffer in mode.named_buffers() if id(buffer) not in own]
