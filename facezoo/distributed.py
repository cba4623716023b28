"""Several processes that train one model: who is who, and sums that gradients pass through.

Started by torchrun, one process a GPU, or several on a CPU. Without a process group there is one rank, and
everything here is the identity.

Gradients are those of the sum of all ranks' losses. A loss that every rank computes alike over the global batch is
therefore handed through `shared` before its backward pass, so that the ranks' losses add up to one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from facezoo.types import InputError

PATIENCE = timedelta(minutes=30)
"""How long a rank waits for the others: longer than the slowest one reads data or writes a state."""


def ranks() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """This process among them, from 0."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def is_first() -> bool:
    """Whether this process writes what is written once."""
    return rank() == 0


@contextmanager
def process_group(device: str = "auto") -> Iterator[None]:
    """Join the processes that torchrun started; a process that was started alone stays alone.

    NCCL where the devices are GPUs, gloo elsewhere. Every rank takes the GPU of its number on its machine.

    Raises:
        InputError: there are fewer GPUs than processes, or another process has ended in the midst of the work.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2 or dist.is_initialized():
        yield
        return
    on_gpu = device != "cpu" and torch.cuda.is_available()
    if on_gpu:
        local = int(os.environ.get("LOCAL_RANK", "0"))
        if local >= torch.cuda.device_count():
            raise InputError(
                f"process {local} of this machine has no GPU: there are {torch.cuda.device_count()}; "
                "start as many processes as GPUs"
            )
        torch.cuda.set_device(local)
    # Numbers that lie in main memory go through gloo: no GPU has to finish its work for them.
    dist.init_process_group("cpu:gloo,cuda:nccl" if on_gpu else "gloo", timeout=PATIENCE)
    try:
        yield
    except RuntimeError as error:
        # What a process meets when another one has gone: its long trace would bury the other's error.
        if not (isinstance(error, dist.DistError) or "gloo" in str(error)):
            raise
        raise InputError("another process has ended; its error stands above or in its own log") from None
    finally:
        dist.destroy_process_group()


def bounds(count: int, parts: int, part: int) -> tuple[int, int]:
    """First and last + 1 of part `part` of `count` things in `parts` parts; the first count % parts have one more."""
    size, more = divmod(count, parts)
    first = size * part + min(part, more)
    return first, first + size + (part < more)


def own_bounds(count: int) -> tuple[int, int]:
    """`bounds` of this rank."""
    return bounds(count, ranks(), rank())


def barrier() -> None:
    """Wait for all ranks."""
    if ranks() > 1:
        dist.barrier()


@torch.no_grad()
def broadcast(value: Tensor) -> Tensor:
    """The first rank's tensor on all ranks, without gradient: for random numbers that all must agree on."""
    if ranks() == 1:
        return value
    value = value.detach().clone()
    dist.broadcast(value, src=0)
    return value


def gather_objects(value: Any) -> list[Any]:
    """Every rank's value, in rank order, on all ranks; plain data, no foreign objects."""
    if ranks() == 1:
        return [value]
    values: list[Any] = [None] * ranks()
    dist.all_gather_object(values, value)
    return values


def same(what: str, value: Any, folder: object) -> None:
    """Refuse to go on where the processes have read different things from a folder.

    Raises:
        InputError: on every process.
    """
    values = gather_objects(value)
    if any(other != values[0] for other in values):
        raise InputError(
            f"{folder}: the processes find different states in it ({what}: {', '.join(map(str, values))}); it must be "
            "on a disk that all machines share"
        )


def averaged(module: nn.Module, left_alone: list[str], device: torch.device) -> nn.Module:
    """The module with the gradients of its parameters averaged over ranks, but for those named."""
    alone = set(left_alone)
    if ranks() == 1 or not any(p.requires_grad for name, p in module.named_parameters() if name not in alone):
        return module
    module._ddp_params_and_buffers_to_ignore = left_alone  # type: ignore[assignment]
    return DistributedDataParallel(module, device_ids=[device] if device.type == "cuda" else None)


@torch.no_grad()
def total(value: Tensor) -> Tensor:
    """The sum over ranks, without gradient."""
    if ranks() == 1:
        return value
    value = value.detach().clone()
    dist.all_reduce(value)
    return value


@torch.no_grad()
def largest(value: Tensor) -> Tensor:
    """The element-wise maximum over ranks, without gradient."""
    if ranks() == 1:
        return value
    value = value.detach().clone()
    dist.all_reduce(value, op=dist.ReduceOp.MAX)
    return value


def all_sum(value: Tensor) -> Tensor:
    """The sum over ranks; the gradient is the sum of the ranks' gradients."""
    return value if ranks() == 1 else _Sum.apply(value)


def replicated(value: Tensor) -> Tensor:
    """A parameter of which every rank has a copy: as it is; its gradient is the sum of the ranks' gradients."""
    return value if ranks() == 1 else _Replicated.apply(value)


def shared(loss: Tensor) -> Tensor:
    """A loss that all ranks have computed alike: as it is, with gradients divided by the number of ranks."""
    return loss if ranks() == 1 else _Shared.apply(loss, ranks())


def gather_rows(rows: Tensor) -> Tensor:
    """All ranks' rows (B_r, ...) as (B, ...), in rank order; ranks may have different numbers of rows.

    The gradient is the sum over ranks for the own rows, times the number of ranks: what DistributedDataParallel,
    which averages, then makes into the gradient of the global batch.
    """
    return gather_batch(rows)[0]


def gather_batch(*tensors: Tensor) -> tuple[Tensor, ...]:
    """`gather_rows` of tensors with the same number of rows, such as embeddings and labels: it is asked for once."""
    if ranks() == 1:
        return tensors
    own = torch.tensor([len(tensors[0])], device=tensors[0].device)
    counts = [torch.zeros_like(own) for _ in range(ranks())]
    dist.all_gather(counts, own)
    return tuple(_Gather.apply(rows, [int(count) for count in counts]) for rows in tensors)


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        return total(value)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return total(gradients[0].contiguous())


class _Replicated(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return total(gradients[0].contiguous())


class _Shared(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, loss: Tensor, parts: int) -> Tensor:
        ctx.parts = parts
        return loss.view_as(loss)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0] / ctx.parts, None


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, counts: list[int]) -> Tensor:
        ctx.first, ctx.own = sum(counts[: rank()]), len(rows)
        # Collectives want equal shapes: the shorter parts are padded and cut again.
        longest = max(counts)
        padded = rows.new_zeros(longest, *rows.shape[1:])
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in counts]
        dist.all_gather(parts, padded)
        return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        everywhere = total(gradients[0].contiguous())
        return everywhere[ctx.first : ctx.first + ctx.own] * ranks(), None
