"""The memory of a training step, counted without data and without memory for the network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import lru_cache

import torch
from torch import Tensor, nn

from facezoo import distributed
from facezoo.config import Config, ModelConfig, OptimConfig
from facezoo.heads import create_head
from facezoo.heads.classifier import Classifier
from facezoo.measure.counts import Living
from facezoo.measure.onlookers import Onlooker, map_loss_bytes, onlookers, teacher_bytes
from facezoo.modes.distillation import Distillation
from facezoo.plan import find_device
from facezoo.precision import find_precision
from facezoo.registry import BACKBONES

SAMPLES, COLUMNS, DIMENSIONS = 64, 4096, 8
"""Of the small head whose logits are counted: so many columns that all else in it is little beside them."""


@dataclass(frozen=True)
class StepMemory:
    """Bytes that a process needs in a step, beside those of the interpreter, the libraries and the data's readers.

    Attributes:
        weights: of the network and all that the mode learns or remembers beside class centres; with autocast also
            their copies of half the size.
        centres: class centres of this process, their gradient and the optimiser's memory of them.
        optimizer: its memory of the other weights.
        average: of the moving average.
        activations: the most that lives in the network's forward and backward pass, gradients included, and in those of
            what looks at the images between them, a teacher or the galleries' network.
        logits: of the whole batch against the columns of this process, and what margin and loss make of them; those of
            a teacher as well.
        teacher: what it keeps from step to step.
    """

    weights: int
    centres: int
    optimizer: int
    average: int
    activations: int
    logits: int
    teacher: int = 0

    @property
    def total(self) -> int:
        return sum(getattr(self, field.name) for field in fields(self))


def step_memory(mode: nn.Module, config: Config, processes: int = 1) -> StepMemory:
    """Estimate the memory of one process among `processes`.

    Losses between embeddings are not counted, which are small.

    Args:
        mode: on any device, also on "meta"; frozen parameters need no gradient.
    """
    backbone: nn.Module = mode.backbone  # type: ignore[assignment]
    heads = [module for module in mode.modules() if isinstance(module, Classifier)]
    centres = {id(head.weight) for head in heads}
    rest = [parameter for parameter in mode.parameters() if id(parameter) not in centres]
    memories = _memories(config.optim)
    half = find_precision(config.train.amp, find_device(config.train.device)) != "off"
    weights = sum(map(_size, [*rest, *mode.buffers()])) + half * sum(map(_size, backbone.parameters())) // 2
    share = max(1, processes // distributed.ranks())
    averaged = config.optim.ema or config.optim.swa
    batch = max(2, config.data.batch_size // processes)
    return StepMemory(
        weights=weights,
        centres=sum(_centres(head, config.model, memories, share) for head in heads),
        optimizer=memories * sum(_size(parameter) for parameter in rest if parameter.requires_grad),
        average=sum(map(_size, backbone.state_dict().values())) if averaged else 0,
        activations=_activations(mode, config.model.backbone, batch, half),
        logits=sum(_logits(head, config, share, _taught(mode)) for head in heads),
        teacher=teacher_bytes(mode, batch, share),
    )


def _activations(mode: nn.Module, spec: str, batch: int, half: bool) -> int:
    trained = tuple(map(_trained, mode.backbone.parameters()))  # type: ignore[union-attr]
    if looking := list(onlookers(mode, batch)):
        return _living(spec, batch, half, trained, looking, map_loss_bytes(mode, batch))
    return activation_bytes(spec, batch, half, trained)


@lru_cache(maxsize=256)
def activation_bytes(spec: str, batch: int, half: bool = False, trained: tuple[bool, ...] = ()) -> int:
    """The most that lives in a forward and backward pass of a backbone, gradients included; it is built without memory.

    Args:
        half: count activations of two bytes, as under autocast.
        trained: for each parameter whether it is; by default as the backbone has it.
    """
    return _living(spec, batch, half, trained)


def _living(
    spec: str,
    batch: int,
    half: bool,
    trained: tuple[bool, ...],
    looking: Sequence[Onlooker] = (),
    between: int = 0,
) -> int:
    """As `activation_bytes`, with onlookers and what lives `between` forward and backward pass in their comparison."""
    with torch.device("meta"):
        network = BACKBONES.create(spec)
    for parameter, wanted in zip(network.parameters(), trained):
        parameter.requires_grad_(wanted)
    kind = torch.bfloat16 if half else torch.float32
    network.train().to(kind)
    looks = [onlooker.looking(kind) for onlooker in looking]
    with Living() as living:
        crops = torch.empty(batch, 3, *network.input_size, device="meta", dtype=kind)
        embeddings = network(crops)
        shown = [look() for look in looks]
        compared = living.now + between
        del shown  # its losses are done before the long way back
        if embeddings.requires_grad:
            embeddings.sum().backward()
    return max(living.most, compared)


def _memories(optim: OptimConfig) -> int:
    """Tensors that the optimiser keeps for a parameter."""
    return 2 if optim.name == "adamw" else int(optim.momentum > 0)


def _centres(head: Classifier, model: ModelConfig, memories: int, share: int) -> int:
    own = _size(head.weight) // share
    trained = head.weight.requires_grad
    return own + trained * (memories * own + int(model.sample_rate * own))


def _taught(mode: nn.Module) -> list[nn.Module]:
    """The losses between a student's logits and a teacher's."""
    return (
        [loss for loss in mode.distillation.values() if loss.sees == "logits"] if isinstance(mode, Distillation) else []
    )


def _logits(head: Classifier, config: Config, share: int, taught: Sequence[nn.Module]) -> int:
    columns = max(1, int(config.model.sample_rate * len(head.weight) / share))
    return int(config.data.batch_size * columns * _bytes_of_logit(config.model, taught))


def _bytes_of_logit(model: ModelConfig, taught: Sequence[nn.Module]) -> float:
    """The most that lives for each sample and column in a head's forward and backward pass, found on a small one."""
    with torch.random.fork_rng(devices=[]):
        head, other = (
            create_head(model.head, DIMENSIONS, COLUMNS, model.loss, sub_centres=model.sub_centres) for _ in range(2)
        )
        embeddings = torch.randn(SAMPLES, DIMENSIONS, requires_grad=True)
        labels = torch.randint(COLUMNS, (SAMPLES,))
        with Living() as living:
            losses, logits = head.losses_and_logits(embeddings, labels)
            if taught:
                with torch.no_grad():
                    target = other.logits(embeddings, labels)
                losses |= {str(place): loss(logits, target) for place, loss in enumerate(taught)}
            del logits
            torch.stack(list(losses.values())).sum().backward()
    return max(0, living.most - _size(head.weight)) / (SAMPLES * COLUMNS)


def _trained(parameter: nn.Parameter) -> bool:
    return parameter.requires_grad


def _size(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
