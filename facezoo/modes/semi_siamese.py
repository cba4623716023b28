"""Semi-siamese training: classification among prototypes, for many identities with two images each."""

from __future__ import annotations

from torch import Tensor, nn

from facezoo.heads import prototype
from facezoo.modes.base import Mode
from facezoo.modes.gallery import GalleryNetwork
from facezoo.modes.side_by_side import side_by_side
from facezoo.registry import MODES


@MODES.register(name="semi_siamese")
class SemiSiamese(Mode):
    """One image of a person is the probe, the other the gallery, and the reverse; https://arxiv.org/abs/2007.08398.

    Batches are those of the sampler `pairs:exclude=Q`. The queue, its place and the network of the galleries are
    saved, so that a resumed run goes on where it stopped.

    Args:
        backbone: the network of the probes.
        margin: spec string of a head, which compares probes with prototypes.
        queue: Q, prototypes that a probe is compared with; a batch may bring as many at most.
        decay: of the moving average that embeds the galleries.
        ema_buffers: average the statistics of its BatchNorm too, and use them.
        shuffle_norm: deal the galleries' batches out anew over the processes, for the sake of BatchNorm.
        mask_duplicates: leave prototypes of the probe's own identity out, where the sampler does not keep them away.
    """

    def __init__(
        self,
        backbone: nn.Module,
        margin: str,
        queue: int = 16384,
        decay: float = 0.999,
        ema_buffers: bool = False,
        shuffle_norm: bool = True,
        mask_duplicates: bool = False,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.gallery = GalleryNetwork(backbone, decay, ema_buffers, shuffle_norm)
        prototypes = prototype.PrototypeQueue(int(backbone.embedding_dim), queue, margin, mask_duplicates)
        self.head = prototype.SemiSiamese(prototypes)

    def forward(self, images: Tensor, labels: Tensor, samples: Tensor) -> dict[str, Tensor]:
        (first, second), identities = side_by_side(images, labels, 2, "pairs")
        probes = self.backbone(first), self.backbone(second)
        galleries = self.gallery(first), self.gallery(second)
        return self.head(probes, galleries, identities)

    def train(self, mode: bool = True) -> SemiSiamese:
        super().train(mode)
        self.gallery.train_like(self.backbone)
        return self

    def after_step(self) -> None:
        self.gallery.follow(self.backbone)
