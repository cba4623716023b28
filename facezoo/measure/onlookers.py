"""What looks at the images of a step without learning from them, and the memory that it takes: a teacher, or the
galleries' network of semi-siamese training."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call

from facezoo.distillation.loss import Shape
from facezoo.embedder import Embedder, OnnxEmbedder, TorchEmbedder
from facezoo.measure.counts import Living
from facezoo.measure.onnx_graph import OnnxGraph
from facezoo.modes.distillation import Distillation
from facezoo.modes.gallery import GalleryNetwork
from facezoo.sdk.ensemble import Ensemble
from facezoo.teacher import OnnxTeacher, TorchTeacher

SAMPLES = 2
"""Of the small batch for which the losses between feature maps are counted."""


@dataclass(frozen=True, eq=False)
class Onlooker:
    """A torch network, and what it is asked in a step.

    Attributes:
        size: height and width of its crops.
        images: that it embeds at a time.
        maps: of each image, which are kept for a loss.
    """

    network: nn.Module
    size: tuple[int, int]
    images: int
    maps: Sequence[Shape] = ()

    def looking(self, kind: torch.dtype) -> Callable[[], list[Tensor]]:
        """Looks at crops without memory, with weights that are there already; gives what is kept of it.

        Args:
            kind: of the activations.
        """
        tensors = {**dict(self.network.named_parameters()), **dict(self.network.named_buffers())}
        state = {name: torch.empty_like(t, device="meta", dtype=_as(t, kind)) for name, t in tensors.items()}

        @torch.no_grad()
        def look() -> list[Tensor]:
            crops = torch.empty(self.images, 3, *self.size, device="meta", dtype=kind)
            embeddings = functional_call(self.network, state, (crops,))
            return [embeddings, *(torch.empty(self.images, *shape, device="meta", dtype=kind) for shape in self.maps)]

        return look


def _as(tensor: Tensor, kind: torch.dtype) -> torch.dtype:
    return kind if tensor.is_floating_point() else tensor.dtype


def onlookers(mode: nn.Module, batch: int) -> Iterator[Onlooker]:
    """The torch networks that look at a batch beside the one that learns."""
    for module in mode.modules():
        if isinstance(module, GalleryNetwork):  # the galleries are half of the batch, then the other half
            yield Onlooker(module.network, tuple(module.network.input_size), batch // 2)  # type: ignore[arg-type]
    if isinstance(mode, Distillation) and isinstance(mode.teacher, TorchTeacher):
        teacher = mode.teacher
        maps = [teacher.map_shapes[stage] for stage in mode.stages]
        yield Onlooker(teacher.network, teacher.view.contract.input_size, batch, maps)


def teacher_bytes(mode: nn.Module, batch: int, share: int) -> int:
    """What a teacher keeps from step to step: weights, what onnxruntime has once taken, and its part of its head.

    Embeddings on disk are mapped: the system lends them memory that nobody else wants.

    Args:
        share: parts in which the head's classes will be split further.
    """
    if not isinstance(mode, Distillation):
        return 0
    teacher = mode.teacher
    head = 0 if teacher.head is None else _size(teacher.head.weight) // share
    if isinstance(teacher, TorchTeacher):
        return head + sum(map(_size, [*teacher.network.parameters(), *teacher.network.buffers()]))
    return head + (_embedder_bytes(teacher.embed, batch) if isinstance(teacher, OnnxTeacher) else 0)


def _embedder_bytes(embed: Embedder, batch: int) -> int:
    if isinstance(embed, Ensemble):
        return sum(_embedder_bytes(member, batch) for member in embed.members)
    images = min(batch, embed.batch_size)
    if isinstance(embed, OnnxEmbedder):
        return OnnxGraph(embed.path, embed.contract.input_size, images).peak_bytes()
    assert isinstance(embed, TorchEmbedder)
    look = Onlooker(embed.model, embed.contract.input_size, images).looking(torch.float32)
    with Living() as living:
        look()
    return sum(map(_size, [*embed.model.parameters(), *embed.model.buffers()])) + living.most


def map_loss_bytes(mode: nn.Module, batch: int) -> int:
    """The most that lives in the losses between the feature maps of student and teacher, gradients included."""
    if not isinstance(mode, Distillation) or not mode.stages:
        return 0
    shapes = mode.map_shapes, [mode.teacher.map_shapes[stage] for stage in mode.stages]
    own, taught = ([torch.rand(SAMPLES, *shape) for shape in found] for found in shapes)
    own = [maps.requires_grad_() for maps in own]
    most = 0
    for loss in mode.distillation.values():
        if loss.sees == "maps":
            with Living() as living:
                torch.autograd.grad(loss(own, taught), own, allow_unused=True)
            most = max(most, living.most)
    return most * batch // SAMPLES


def _size(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
