"""Evaluation-oriented distillation: false matches and misses at the working points of verification."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from facezoo.distillation.loss import EmbeddingDistillation
from facezoo.heads.centres import split
from facezoo.registry import DISTILLATION_LOSSES
from facezoo.types import InputError

RATES = (10, 100, 1000, 10_000, 100_000, 1_000_000)
"""One in so many pairs of different people is above the threshold of a working point."""

TEMPERATURE = 0.01
CLAMP = 50.0
"""Of the exponents of the soft ranks: beyond, there is no gradient."""


@DISTILLATION_LOSSES.register
class EKD(EmbeddingDistillation):
    """Soft ranks of cosines among the thresholds of the false match rates 1e-1 to 1e-6; https://arxiv.org/abs/2206.02325.

    A batch has pairs of one person: the sampler `identities`. Thresholds are moving averages over the batches, for
    student and teacher each; where a batch has fewer pairs than a rate asks for, its hardest one stands for it.

    Args:
        positives: factor of the pairs of one person.
        negatives: factor of the pairs of different people.
        hardest: so many pairs of different people count, those most alike to the student.
        momentum: share of a new batch in the thresholds.
        start: thresholds start from the first `batch`, or from `zero` as in TFace.
        weight: factor of the whole.

    Attributes:
        student_anchors, teacher_anchors: the thresholds (6,).
    """

    formula = "mean over pairs (R_s - R_t)^2, R(x) = sum_k sigmoid((x - threshold_k) / 0.01)"
    least = 2
    student_anchors: Tensor
    teacher_anchors: Tensor
    begun: Tensor

    def __init__(
        self,
        positives: float = 0.02,
        negatives: float = 0.01,
        hardest: int = 2000,
        momentum: float = 0.01,
        start: Literal["batch", "zero"] = "batch",
        weight: float = 1.0,
    ) -> None:
        super().__init__(weight)
        if positives < 0 or negatives < 0 or positives + negatives == 0:
            raise InputError(
                f"ekd: positives is {positives} and negatives is {negatives}; one must be above 0, none below"
            )
        if hardest < 1 or not 0 < momentum <= 1:
            raise InputError(
                f"ekd: hardest is {hardest} and momentum is {momentum}; write hardest from 1, momentum above 0 to 1"
            )
        self.positives, self.negatives = positives, negatives
        self.hardest, self.momentum = hardest, momentum
        self.register_buffer("student_anchors", torch.zeros(len(RATES)))
        self.register_buffer("teacher_anchors", torch.zeros(len(RATES)))
        self.register_buffer("begun", torch.tensor(start == "zero"))

    def loss(self, student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
        above = torch.triu(torch.ones(len(labels), len(labels), dtype=torch.bool, device=labels.device), 1)
        same = labels[:, None] == labels
        own, target = (directions @ directions.T for directions in (split(student)[0], split(teacher)[0]))
        own_negatives, target_negatives = (cosine[above & ~same] for cosine in (own, target))
        if self.training and len(own_negatives):
            self._move(own_negatives.detach(), target_negatives)
        hard = own_negatives.detach().topk(min(self.hardest, len(own_negatives))).indices
        return self.positives * self._difference(own[above & same], target[above & same]) + (
            self.negatives * self._difference(own_negatives[hard], target_negatives[hard])
        )

    @torch.no_grad()
    def _move(self, student: Tensor, teacher: Tensor) -> None:
        for anchors, cosines in ((self.student_anchors, student), (self.teacher_anchors, teacher)):
            places = torch.tensor([len(cosines) // rate for rate in RATES], device=cosines.device)
            found = cosines.sort(descending=True).values[places].to(anchors.dtype)
            anchors.copy_(torch.where(self.begun, torch.lerp(anchors, found, self.momentum), found))
        self.begun.fill_(True)

    def _difference(self, student: Tensor, teacher: Tensor) -> Tensor:
        """The mean squared difference of soft ranks of cosines (n,); 0 without any."""
        squares = (soft_rank(student, self.student_anchors) - soft_rank(teacher, self.teacher_anchors)).square()
        return squares.sum() / max(1, len(squares))


DISTILLATION_LOSSES.preset("ekd@tface", "ekd:start=zero")


def soft_rank(cosines: Tensor, anchors: Tensor) -> Tensor:
    """Above how many of the anchors (6,) the cosines (n,) are, softly."""
    return ((cosines[:, None] - anchors.to(cosines.dtype)) / TEMPERATURE).clamp(-CLAMP, CLAMP).sigmoid().sum(1)
