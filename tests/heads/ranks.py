"""What torchrun starts in test_ranks: every head and embedding loss on this rank's part of one global batch."""

from __future__ import annotations

import json
import sys

import torch

from facezoo import distributed
from facezoo.heads import create_embedding_losses, create_head
from facezoo.heads.ddl import DDL, Branch
from facezoo.heads.prototype import PrototypeQueue, SemiSiamese
from facezoo.heads.scf import SCF

ROWS, DIM, CLASSES, STEPS = 11, 8, 13, 3


def batch(step: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The global batch of a step: easy, hard and opposite targets, norms from 1 to 60."""
    generator = torch.Generator().manual_seed(step)
    labels = torch.randint(CLASSES, (ROWS,), generator=generator)
    embeddings = torch.randn(ROWS, DIM, generator=generator, dtype=torch.float64)
    return embeddings * torch.linspace(0.5, 20, ROWS)[:, None], labels


def results(spec: str, loss: str, accumulate: int = 1, start: int = 0, **options) -> dict[str, list[torch.Tensor]]:
    """Losses, gradients and state of a few steps with fixed centres, those of all ranks put together.

    With `accumulate` the centres' gradients are those of so many batches, each with its own backward pass; `start` is
    the first batch.
    """
    torch.manual_seed(0)
    head = create_head(spec, DIM, CLASSES, loss, **options).double()
    found: dict[str, list[torch.Tensor]] = {}
    for step in range(STEPS):
        torch.manual_seed(step)
        head.zero_grad()
        for number in range(accumulate):
            embeddings, labels = batch(start + step * accumulate + number)
            first, last = distributed.own_bounds(ROWS)
            own = embeddings[first:last].requires_grad_()
            losses = head(own, labels[first:last])
            (sum(losses.values()) / accumulate).backward()
            for name, value in losses.items():
                found.setdefault(f"loss {name}", []).append(value.detach())
            # DistributedDataParallel averages what the gather multiplied.
            gradient = own.grad / distributed.ranks()
            found.setdefault("embeddings", []).append(torch.cat(distributed.gather_objects(gradient)))
        for name, parameter in head.named_parameters():
            if parameter.grad is None:
                continue
            whole = parameter.grad.to_dense() if parameter.grad.is_sparse else parameter.grad
            parts = distributed.gather_objects(whole)
            found.setdefault(f"gradient {name}", []).append(torch.cat(parts) if name == "weight" else parts[0])
            assert name == "weight" or all(torch.equal(part, parts[0]) for part in parts), name
        for name, buffer in head.named_buffers():
            parts = distributed.gather_objects(buffer.clone())
            found.setdefault(f"state {name}", []).append(parts[0])
            assert all(torch.allclose(part, parts[0], rtol=1e-12) for part in parts), name
    return found


def embedding_results(spec: str) -> dict[str, list[torch.Tensor]]:
    """Loss, gradient and state of an embedding loss over a few steps."""
    (loss,) = create_embedding_losses([spec], CLASSES, DIM).double().values()
    found: dict[str, list[torch.Tensor]] = {}
    for step in range(STEPS):
        torch.manual_seed(step)
        embeddings, labels = batch(step)[0], torch.arange(ROWS) % 4
        first, last = distributed.own_bounds(ROWS)
        own = embeddings[first:last].requires_grad_()
        value = loss(own, labels[first:last])
        value.backward()
        found.setdefault("loss", []).append(value.detach())
        gradient = own.grad / distributed.ranks()
        found.setdefault("embeddings", []).append(torch.cat(distributed.gather_objects(gradient)))
        for name, buffer in loss.named_buffers():
            parts = distributed.gather_objects(buffer.clone())
            found.setdefault(f"state {name}", []).append(parts[0])
            assert all(torch.allclose(part, parts[0], rtol=1e-12) for part in parts), name
    return found


def prototype_results(name: str, margin: str) -> dict[str, list[torch.Tensor]]:
    """Loss, gradients and state of semi-siamese training with a queue that wraps."""
    torch.manual_seed(0)
    queue = PrototypeQueue(DIM, 2 * ROWS - 3, margin, mask_duplicates=True)
    head = SemiSiamese(queue).double()
    found: dict[str, list[torch.Tensor]] = {}
    for step in range(STEPS):
        torch.manual_seed(step)
        first, last = distributed.own_bounds(ROWS)
        images = [batch(10 * step + view)[0][first:last] for view in range(4)]
        probes = (images[0].requires_grad_(), images[1].requires_grad_())
        value = head(probes, (images[2], images[3]), batch(step)[1][first:last])["prototype"]
        value.backward()
        found.setdefault("loss", []).append(value.detach())
        for probe in probes:
            gradient = probe.grad / distributed.ranks()
            found.setdefault("probes", []).append(torch.cat(distributed.gather_objects(gradient)))
        for name, buffer in head.named_buffers():
            parts = distributed.gather_objects(buffer.clone())
            found.setdefault(f"state {name}", []).append(parts[0])
            assert all(torch.allclose(part, parts[0], rtol=1e-12) for part in parts), name
    return found


def inputs_results(name: str) -> dict[str, list[torch.Tensor]]:
    """Loss and gradients of the losses that take other inputs than embeddings and labels."""
    first, last = distributed.own_bounds(ROWS)
    parts = [batch(step)[0].repeat(1, 2)[first:last].requires_grad_() for step in range(6)]
    if name == "scf":
        value = SCF(2 * DIM)(parts[0], parts[1], parts[2][:, :1].square() + 1)
    else:
        identities = torch.arange(ROWS)[first:last] % 4
        value = DDL()([Branch(*parts[:3], identities), Branch(*parts[3:], identities)])
    value.backward()
    gradients = [part.grad / distributed.ranks() for part in parts if part.grad is not None]
    return {
        "loss": [value.detach()],
        "inputs": [torch.cat(distributed.gather_objects(gradient)) for gradient in gradients],
    }


def results_of(case: list) -> dict[str, list[torch.Tensor]]:
    if case[0] == "prototype":
        return prototype_results(*case)
    if case[0] in ("ddl", "scf"):
        return inputs_results(*case)
    return results(case[0], case[1], **case[2]) if len(case) == 3 else embedding_results(*case)


def main(cases: str, out: str) -> None:
    torch.set_num_threads(1)
    with distributed.process_group("cpu"):
        found = {str(case): results_of(case) for case in json.loads(cases)}
        if distributed.is_first():
            torch.save(found, out)


if __name__ == "__main__":
    main(*sys.argv[1:])
