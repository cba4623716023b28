"""The student's embedding is to be the teacher's."""

from __future__ import annotations

import torch
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
        centred: take the mean of the teacher's directions off first. A teacher that was trained on distances, such as
            dlib's, points into one half of space: two strangers have a cosine of 0.84, and a student that always gives
            the mean is nearly right. Cosines of the student then begin at 0.
        embedding_dim: of the teacher.
    """

    formula = "1 - mean_i cos(s_i, t_i); centred: 1 - mean_i cos(s_i, t_i / |t_i| - m)"
    same_size = True

    mean: Tensor | None
    count: Tensor | None

    def __init__(self, weight: float = 1.0, centred: bool = False, embedding_dim: int | None = None) -> None:
        super().__init__(weight)
        if centred and embedding_dim is None:
            raise ValueError("a centred cosine needs the teacher's embedding_dim")
        self.register_buffer("mean", torch.zeros(embedding_dim or 0) if centred else None)
        self.register_buffer("count", torch.tensor(0) if centred else None)

    def loss(self, student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
        directions = split(teacher)[0]
        if self.mean is not None and self.count is not None:
            if self.training:  # the mean of all that was seen, so that it comes to rest
                self.count += len(directions)
                self.mean += (directions - self.mean).sum(0) / self.count
            directions = split(directions - self.mean)[0]
        return 1 - (split(student)[0] * directions).sum(1).mean()


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
