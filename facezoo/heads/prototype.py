"""A queue of prototypes instead of class centres, for data with two images a person.

Semi-siamese training, https://arxiv.org/abs/2007.08398: of the two images of a person one passes the trained network
(the probe) and one its moving average (the gallery). A probe is classified among the galleries of the last steps.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from facezoo import distributed
from facezoo.heads.centres import split
from facezoo.heads.losses import CrossEntropy
from facezoo.registry import HEADS
from facezoo.types import InputError


class PrototypeQueue(nn.Module):
    """The galleries of the last steps, with any margin: probes and galleries to a cross-entropy.

    Under several ranks all have the whole queue; each compares the probes of all with its part of it.

    Args:
        embedding_dim: D.
        size: Q, prototypes; a step may bring as many at most.
        margin: spec string of a head without a penalty and without parameters of its own for each class. FaceX-Zoo's
            `softmax`, `am_softmax` and `arc_softmax` are `normface`, `cosface` and `arcface:fallback=none`.
        mask_duplicates: leave prototypes of the probe's own identity out of its negatives. Without it they count as
            somebody else, as in the paper's code.

    Attributes:
        queue: (Q, D), of length 1; random directions at first.
        identities: (Q,) of the prototypes, -1 where there was none yet.
        index: where the next step writes; behind the last place comes the first.
    """

    queue: Tensor
    identities: Tensor
    index: Tensor

    def __init__(
        self,
        embedding_dim: int,
        size: int = 16384,
        margin: str = "cosface:margin=0.35,scale=32",
        mask_duplicates: bool = False,
    ) -> None:
        super().__init__()
        if embedding_dim < 1 or size < max(2, distributed.ranks()):
            raise InputError(f"prototypes: a queue of {size} with {embedding_dim} dimensions; both must be larger")
        self.margin = HEADS.create(margin)
        if getattr(self.margin, "per_class", ()) or not getattr(self.margin, "unit_centres", True):
            raise InputError(f"prototypes: {margin} needs class centres; choose a head such as cosface or arcface")
        if getattr(self.margin, "penalty", None):
            raise InputError(
                f"prototypes: {margin} has a penalty, for which there is no place here; choose another head"
            )
        self.loss, self.mask_duplicates = CrossEntropy(), mask_duplicates
        self.register_buffer("queue", split(torch.randn(size, embedding_dim))[0])
        self.register_buffer("identities", torch.full((size,), -1))
        self.register_buffer("index", torch.tensor(0))

    def forward(self, probes: Tensor, galleries: Tensor, identities: Tensor) -> Tensor:
        """The cross-entropy of the probes of all ranks, from this rank's rows; see `logits`."""
        logits, columns = self.logits(probes, galleries, identities)
        return distributed.shared(self.loss(logits, columns))

    def logits(self, probes: Tensor, galleries: Tensor, identities: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, q) of all probes and this rank's part of the queue, and the true columns (B,), else -1.

        The galleries of this step stand in the places that will be written next; the queue stays as it is.

        Args:
            probes: embeddings (b, D), of any length.
            galleries: embeddings (b, D) of the same people, of any length; they get no gradient.
            identities: (b,), 0 or more.
        """
        with torch.autocast(probes.device.type, enabled=False):
            exact = torch.promote_types(probes.dtype, torch.float32)
            directions, norms = split(distributed.gather_rows(probes.to(exact)))
            prototypes, identities = self._prototypes(galleries, identities)
            places = self._places(len(prototypes))
            first, last = distributed.own_bounds(len(self.queue))
            here = (places >= first) & (places < last)
            columns = torch.where(here, places - first, -1)
            # A copy: the queue itself is written before the backward pass.
            candidates = self.queue[first:last].to(exact, copy=True)
            candidates[columns[here]] = prototypes[here].to(exact)
            logits = self.margin(directions @ candidates.T, columns, norms)
            if self.mask_duplicates:
                known = self.identities.index_copy(0, places, identities)[first:last]
                own = torch.arange(first, last, device=places.device) == places[:, None]
                logits = logits.masked_fill((known == identities[:, None]) & ~own, -torch.inf)
        return logits, columns

    @torch.no_grad()
    def store(self, galleries: Tensor, identities: Tensor) -> None:
        """Write the galleries (b, D) of all ranks over the oldest prototypes."""
        prototypes, identities = self._prototypes(galleries, identities)
        places = self._places(len(prototypes))
        self.queue.index_copy_(0, places, prototypes.to(self.queue.dtype))
        self.identities.index_copy_(0, places, identities)
        self.index.add_(len(places)).remainder_(len(self.queue))

    def known(self) -> Tensor:
        """The identities in the queue, sorted: those that the next epoch should leave out as long as it can."""
        return self.identities[self.identities >= 0].unique()

    @torch.no_grad()
    def _prototypes(self, galleries: Tensor, identities: Tensor) -> tuple[Tensor, Tensor]:
        """Directions (B, D) and identities (B,) of all ranks."""
        exact = torch.promote_types(galleries.dtype, torch.float32)
        whole, identities = distributed.gather_batch(galleries.detach().to(exact), identities)
        prototypes = split(whole)[0]
        if len(prototypes) > len(self.queue):
            raise InputError(f"prototypes: a step brings {len(prototypes)}, the queue holds {len(self.queue)}")
        return prototypes, identities

    def _places(self, count: int) -> Tensor:
        return (self.index + torch.arange(count, device=self.index.device)) % len(self.queue)


class SemiSiamese(nn.Module):
    """Both images of every person as a probe against one queue; https://arxiv.org/abs/2007.08398.

    Args:
        queue: the prototypes.
    """

    def __init__(self, queue: PrototypeQueue) -> None:
        super().__init__()
        self.queue = queue

    def forward(
        self, probes: tuple[Tensor, Tensor], galleries: tuple[Tensor, Tensor], identities: Tensor
    ) -> dict[str, Tensor]:
        """The loss from embeddings (b, D) of the first and the second image of b people.

        In training one of the two galleries, by a coin, is written into the queue.
        """
        loss = (self.queue(probes[0], galleries[1], identities) + self.queue(probes[1], galleries[0], identities)) / 2
        if self.training:
            coin = distributed.broadcast(torch.rand((), device=identities.device))
            self.queue.store(torch.where(coin > 0.5, galleries[0], galleries[1]), identities)
        return {"prototype": loss}


class HeterogeneousSemiSiamese(nn.Module):
    """Visible and near-infrared images: a probe of one kind against the prototypes of the other.

    FaceX-Zoo's form of semi-siamese training for two kinds of cameras, https://arxiv.org/abs/2101.04407.

    Args:
        visible, infrared: the prototypes of either kind.
    """

    def __init__(self, visible: PrototypeQueue, infrared: PrototypeQueue) -> None:
        super().__init__()
        self.visible, self.infrared = visible, infrared

    def forward(
        self, visible: tuple[Tensor, Tensor], infrared: tuple[Tensor, Tensor], identities: Tensor
    ) -> dict[str, Tensor]:
        """The loss from the probe and the gallery (b, D) of either kind; in training both queues are written."""
        loss = (
            self.visible(infrared[0], visible[1], identities) + self.infrared(visible[0], infrared[1], identities)
        ) / 2
        if self.training:
            self.visible.store(visible[1], identities)
            self.infrared.store(infrared[1], identities)
        return {"prototype": loss}
