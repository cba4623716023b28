"""SGD and AdamW that touch only the rows that took part in a step, and round low-precision weights well.

A sampled head (Partial FC) has a sparse gradient: some rows of the class centres. Their momentum moves with them;
the other rows and their momentum stay as they are, undecayed, as in https://arxiv.org/abs/2010.05222, and cost
nothing. Parameters in bfloat16 are updated in float32 and rounded at random, their momentum too. All other parameters
go through PyTorch's fused optimisers.

The state is PyTorch's: `momentum_buffer` of SGD; `exp_avg`, `exp_avg_sq` and `step` of AdamW. An entry with
dimensions has the parameter's rows first, so that a sharded head's state is cut and joined as the head is. `step` is
one number, or (rows,) where rows are sampled: a row's bias correction counts the steps that it took part in.

Momentum has the parameter's type: bfloat16 centres are there to halve the memory, and at random rounding two numbers
of 2 bytes learn as well as two of 4.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim import SGD, AdamW, Optimizer

from facezoo.config import OptimConfig
from facezoo.optim.rounding import round_bfloat16_, rounding_noise

BLOCK_BYTES = {"cpu": 1 << 20}
"""Float32 bytes updated at once: on a CPU what its cache holds a few of; elsewhere large kernels count more."""
LARGE_BLOCK = 1 << 26


def create_optimizer(groups: list[dict[str, Any]], config: OptimConfig) -> Optimizer:
    """SGD or AdamW over groups of `parameter_groups`; the learning rate is set before every step."""
    if config.name == "adamw":
        return RowAdamW(groups, config.lr, config.betas)
    return RowSGD(groups, config.lr, config.momentum, config.nesterov)


class _ByRows(Optimizer):
    """Takes sparse gradients and bfloat16 parameters out of the next class's step and updates them by rows."""

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        # A gradient scaler leaves it to a fused optimiser to skip a step, and to unscale if that was not done before.
        # The fused SGD of PyTorch would keep the memory of a first step that it skips, unwritten, as momentum; and the
        # scaler of several ranks counts those that overflowed, of which the kernels know 1 alone.
        infinite, scale = getattr(self, "found_inf", None), getattr(self, "grad_scale", None)
        if infinite is not None:
            if float(infinite) > 0:
                return loss
            self.found_inf = torch.zeros((), device=infinite.device)
        own = [
            (group, parameter, parameter.grad)
            for group in self.param_groups
            for parameter in group["params"]
            if parameter.grad is not None and self._is_own(parameter, parameter.grad)
        ]
        for _, parameter, _ in own:
            parameter.grad = None
        try:
            super().step()
        finally:
            for _, parameter, gradient in own:
                parameter.grad = gradient
        with torch.no_grad():
            for group, parameter, gradient in own:
                rows, values = _parts(gradient)
                if scale is not None:
                    values = values / scale.to(values.device)
                self._update(group, parameter, rows, values)
        return loss

    def _is_own(self, parameter: Tensor, gradient: Tensor) -> bool:
        counted_by_row = isinstance(step := self.state.get(parameter, {}).get("step"), Tensor) and step.ndim > 0
        return gradient.is_sparse or parameter.dtype == torch.bfloat16 or counted_by_row

    def _update(self, group: dict[str, Any], parameter: Tensor, rows: Tensor | None, gradient: Tensor) -> None:
        """Update `rows` of the parameter, or all, by their gradient (n, ...)."""
        raise NotImplementedError

    def _buffer(self, parameter: Tensor, name: str) -> Tensor:
        state = self.state[parameter]
        if name not in state:
            state[name] = _paged_zeros(parameter)
        return state[name]


class RowSGD(_ByRows, SGD):
    """`torch.optim.SGD`, by rows where the gradient has rows.

    A row's first step is from momentum 0, as SGD's is.
    """

    def __init__(self, groups: Any, lr: float, momentum: float = 0.0, nesterov: bool = False) -> None:
        SGD.__init__(self, groups, lr=lr, momentum=momentum, nesterov=nesterov, fused=True)

    def _update(self, group: dict[str, Any], parameter: Tensor, rows: Tensor | None, gradient: Tensor) -> None:
        momentum = group["momentum"]
        tensors = [parameter, self._buffer(parameter, "momentum_buffer")] if momentum else [parameter]
        for block in _blocks(tensors, rows, gradient):
            weight, moved = block.values[0], block.gradient
            if group["weight_decay"]:
                moved = moved.add(weight, alpha=group["weight_decay"])
            if momentum:
                velocity = block.values[1].mul_(momentum).add_(moved)
                moved = moved.add(velocity, alpha=momentum) if group["nesterov"] else velocity
            weight.add_(moved, alpha=-group["lr"])
            block.store()


