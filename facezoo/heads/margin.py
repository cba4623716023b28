"""What the margins share: the cosine of the true class, taken and put back, and an angle added to it.

A margin is an nn.Module with forward(cosine (B, C), labels (B,), norms (B, 1)) -> logits (B, C). Only the true
class's column and, where the paper says so, hard negatives change. A label of -1 says that the row's true class
is not among the columns: no margin is put there.

A margin may have two things more:

- `penalty(norms) -> scalar`: a second loss, logged under its own name;
- `unit_centres = False`: it takes the class centres as they are instead of scaled to length 1.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def take_target(cosine: Tensor, labels: Tensor) -> Tensor:
    """The true class's column (B, 1) of (B, C); a row labelled -1 gives column 0, which `put_target` ignores."""
    return cosine.gather(1, labels.clamp(min=0)[:, None])


def put_target(cosine: Tensor, labels: Tensor, target: Tensor) -> Tensor:
    """(B, C) with `target` (B, 1) in the true class's column; rows labelled -1 stay as they are."""
    index = labels.clamp(min=0)[:, None]
    present = (labels >= 0)[:, None]
    return cosine.scatter(1, index, torch.where(present, target, cosine.gather(1, index)))


def inside(cosine: Tensor) -> Tensor:
    """Cosines kept one rounding step away from -1 and 1, with gradient 0 beyond.

    There the sine's and the angle's derivatives by the cosine are infinite; the embedding's gradient is the
    product with a factor that vanishes, so that a finite factor is all that is needed.
    """
    limit = 1 - torch.finfo(cosine.dtype).eps
    return cosine.clamp(-limit, limit)


def add_angle(cosine: Tensor, angle: float) -> Tensor:
    """cos(theta + angle) of cosines cos(theta): no arccos, finite gradients everywhere."""
    sine = (1 - inside(cosine).square()).sqrt()
    return cosine * math.cos(angle) - sine * math.sin(angle)
