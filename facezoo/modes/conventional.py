"""Classification over identities: backbone, head, loss."""

from __future__ import annotations

from torch import Tensor, nn

from facezoo.modes.base import Mode
from facezoo.registry import MODES


@MODES.register
class Conventional(Mode):
    """Embeddings of a batch against the class centres.

    Args:
        backbone: the network.
        head: a classifier over all identities.
    """

    def __init__(self, backbone: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.backbone, self.head = backbone, head

    def forward(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        return self.head(self.backbone(images), labels)
