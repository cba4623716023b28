"""Distribution distillation: classification of easy and of hard faces, whose similarities are to be alike."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from facezoo.data.problems import Labels
from facezoo.heads import ddl
from facezoo.modes.base import Mode
from facezoo.modes.side_by_side import branches
from facezoo.registry import MODES
from facezoo.types import InputError


@MODES.register(name="ddl")
class DDL(Mode):
    """Cross-entropy of every kind of images, and the distances between their similarities; https://arxiv.org/abs/2002.03662.

    The data are two sets or more, the easy images first; batches are those of the sampler `branches:each=2`: the two
    photos of an identity are a positive pair, the first of them stands for it among the negatives.

    Args:
        backbone: the network.
        head: a classifier over the identities of all sets.
        sets: (C,) the set of each class.
        positive_weight, negative_weight, order_weight, threshold, upper_triangle: see `facezoo.heads.ddl.DDL`.
    """

    sets: Tensor

    def __init__(
        self,
        backbone: nn.Module,
        head: nn.Module,
        sets: Labels,
        positive_weight: float = 0.1,
        negative_weight: float = 0.02,
        order_weight: float = 0.5,
        threshold: float = 0.0,
        upper_triangle: bool = False,
    ) -> None:
        super().__init__()
        if sets.max() < 1:
            raise InputError(
                'mode ddl: the data are one set; write data.train = multi:sets=["EASY","HARD"],separate=true'
            )
        self.backbone, self.head = backbone, head
        self.distances = ddl.DDL(positive_weight, negative_weight, order_weight, threshold, upper_triangle)
        # On the CPU also where a dry run makes tensors without memory: its values are looked at.
        self.register_buffer("sets", torch.as_tensor(sets, device="cpu"), persistent=False)

    def check_order(self, first_batch: Callable[[], Tensor]) -> None:
        self._places(first_batch().to(self.sets.device))

    def _places(self, labels: Tensor) -> Tensor:
        return branches(labels, self.sets, 2, "two of an identity of every set; write data.sampler = 'branches:each=2'")

    def forward(self, images: Tensor, labels: Tensor, samples: Tensor) -> dict[str, Tensor]:
        places = self._places(labels)
        embeddings, labels = self.backbone(images)[places], labels[places]
        kinds = range(places.shape[1])
        pairs = [
            ddl.Branch(embeddings[:, kind, 0], embeddings[:, kind, 1], embeddings[:, kind, 0], labels[:, kind, 0])
            for kind in kinds
        ]
        losses = {"ddl": self.distances(pairs)}
        for kind in kinds:
            found = self.head(embeddings[:, kind].flatten(0, 1), labels[:, kind].flatten())
            losses |= {f"{name}_{kind}": loss for name, loss in found.items()}
        return losses
