"""What the margins share: the cosine of the true class, taken and put back, and an angle added to it.

A margin is an nn.Module with forward(cosine (B, C), labels (B,), norms (B, 1)) -> logits (B, C). Only the true
class's column and, where the paper says so, negatives change.

The columns may be a part of the classes: those of one rank, or those that were sampled. A label is the true class's
column, or -1 where that is on another rank; the rows are the whole batch of all ranks. So a margin takes what is
beyond its own columns from here: `true_cosine` is known on every rank, `over_classes` adds up all ranks' columns.

A margin may have more:

- `formula`: its logits in one line, for the list of heads;
- `penalty(norms) -> scalar`: a second loss over the whole batch, logged under its own name;
- `unit_centres = False`: it takes the class centres as they are instead of scaled to length 1;
- `per_class = ("margins",)`: names of its parameters and buffers with one entry a class (C, ...), of which every
  rank has all. Its forward then has a fourth argument, the rows' classes (B,) among all classes;
- `column_classes = True`, with `per_class`: its forward then has a fifth argument, the columns' classes (C,) among all
  classes;
- `fixed_centres = True`: its forward then has a last argument, the same cosines (B, C) with a gradient that reaches
  the embeddings and not the class centres;
- `determined = ("scale",)`: names of its buffers that its options and the number of classes determine. A head file
  does not carry them over to another head;
- an option `num_classes`: it is given C when the head is made.

State is buffers, updated in place and in training only; parameters go through `facezoo.distributed.replicated`
before they are used. Then the state is the same on one rank and on many, and it is saved and resumed.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from facezoo import distributed
from facezoo.types import InputError

Fallback = Literal["linear", "cosine", "none"]


def take_target(cosine: Tensor, labels: Tensor) -> Tensor:
    """The true class's column (B, 1) of (B, C); a row labelled -1 gives column 0, which `put_target` ignores."""
    return cosine.gather(1, labels.clamp(min=0)[:, None])


def true_cosine(cosine: Tensor, labels: Tensor) -> Tensor:
    """The true class's cosine (B, 1), whichever rank has its column; for what is compared with the negatives."""
    target = take_target(cosine, labels)
    return distributed.all_sum(target.masked_fill((labels < 0)[:, None], 0)) if distributed.ranks() > 1 else target


def over_classes(values: Tensor) -> Tensor:
    """The sums (B, 1) over all classes of (B, C), the columns of other ranks included."""
    return distributed.all_sum(values.sum(1, keepdim=True))


def negatives(cosine: Tensor, labels: Tensor) -> Tensor:
    """(B, C) bool: every column but the true class's."""
    mask = torch.ones_like(cosine, dtype=torch.bool)
    index = labels.clamp(min=0)[:, None]
    return mask.scatter(1, index, (labels < 0)[:, None])


def put_target(cosine: Tensor, labels: Tensor, target: Tensor, scale: float | Tensor = 1.0) -> Tensor:
    """scale * (B, C) with `target` (B, 1) in the true class's column; rows labelled -1 keep their own.

    The one copy of the matrix that a margin needs, also in the backward pass. `scale` gets no gradient.
    """
    return _PutTarget.apply(cosine, labels, target, scale)


class _PutTarget(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, cosine: Tensor, labels: Tensor, target: Tensor, scale: float | Tensor) -> Tensor:
        ctx.save_for_backward(labels)
        ctx.scale = scale
        index, present = labels.clamp(min=0)[:, None], (labels >= 0)[:, None]
        logits = cosine * scale
        return logits.scatter_(1, index, torch.where(present, target * scale, logits.gather(1, index)))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, Tensor, None]:
        (labels,) = ctx.saved_tensors
        index, present = labels.clamp(min=0)[:, None], (labels >= 0)[:, None]
        for_cosine = gradients[0] * ctx.scale
        own = for_cosine.gather(1, index)
        for_target = own.masked_fill(~present, 0)
        return for_cosine.scatter_(1, index, own.masked_fill(present, 0)), None, for_target, None


def inside(cosine: Tensor) -> Tensor:
    """Cosines kept one rounding step away from -1 and 1, with gradient 0 beyond.

    There the sine's and the angle's derivatives by the cosine are infinite; the embedding's gradient is the
    product with a factor that vanishes, so that a finite factor is all that is needed.
    """
    limit = 1 - torch.finfo(cosine.dtype).eps
    return cosine.clamp(-limit, limit)


def add_angle(cosine: Tensor, angle: float | Tensor) -> Tensor:
    """cos(theta + angle) of cosines cos(theta), (B, 1): no arccos, finite gradients everywhere."""
    sine = (1 - inside(cosine).square()).sqrt()
    if isinstance(angle, Tensor):
        return cosine * angle.cos() - sine * angle.sin()
    return cosine * math.cos(angle) - sine * math.sin(angle)


def arc_target(
    cosine: Tensor,
    angle: float | Tensor,
    fallback: Fallback = "linear",
    fallback_margin: float = 0.0,
    easy_margin: bool = False,
) -> Tensor:
    """cos(theta + angle) of cosines (B, 1), and what stands for it where theta + angle passes pi.

    There the cosine would rise again. `linear` is cos(theta) - angle sin(angle), which keeps the logit falling;
    `cosine` is cos(theta) - fallback_margin, with a jump; `none` leaves the formula. With `easy_margin` only
    cosines above 0 are moved, and nothing passes pi.
    """
    moved = add_angle(cosine, angle)
    if easy_margin:
        return torch.where(cosine > 0, moved, cosine)
    if fallback == "none":
        return moved
    angle = torch.as_tensor(angle, dtype=cosine.dtype, device=cosine.device)
    instead = cosine - (angle * angle.sin() if fallback == "linear" else fallback_margin)
    return torch.where(cosine > -angle.cos(), moved, instead)


def check_angle(name: str, margin: float, option: str = "margin") -> None:
    """Refuse a margin that is no angle to add."""
    if not 0 <= margin < math.pi / 2:
        raise InputError(f"{name}: {option} is {margin}, it must be at least 0 and below pi/2 radians")


def check_cosine(name: str, margin: float, option: str = "margin") -> None:
    """Refuse a margin that is not to be taken from a cosine."""
    if not 0 <= margin <= 1:
        raise InputError(f"{name}: {option} is {margin}, it must be 0 to 1")


def check_scale(name: str, scale: float) -> None:
    """Refuse a scale that turns the logits over, or into nothing."""
    if not 0 < scale < math.inf:
        raise InputError(f"{name}: scale is {scale}, it must be above 0")


def check_fallback(name: str, fallback: Fallback, fallback_margin: float, easy_margin: bool) -> None:
    """Refuse options of `arc_target` that would do nothing."""
    if easy_margin and fallback != "linear":
        raise InputError(f"{name}: with easy_margin=true nothing passes pi; leave fallback={fallback} out")
    if fallback_margin and fallback != "cosine":
        raise InputError(f"{name}: fallback_margin={fallback_margin} belongs to fallback=cosine, not to {fallback}")


def straight_through(value: Tensor, cosine: Tensor) -> Tensor:
    """`value` with the gradient of `cosine`: the margin is in the logit, its derivative is left out."""
    return value.detach() + (cosine - cosine.detach())
