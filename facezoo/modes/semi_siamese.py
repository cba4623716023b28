"""Semi-siamese training: classification among prototypes, for many identities with two images each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from facezoo.data.problems import Labels
from facezoo.heads import prototype
from facezoo.modes.base import Mode
from facezoo.modes.gallery import GalleryNetwork
from facezoo.modes.side_by_side import branches, groups
from facezoo.registry import MODES
from facezoo.types import InputError


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
        self.backbone, self.queue, self.own_negatives = backbone, queue, not mask_duplicates
        self.gallery = GalleryNetwork(backbone, decay, ema_buffers, shuffle_norm)
        dim = int(backbone.embedding_dim)  # type: ignore[arg-type]
        self.head = self._head(lambda: prototype.PrototypeQueue(dim, queue, margin, mask_duplicates))

    def _head(self, queue: Callable[[], prototype.PrototypeQueue]) -> nn.Module:
        return prototype.SemiSiamese(queue())

    def train(self, mode: bool = True) -> SemiSiamese:
        super().train(mode)
        self.gallery.train_like(self.backbone)
        return self

    def after_step(self) -> None:
        self.gallery.follow(self.backbone)

    def check_order(self, first_batch: Callable[[], Tensor]) -> None:
        self._pairs(first_batch())

    def _pairs(self, labels: Tensor) -> Tensor:
        wanted = f"two of each identity; write data.sampler = 'pairs:exclude={self.queue}'"
        return groups(labels, 2, lambda found: found[:, 0] == found[:, 1], wanted)

    def forward(self, images: Tensor, labels: Tensor, samples: Tensor) -> dict[str, Tensor]:
        pairs = self._pairs(labels)
        first, second = images[pairs[:, 0]], images[pairs[:, 1]]
        probes = self.backbone(first), self.backbone(second)
        galleries = self.gallery(first), self.gallery(second)
        return self.head(probes, galleries, labels[pairs[:, 0]])


@MODES.register(name="heterogeneous_semi_siamese")
class HeterogeneousSemiSiamese(SemiSiamese):
    """Semi-siamese training for two kinds of cameras: a probe of one kind against prototypes of the other.

    FaceX-Zoo's, https://arxiv.org/abs/2101.04407. The data are two sets, of visible and of infrared photos, whose
    identities have the same names; batches are those of the sampler `branches:same=true,exclude=Q`.

    Args:
        sets: (C,) the set of each class.
        people: (C,) the person of each class.
        queue: Q, prototypes of each kind.
        options: the others, as for `semi_siamese`.
    """

    sets: Tensor
    people: Tensor

    def __init__(
        self,
        backbone: nn.Module,
        margin: str,
        sets: Labels,
        people: Labels,
        queue: int = 256,
        **options: Any,
    ) -> None:
        super().__init__(backbone, margin, queue, **options)
        count = int(sets.max()) + 1
        if count != 2:
            raise InputError(
                f"mode heterogeneous_semi_siamese: the data are {count} set{'s' * (count > 1)}, it takes two, visible "
                'and infrared; write data.train = multi:sets=["VISIBLE","INFRARED"]'
            )
        # On the CPU also where a dry run makes tensors without memory: their values are looked at.
        self.register_buffer("sets", torch.as_tensor(sets, device="cpu"), persistent=False)
        self.register_buffer("people", torch.as_tensor(people, device="cpu"), persistent=False)

    def _head(self, queue: Callable[[], prototype.PrototypeQueue]) -> nn.Module:
        return prototype.HeterogeneousSemiSiamese(queue(), queue())

    def check_order(self, first_batch: Callable[[], Tensor]) -> None:
        self._places(first_batch().to(self.sets.device))

    def _places(self, labels: Tensor) -> Tensor:
        wanted = (
            "a visible and an infrared one of each identity; write data.sampler = "
            f"'branches:same=true,exclude={self.queue}'"
        )
        return branches(labels, self.sets, 1, wanted, self.people)[:, :, 0]

    def forward(self, images: Tensor, labels: Tensor, samples: Tensor) -> dict[str, Tensor]:
        places = self._places(labels)
        visible, infrared = images[places[:, 0]], images[places[:, 1]]
        return self.head(
            (self.backbone(visible), self.gallery(visible)),
            (self.backbone(infrared), self.gallery(infrared)),
            self.people[labels[places[:, 0]]],
        )
