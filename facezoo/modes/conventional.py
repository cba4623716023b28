"""Classification over identities: backbone, head, loss."""

from __future__ import annotations

from torch import Tensor, nn

from facezoo.modes.base import Mode
from facezoo.registry import MODES


@MODES.register
class Conventional(Mode):
    """Embeddings of a batch against the class centres, and against each other where losses for that are given.

    Args:
        backbone: the network.
        head: a classifier over all identities.
        embedding_losses: by name, see `facezoo.heads.create_embedding_losses`.
    """

    def __init__(self, backbone: nn.Module, head: nn.Module, embedding_losses: nn.ModuleDict | None = None) -> None:
        super().__init__()
        self.backbone, self.head = backbone, head
        self.embedding_losses = embedding_losses or nn.ModuleDict()

    def forward(self, images: Tensor, labels: Tensor, samples: Tensor) -> dict[str, Tensor]:
        embeddings = self.backbone(images)
        losses = self.head(embeddings, labels)
        return losses | {name: loss(embeddings, labels) for name, loss in self.embedding_losses.items()}
