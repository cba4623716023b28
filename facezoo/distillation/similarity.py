"""Similarity-preserving distillation: who excites the network as who does."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from facezoo import distributed
from facezoo.distillation.loss import EmbeddingDistillation, MapDistillation
from facezoo.heads.centres import split
from facezoo.registry import DISTILLATION_LOSSES


@DISTILLATION_LOSSES.register(name="sp")
class Similarity(EmbeddingDistillation):
    """Squared differences of the cosines between the images of a batch, as TFace has https://arxiv.org/abs/1907.09682.

    Args:
        weight: factor of the loss.
    """

    formula = "mean_ij (cos(s_i, s_j) - cos(t_i, t_j))^2"

    def loss(self, student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
        own, target = split(student)[0], split(teacher)[0]
        return F.mse_loss(own @ own.T, target @ target.T)


@DISTILLATION_LOSSES.register(name="sp_maps")
class MapSimilarity(MapDistillation):
    """Squared differences of the products between the coarsest maps of a batch; https://arxiv.org/abs/1907.09682.

    Each row of products is scaled to length 1, as in the paper.

    Args:
        weight: gamma.
    """

    formula = "mean_ij (G_s - G_t)_ij^2, G = Q Q' with rows of length 1, Q one row an image"

    def forward(self, student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
        with torch.autocast(student[-1].device.type, enabled=False):
            exact = torch.promote_types(student[-1].dtype, torch.float32)
            maps = student[-1].flatten(1).to(exact), teacher[-1].detach().flatten(1).to(exact)
            own, target = (F.normalize(q @ q.T) for q in distributed.gather_batch(*maps))
            return distributed.shared(self.weight * F.mse_loss(own, target))
