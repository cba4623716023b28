"""Losses of metric learning with class centres, which it calls proxies: no softmax over all of them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from facezoo import distributed
from facezoo.heads.margin import check_scale, negatives, over_classes, put_target, take_target, true_cosine
from facezoo.registry import HEADS, LOSSES
from facezoo.types import InputError


@LOSSES.register(name="proxy_nca")
class ProxyNCA(nn.Module):
    """Every image against the proxies of all other classes, its own left out of their sum; https://arxiv.org/abs/1703.07464.

    The paper's squared distance of unit vectors is 2 - 2 c: its head is `normface:scale=2`.
    """

    formula = "-z_y + ln sum_{j != y} e^z_j"

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        others = logits.masked_fill(~negatives(logits, labels), -torch.inf)
        top = distributed.largest(others.detach().amax(1, keepdim=True)).clamp(min=torch.finfo(logits.dtype).min)
        return (top + over_classes((others - top).exp()).log() - true_cosine(logits, labels)).mean()


@HEADS.register
class ProxyAnchor(nn.Module):
    """A margin on either side, for the loss `proxy_anchor`; https://arxiv.org/abs/2003.13911.

    Args:
        margin: delta, taken from the cosine of the true class and added to the others'.
        scale: alpha, the inverse temperature.
    """

    formula = "target s (c - m); negatives s (c_j + m)"

    def __init__(self, margin: float = 0.1, scale: float = 32.0) -> None:
        super().__init__()
        if not 0 <= margin <= 1:
            raise InputError(f"proxyanchor: margin is {margin}, it must be 0 to 1")
        check_scale("proxyanchor", scale)
        self.margin, self.scale = margin, scale

    def forward(self, cosine: Tensor, labels: Tensor, norms: Tensor) -> Tensor:
        """Logits (B, C) from cosines (B, C), labels (B,) and embedding norms (B, 1)."""
        return put_target(cosine + self.margin, labels, take_target(cosine, labels) - self.margin, self.scale)


@LOSSES.register(name="proxy_anchor")
class ProxyAnchorLoss(nn.Module):
    """Every proxy against all images of the batch; https://arxiv.org/abs/2003.13911.

    The paper's head is `proxyanchor`. The hardest images of a proxy count most. Under Partial FC the proxies are the
    sampled ones.
    """

    formula = "mean over classes in the batch ln(1 + sum_{i in j} e^-z_ij) + mean_j ln(1 + sum_{i not in j} e^z_ij)"

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        other = negatives(logits, labels)
        counts = torch.stack([(~other).any(0).sum(), other.new_tensor(other.shape[1], dtype=torch.int64)])
        pull = _log_one_more((-logits).masked_fill(other, -torch.inf)).sum()
        push = _log_one_more(logits.masked_fill(~other, -torch.inf)).sum()
        return (distributed.all_sum(torch.stack([pull, push])) / distributed.total(counts)).sum()


def _log_one_more(logits: Tensor) -> Tensor:
    """ln(1 + sum of e^z) over the rows, (C,) of (B, C)."""
    return torch.cat([logits.new_zeros(1, logits.shape[1]), logits]).logsumexp(0)