class RowAdamW(_ByRows, AdamW):
    """`torch.optim.AdamW`, by rows where the gradient has rows."""

    def __init__(self, groups: Any, lr: float, betas: tuple[float, float] = (0.9, 0.999)) -> None:
        AdamW.__init__(self, groups, lr=lr, betas=betas, fused=True)

    def _update(self, group: dict[str, Any], parameter: Tensor, rows: Tensor | None, gradient: Tensor) -> None:
        count = self._count(parameter, rows)
        first, second = group["betas"]
        tensors = [parameter, self._buffer(parameter, "exp_avg"), self._buffer(parameter, "exp_avg_sq")]
        for block in _blocks(tensors, rows, gradient):
            weight, mean, square = block.values
            steps = block.of_each(count).double() if count.ndim else count.double()
            weight.mul_(1 - group["lr"] * group["weight_decay"])
            mean.lerp_(block.gradient, 1 - first)
            square.mul_(second).addcmul_(block.gradient, block.gradient, value=1 - second)
            full_mean, full_spread = (1 - first**steps).to(mean.dtype), (1 - second**steps).sqrt().to(mean.dtype)
            spread = square.sqrt().div_(full_spread).add_(group["eps"])
            weight.addcdiv_(mean / full_mean, spread, value=-group["lr"])
            block.store()

    def _count(self, parameter: Tensor, rows: Tensor | None) -> Tensor:
        """How many steps were taken, this one included: one number, or (rows,)."""
        state = self.state[parameter]
        count = state.get("step", torch.zeros((), device=parameter.device))
        if rows is not None and count.ndim == 0:
            count = count.expand(len(parameter)).clone()
        state["step"] = count
        if rows is None:
            count += 1
        else:
            count.index_add_(0, rows, torch.ones(len(rows), device=count.device))
        return count


@dataclass
class _Block:
    """Some rows of a parameter and its state, in float32 or wider, to be changed in place and stored.

    Attributes:
        gradient: of these rows; not to be changed.
        values: the rows of each tensor.
    """

    tensors: list[Tensor]
    place: slice | Tensor
    gradient: Tensor
    values: list[Tensor]

    def of_each(self, numbers: Tensor) -> Tensor:
        """The block's rows of numbers (rows,), shaped to go with the values."""
        return numbers[self.place].view(-1, *[1] * (self.gradient.ndim - 1))

    def store(self) -> None:
        noise = None
        for tensor, values in zip(self.tensors, self.values, strict=True):
            if tensor.dtype == torch.bfloat16:
                # One draw for the weight and its momentum: only each by itself has to be right on average.
                noise = rounding_noise(values.numel(), values.device) if noise is None else noise
                values = round_bfloat16_(values.contiguous(), noise)
            if isinstance(self.place, Tensor):
                tensor.index_copy_(0, self.place, values)
            elif tensor.dtype == torch.bfloat16:
                tensor[self.place] = values


def _blocks(tensors: list[Tensor], rows: Tensor | None, gradient: Tensor) -> Iterator[_Block]:
    """The rows of the gradient (n, ...) and of the tensors, a cache's worth at a time."""
    if gradient.ndim == 0:
        tensors, gradient = [tensor[None] for tensor in tensors], gradient[None]
    exact = torch.promote_types(gradient.dtype, torch.float32)
    each = max(1, gradient[:1].numel()) * 4
    size = max(1, BLOCK_BYTES.get(gradient.device.type, LARGE_BLOCK) // each)
    for first in range(0, len(gradient), size):
        part = slice(first, first + size)
        place = part if rows is None else rows[part]
        # Without rows, and where the type is wide enough, these are views: to change them is to store them.
        values = [
            (tensor[place] if isinstance(place, slice) else tensor.index_select(0, place)).to(exact)
            for tensor in tensors
        ]
        yield _Block(tensors, place, gradient[part].to(exact), values)


def _parts(gradient: Tensor) -> tuple[Tensor | None, Tensor]:
    """Sorted distinct rows (n,) and their gradients (n, ...); None and all of them where the gradient is dense."""
    if not gradient.is_sparse:
        return None, gradient
    rows = gradient._indices()[0]
    # Autograd forgets that rows are sorted and distinct; to see it is cheaper than to sort them again. A gradient that
    # was accumulated over several batches has them several times.
    if not bool((rows[1:] > rows[:-1]).all()):
        gradient = gradient.coalesce()
        rows = gradient._indices()[0]
    return rows, gradient._values()


def _paged_zeros(like: Tensor) -> Tensor:
    """Zeros of the tensor's shape, type and device; on a CPU, memory of rows that are never written is never taken."""
    if like.device.type != "cpu" or not like.is_contiguous():
        return torch.zeros_like(like)
    # torch.zeros writes its zeros; numpy's are pages that the system hands out when they are touched.
    pages = torch.from_numpy(np.zeros(like.numel() * like.element_size(), np.uint8))
    return pages.view(like.dtype).view(like.shape)
