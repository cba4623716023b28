"""Rounding to bfloat16 that keeps small updates.

bfloat16 has 8 bits: rounded to nearest, a weight that an update moves by less than 0.2 % stays where it was, for
ever. Rounded up or down with the probability of its distance, it moves right on average; https://arxiv.org/abs/1502.02551.
"""

from __future__ import annotations

import torch
from torch import Tensor

LOW = 0xFFFF
"""The bits of a float32 that bfloat16 leaves out."""


def round_bfloat16_(values: Tensor, noise: Tensor | None = None) -> Tensor:
    """bfloat16 neighbours of contiguous float32 values, on average the values; the values are overwritten.

    Args:
        noise: of `rounding_noise`, to round several tensors with one draw: each is right on average, they are not
            independent. By default a new draw.
    """
    bits = values.view(torch.int32).view(-1)
    low, high = (rounding_noise(bits.numel(), bits.device) if noise is None else noise).unbind()
    half = len(low)
    bits[:half] += low
    bits[half:] += high[: len(bits) - half]
    bits &= ~LOW
    return values.to(torch.bfloat16)


def rounding_noise(count: int, device: torch.device) -> Tensor:
    """Uniform integers of 16 bits, int32 (2, ceil(count / 2)), from torch's own random state of the device."""
    # Drawing costs more than all the rest: a 64-bit draw serves four values.
    drawn = torch.empty((count + 3) // 4, dtype=torch.int64, device=device).random_(-(2**63), None)
    pairs = drawn.view(torch.int32)[: (count + 1) // 2]
    return torch.stack([pairs & LOW, (pairs >> 16) & LOW])
