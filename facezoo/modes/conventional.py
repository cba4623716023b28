"""Classification over identities: backbone, head, loss."""

from __future__ import annotations

from torch import Tensor, nn

from facezoo.modes.base import Mode
from facezoo.modes.mixing import mix
from facezoo.registry import MODES
from facezoo.types import InputError


@MODES.register
class Conventional(Mode):
    """Embeddings of a batch against the class centres, and against each other where losses for that are given.

    Mixed images have the loss of both labels, weighted by their shares. Faces rarely gain from it: half a face of two
    people is no harder face of one.

    Args:
        backbone: the network.
        head: a classifier over all identities.
        embedding_losses: by name, see `facezoo.heads.create_embedding_losses`.
        mixup: alpha of mixup, https://arxiv.org/abs/1710.09412, such as 0.2; 0 is off.
        cutmix: alpha of CutMix, https://arxiv.org/abs/1905.04899, such as 1; 0 is off. With both a batch has one of
            the two.

    Raises:
        InputError: a negative alpha, or mixed images with embedding losses, which ask for one label an image.
    """

    def __init__(
        self,
        backbone: nn.Module,
        head: nn.Module,
        embedding_losses: nn.ModuleDict | None = None,
        mixup: float = 0.0,
        cutmix: float = 0.0,
    ) -> None:
        super().__init__()
        for name, alpha in (("mixup", mixup), ("cutmix", cutmix)):
            if not 0 <= alpha < float("inf"):
                raise InputError(f"conventional: {name} is {alpha}, it must be 0 (off) or above")
        if (mixup or cutmix) and embedding_losses:
            raise InputError("conventional: embedding_losses compare images of one label; leave mixup and cutmix out")
        self.backbone, self.head = backbone, head
        self.embedding_losses = embedding_losses or nn.ModuleDict()
        self.mixup, self.cutmix = mixup, cutmix

    def forward(self, images: Tensor, labels: Tensor, samples: Tensor) -> dict[str, Tensor]:
        if self.training and (self.mixup or self.cutmix):
            return self._mixed(images, labels)
        embeddings = self.backbone(images)
        losses = self.head(embeddings, labels)
        return losses | {name: loss(embeddings, labels) for name, loss in self.embedding_losses.items()}

    def _mixed(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        mixed = mix(images, self.mixup, self.cutmix)
        embeddings = self.backbone(mixed.images)
        own, partner = self.head(embeddings, labels), self.head(embeddings, labels[mixed.partner])
        return {name: mixed.share * own[name] + (1 - mixed.share) * partner[name] for name in own}
