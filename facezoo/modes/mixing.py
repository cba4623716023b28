"""Two images in one, with the labels of both: mixup, https://arxiv.org/abs/1710.09412, and CutMix,
https://arxiv.org/abs/1905.04899."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from facezoo import distributed


class Mixed(NamedTuple):
    """Images (B, 3, H, W) that are each made of two.

    Attributes:
        partner: (B,) the place in the batch of the image that is mixed in.
        share: of each image's own part, 0..1; the partner has the rest.
    """

    images: Tensor
    partner: Tensor
    share: float


def mix(images: Tensor, mixup: float, cutmix: float) -> Mixed:
    """Mix every image of a batch with another one of this process's part of it.

    One share is drawn for the whole batch, the same on all ranks; with both alphas above 0 a batch has one of the two,
    by chance. What is random comes from torch's own state of the CPU.

    Args:
        images: (B, 3, H, W).
        mixup: alpha of Beta(alpha, alpha), the distribution of the share; 0 is off.
        cutmix: the same for CutMix, where a rectangle is the partner's.
    """
    cuts = cutmix > 0 and (mixup == 0 or torch.rand(()).item() < 0.5)
    alpha = cutmix if cuts else mixup
    drawn = torch.stack([torch.distributions.Beta(alpha, alpha).sample(), *torch.rand(2)])
    numbers = torch.cat([torch.tensor([float(cuts)]), drawn]).to(images.device)
    cuts, share, y, x = distributed.broadcast(numbers).tolist()
    partner = torch.randperm(len(images)).to(images.device)
    if not cuts:
        return Mixed(share * images + (1 - share) * images[partner], partner, share)
    height, width = images.shape[2:]
    rows, columns = _span(y, height, share), _span(x, width, share)
    mixed = images.clone()
    mixed[:, :, rows, columns] = images[partner][:, :, rows, columns]
    cut = (rows.stop - rows.start) * (columns.stop - columns.start)
    return Mixed(mixed, partner, 1 - cut / (height * width))  # what was left of the rectangle inside the image


def _span(place: float, size: int, share: float) -> slice:
    """Pixels along a side of `size` of a rectangle with 1 - `share` of the area, around `place` of it (0..1)."""
    centre, half = int(place * size), int(size * math.sqrt(1 - share)) // 2
    return slice(max(0, centre - half), min(size, centre + half))
