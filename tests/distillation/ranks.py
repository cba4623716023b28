"""What torchrun starts in test_ranks: every distillation loss on this rank's part of one global batch."""

from __future__ import annotations

import json
import sys

import torch
from torch import Tensor

from facezoo import distributed
from facezoo.distillation import create_distillation
from facezoo.heads import create_head

ROWS, DIM, TEACHER_DIM, CLASSES, STEPS = 11, 8, 10, 13, 3
STAGES = [(6, 8, 8), (10, 4, 4)]
TEACHER_STAGES = [(6, 8, 8), (10, 6, 6)]


def drawn(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def create(spec: str):
    given = {"student_maps": STAGES, "teacher_maps": TEACHER_STAGES, "embedding_dim": DIM}
    (loss,) = create_distillation([spec], **given).double().values()
    return loss


def results(spec: str) -> dict[str, list[Tensor]]:
    """Losses, gradients by the student's inputs and the loss's parameters, and state over a few steps."""
    torch.manual_seed(0)
    loss = create(spec)
    for module in loss.modules():  # normalises by the statistics of a rank's part, as in the network
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.eval()
    found: dict[str, list[Tensor]] = {}
    first, last = distributed.own_bounds(ROWS)
    for step in range(STEPS):
        loss.zero_grad()
        scalar, inputs, _ = value(loss, step, slice(first, last))
        scalar.backward()
        found.setdefault("loss", []).append(scalar.detach())
        for name, tensor in inputs.items():
            # DistributedDataParallel averages what the gather multiplied; so it does with the parameters.
            gradient = tensor.grad / distributed.ranks()
            found.setdefault(name, []).append(torch.cat(distributed.gather_objects(gradient)))
        for name, parameter in loss.named_parameters():
            gradient = distributed.total(parameter.grad) / distributed.ranks()
            found.setdefault(f"gradient {name}", []).append(gradient)
        for name, buffer in loss.named_buffers():
            parts = distributed.gather_objects(buffer.clone())
            found.setdefault(f"state {name}", []).append(parts[0])
            assert all(torch.allclose(part.double(), parts[0].double(), rtol=1e-12) for part in parts), name
    return found


def value(loss, step: int, own: slice) -> tuple[Tensor, dict[str, Tensor], list[Tensor]]:
    """The loss of a batch, the student's inputs that it depends on, and the teacher's."""
    labels = torch.arange(ROWS)[own] % 4
    if loss.sees == "maps":
        maps = [drawn(10 * step + k, ROWS, *shape)[own].requires_grad_() for k, shape in enumerate(STAGES)]
        teacher = [drawn(10 * step + k + 50, ROWS, *shape)[own] for k, shape in enumerate(TEACHER_STAGES)]
        found = loss(maps, [tensor.requires_grad_() for tensor in teacher])
        return found, {f"map {k}": tensor for k, tensor in enumerate(maps) if _used(found, tensor)}, teacher
    dim = DIM if loss.sees == "logits" or loss.same_size else TEACHER_DIM
    student, teacher = (drawn(step + more, ROWS, size)[own].requires_grad_() for more, size in ((0, DIM), (50, dim)))
    if loss.sees == "embeddings":
        return loss(student, teacher, labels), {"embeddings": student}, [teacher]
    spaces = [0] * 5 + [1] * 8
    heads = [create_head("cosface:scale=8", DIM, CLASSES, spaces=spaces).double() for _ in range(2)]
    logits = [head.logits(embeddings, labels) for head, embeddings in zip(heads, (student, teacher))]
    return loss(*logits), {"embeddings": student}, [teacher]


def _used(scalar: Tensor, tensor: Tensor) -> bool:
    return torch.autograd.grad(scalar, tensor, retain_graph=True, allow_unused=True)[0] is not None


def main(cases: str, out: str) -> None:
    torch.set_num_threads(1)
    with distributed.process_group("cpu"):
        found = {spec: results(spec) for spec in json.loads(cases)}
        if distributed.is_first():
            torch.save(found, out)


if __name__ == "__main__":
    main(*sys.argv[1:])
