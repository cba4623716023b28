"""DDL: similarities of hard faces are to be distributed as those of easy ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from facezoo import distributed
from facezoo.heads.centres import split
from facezoo.types import InputError

NODES, WIDTH = 1000, 0.1
"""A distribution is known at so many similarities from 0 to 1; a similarity counts as a Gaussian so wide."""
FLOOR = 1e-9
"""Added to probabilities before their logarithm."""


class Branch(NamedTuple):
    """The images of one kind, easy or hard in some way; embeddings of any length.

    Attributes:
        first, second: (P, D), images of one identity in each row.
        singles: (N, D), images of which the most similar two of different identities are looked for.
        identities: (N,) of `singles`.
    """

    first: Tensor
    second: Tensor
    singles: Tensor
    identities: Tensor


class DDL(nn.Module):
    """Distribution distillation loss; https://arxiv.org/abs/2002.03662.

    Not a loss of logits: it takes the embeddings of two or more kinds of images, of which the first are the easy ones.
    Every kind's similarities of the same and of different identities are drawn to the easy ones', and the mean of
    those of different identities below that of the same. Where a batch has no similarities of a kind, what would be
    compared with them is left out.

    Args:
        positive_weight: of the divergences between the similarities of the same identity.
        negative_weight: of those between the similarities of different identities.
        order_weight: of the differences of means.
        threshold: similarities of the same identity that are not above it are taken for wrong labels.
        upper_triangle: look for an image's most similar other identity among those behind it only, whatever their
            identity, and give the last one a similarity of 0, as TFace trains.
    """

    formula = "sum_i a KL(pos_0 | pos_i) + b KL(neg_0 | neg_i) + c sum_ij (mean neg_i - mean pos_j)"

    def __init__(
        self,
        positive_weight: float = 0.1,
        negative_weight: float = 0.02,
        order_weight: float = 0.5,
        threshold: float = 0.0,
        upper_triangle: bool = False,
    ) -> None:
        super().__init__()
        if not -1 <= threshold < 1:
            raise InputError(f"ddl: threshold is {threshold}, it must be a cosine from -1 to below 1")
        weights = {"positive_weight": positive_weight, "negative_weight": negative_weight, "order_weight": order_weight}
        for name, weight in weights.items():
            if not 0 <= weight < math.inf:
                raise InputError(f"ddl: {name} is {weight}, it must be at least 0")
        if not any(weights.values()):
            raise InputError("ddl: all weights are 0, which leaves no loss; use mode conventional")
        self.positive_weight, self.negative_weight = positive_weight, negative_weight
        self.order_weight, self.threshold, self.upper_triangle = order_weight, threshold, upper_triangle

    def forward(self, branches: Sequence[Branch]) -> Tensor:
        """The loss of the images of all ranks, from this rank's."""
        if len(branches) < 2:
            raise InputError("ddl: one kind of images has nothing to be drawn to; give the easy ones and others")
        with torch.autocast(branches[0].first.device.type, enabled=False):
            positives = [self.positives(branch) for branch in branches]
            negatives = [self.negatives(branch) for branch in branches]
            loss = self.positive_weight * _divergences(positives) + self.negative_weight * _divergences(negatives)
            for negative in negatives:
                for positive in (values for values in positives if len(values) and len(negative)):
                    loss = loss + self.order_weight * (negative.mean() - positive.mean())
        return distributed.shared(loss)

    def positives(self, branch: Branch) -> Tensor:
        """Cosines (p,) of the same identity, those above the threshold."""
        cosine = (_directions(branch.first) * _directions(branch.second)).sum(1)
        return cosine[cosine > self.threshold]

    def negatives(self, branch: Branch) -> Tensor:
        """Every image's largest cosine (n,) with another identity; images that have no other are left out."""
        directions, identities = _directions(branch.singles), distributed.gather_rows(branch.identities)
        cosine = directions @ directions.T
        if self.upper_triangle:
            return cosine.triu(1).amax(1)
        other = identities[:, None] != identities
        return cosine.masked_fill(~other, -torch.inf)[other.any(1)].amax(1)


def _directions(embeddings: Tensor) -> Tensor:
    """Of all ranks."""
    exact = torch.promote_types(embeddings.dtype, torch.float32)
    return split(distributed.gather_rows(embeddings.to(exact)))[0]


def _histogram(similarities: Tensor) -> Tensor:
    """Probabilities (NODES,) of similarities (n,), with a gradient."""
    nodes = torch.arange(NODES, device=similarities.device, dtype=similarities.dtype) / NODES
    heights = (-0.5 * ((similarities[:, None] - nodes) / WIDTH).square()).exp().sum(0)
    return heights / heights.sum()


def _divergences(similarities: Sequence[Tensor]) -> Tensor:
    """The sum of KL(first | other) over the others, of those with any similarities."""
    if not len(similarities[0]):
        return similarities[0].sum()
    easy, *others = (_histogram(values) + FLOOR for values in similarities if len(values))
    return sum(((easy * (easy / other).log()).sum() for other in others), easy.new_zeros(()))
