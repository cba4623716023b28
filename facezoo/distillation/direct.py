"""The student's embedding is to be the teacher's."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from facezoo.distillation.loss import EmbeddingDistillation
from facezoo.heads.centres import split
from facezoo.registry import DISTILLATION_LOSSES


@DISTILLATION_LOSSES.register
class Cosine(EmbeddingDistillation):
    """The angle between both embeddings; lengths are left to the student.

    Args:
        weight: factor of the loss.
    """

    formula = "1 - mean_i cos(s_i, t_i)"
    same_size = True

    def loss(self, student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
        return 1 - (split(student)[0] * split(teacher)[0]).sum(1).mean()


@DISTILLATION_LOSSES.register
class MSE(EmbeddingDistillation):
    """Squared differences of both embeddings, lengths included: TFace's Hint.

    Args:
        weight: factor of the loss.
    """

    formula = "mean_id (s_id - t_id)^2"
    same_size = True

    def loss(self, student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
        return F.mse_loss(student, teacher)


DISTILLATION_LOSSES.preset("hint@tface", "mse")
