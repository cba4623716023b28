"""Metric learning: embeddings of a batch against each other, without class centres."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from facezoo.modes.base import Mode
from facezoo.registry import MODES
from facezoo.types import InputError


@MODES.register
class Metric(Mode):
    """The losses of `model.embedding_losses` alone: triplets, pairs, proxies.

    Batches need several images of an identity: `identities:each=4`.

    Args:
        backbone: the network.
        embedding_losses: by name, see `facezoo.heads.create_embedding_losses`.
    """

    def __init__(self, backbone: nn.Module, embedding_losses: nn.ModuleDict) -> None:
        super().__init__()
        if not len(embedding_losses):
            raise InputError('mode metric: there is no loss; write model.embedding_losses = ["triplet"]')
        self.backbone, self.embedding_losses = backbone, embedding_losses

    def check_order(self, first_batch: Callable[[], Tensor]) -> None:
        if any(
            getattr(loss, "per_class", ()) for loss in self.embedding_losses.values()
        ):  # it compares with something of its own
            return
        labels = first_batch()
        if len(labels.unique()) == len(labels):
            raise InputError(
                "mode metric: the images of the first batch show a different person each, which leaves no pairs to "
                "learn from; write data.sampler = 'identities:each=4'"
            )

    def forward(self, images: Tensor, labels: Tensor, samples: Tensor) -> dict[str, Tensor]:
        embeddings = self.backbone(images)
        return {name: loss(embeddings, labels) for name, loss in self.embedding_losses.items()}
