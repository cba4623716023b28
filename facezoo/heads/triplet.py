"""Triplet losses: an anchor lies nearer to its own identity than to others, by a margin."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from facezoo import distributed
from facezoo.heads.centres import split
from facezoo.heads.embedding_loss import EmbeddingLoss, distances, mean_or_zero
from facezoo.registry import EMBEDDING_LOSSES
from facezoo.types import InputError

Distance = Literal["squared", "euclidean"]


class _Margin(EmbeddingLoss):
    """What the triplet losses share.

    Args:
        margin: how much farther the negative must be, in units of `distance`.
        distance: `squared` or `euclidean` L2 distance.
        unit: scale the embeddings to length 1 first.
        weight: factor of the loss.
    """

    def __init__(self, margin: float, distance: Distance, unit: bool, weight: float) -> None:
        super().__init__(weight)
        if margin < 0:
            raise InputError(f"{type(self).__name__.lower()}: margin is {margin}, it must be at least 0")
        self.margin, self.distance, self.unit = margin, distance, unit

    def measured(self, embeddings: Tensor) -> Tensor:
        """Distances (B, B)."""
        found = distances(split(embeddings)[0] if self.unit else embeddings)
        return found.square() if self.distance == "squared" else found


@EMBEDDING_LOSSES.register
class Triplet(_Margin):
    """FaceNet's loss over triplets of anchor, positive and negative; https://arxiv.org/abs/1503.03832.

    Memory grows with the positive pairs times the batch.

    Args:
        margin: m.
        mining: the negatives of a positive pair: `all`; the `hardest` one if it is within the margin; a `random` one
            of those within the margin; `semihard`, a random one of those within the margin but farther than the
            positive. A pair that has none is left out.
        distance: `squared` or `euclidean` L2 distance.
        unit: scale the embeddings to length 1 first.
        both_anchors: either image of a positive pair is the anchor once; otherwise the first in the batch is.
        mean: over `all` triplets, or over the `violating` ones, whose loss is above 0.
        weight: factor of the loss.
    """

    formula = "mean [d(a, p) - d(a, n) + m]+"

    def __init__(
        self,
        margin: float = 0.2,
        mining: Literal["all", "hardest", "random", "semihard"] = "semihard",
        distance: Distance = "squared",
        unit: bool = True,
        both_anchors: bool = True,
        mean: Literal["all", "violating"] = "all",
        weight: float = 1.0,
    ) -> None:
        super().__init__(margin, distance, unit, weight)
        if mean == "violating" and mining != "all":
            raise InputError(f"triplet: mining={mining} takes violating triplets only; leave mean=violating out")
        self.mining, self.both_anchors, self.mean = mining, both_anchors, mean

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        measured = self.measured(embeddings)
        anchor, positive, negative = self.triplets(measured.detach(), labels)
        losses = (measured[anchor, positive] - measured[anchor, negative] + self.margin).clamp(min=0)
        return mean_or_zero(losses[losses > 0] if self.mean == "violating" else losses)

    @torch.no_grad()
    def triplets(self, measured: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Anchors, positives and negatives (T,), rows of the batch, from distances (B, B); alike on all ranks."""
        same = labels[:, None] == labels
        once = same.triu(1)
        anchor, positive = (once | once.T if self.both_anchors else once).nonzero(as_tuple=True)
        others = ~same[anchor]
        if self.mining == "all" or others.numel() == 0:
            pair, negative = others.nonzero(as_tuple=True)
            return anchor[pair], positive[pair], negative
        losses = measured[anchor, positive][:, None] - measured[anchor] + self.margin
        wanted = others & (losses > 0)
        if self.mining == "semihard":
            wanted &= losses < self.margin
        order = losses if self.mining == "hardest" else distributed.broadcast(torch.rand_like(losses))
        negative = order.masked_fill(~wanted, -torch.inf).argmax(1)
        found = wanted.any(1)
        return anchor[found], positive[found], negative[found]


@EMBEDDING_LOSSES.register(name="batch_hard")
class BatchHard(_Margin):
    """Every image with its farthest positive and nearest negative of the batch; https://arxiv.org/abs/1703.07737.

    Args:
        margin: m.
        distance: `squared` or `euclidean` L2 distance.
        unit: scale the embeddings to length 1 first.
        weight: factor of the loss.
    """

    formula = "mean_a [max_p d(a, p) - min_n d(a, n) + m]+"

    def __init__(
        self, margin: float = 0.2, distance: Distance = "euclidean", unit: bool = True, weight: float = 1.0
    ) -> None:
        super().__init__(margin, distance, unit, weight)

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        measured = self.measured(embeddings)
        same = labels[:, None] == labels
        positives = same & ~torch.eye(len(same), dtype=torch.bool, device=same.device)
        farthest = measured.masked_fill(~positives, -torch.inf).amax(1)
        nearest = measured.masked_fill(same, torch.inf).amin(1)
        complete = positives.any(1) & ~same.all(1)
        return mean_or_zero((farthest[complete] - nearest[complete] + self.margin).clamp(min=0))


EMBEDDING_LOSSES.preset("triplet@facexzoo", "triplet:margin=2.5,mining=random,both_anchors=false")
EMBEDDING_LOSSES.preset("triplet@tface", "triplet:mining=all,distance=euclidean,unit=false,mean=violating")
EMBEDDING_LOSSES.preset("batch_hard@tface", "batch_hard:unit=false")
