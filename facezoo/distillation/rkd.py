"""Relational knowledge distillation: distances and angles between the images of a batch."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from facezoo.distillation.loss import EmbeddingDistillation
from facezoo.heads.embedding_loss import distances
from facezoo.registry import DISTILLATION_LOSSES
from facezoo.types import InputError

BLOCK = 1 << 24
"""Numbers of differences and angles that are held at once."""


@DISTILLATION_LOSSES.register
class RKD(EmbeddingDistillation):
    """Distances of all pairs, divided by their mean, and angles of all triplets; https://arxiv.org/abs/1904.05068.

    The angles of large batches are computed in blocks, and again in the backward pass.

    Args:
        distance: factor of the distances' part; 0 leaves it out.
        angle: factor of the angles' part; 0 leaves it out.
        weight: factor of the whole.
    """

    formula = "distance smoothL1(d_s / mean d_s, d_t / mean d_t) + angle smoothL1(cos_s, cos_t of all triplets)"
    least = 2

    def __init__(self, distance: float = 25.0, angle: float = 50.0, weight: float = 1.0) -> None:
        super().__init__(weight)
        if distance < 0 or angle < 0 or distance + angle == 0:
            raise InputError(f"rkd: distance is {distance} and angle is {angle}; one must be above 0, none below")
        self.distance, self.angle = distance, angle

    def loss(self, student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
        parts = []
        if self.distance:
            parts.append(self.distance * F.smooth_l1_loss(_relative(student), _relative(teacher)))
        if self.angle:
            parts.append(self.angle * _angles(student, teacher))
        return torch.stack(parts).sum()


def _relative(embeddings: Tensor) -> Tensor:
    """Distances (B, B) divided by the mean of those that are not 0."""
    apart = distances(embeddings)
    found = apart[apart > 0]
    return apart / found.mean() if len(found) else apart


def _angles(student: Tensor, teacher: Tensor) -> Tensor:
    """The mean over all triplets of what the cosines differ, smooth L1."""
    count = len(student)
    size = max(1, BLOCK // (count * (count + max(student.shape[1], teacher.shape[1]))))
    sums = []
    for start in range(0, count, size):
        apexes = slice(start, start + size)
        if size < count and student.requires_grad:
            sums.append(checkpoint(_block, student, teacher, apexes, use_reentrant=False))
        else:
            sums.append(_block(student, teacher, apexes))
    return torch.stack(sums).sum() / count**3


def _block(student: Tensor, teacher: Tensor, apexes: slice) -> Tensor:
    return F.smooth_l1_loss(_cosines(student, apexes), _cosines(teacher, apexes), reduction="sum")


def _cosines(embeddings: Tensor, apexes: slice) -> Tensor:
    """Of the angles (n, B, B) at these images between any two others; 0 where one of the two is the image itself."""
    sides = F.normalize(embeddings[None] - embeddings[apexes][:, None], dim=2)
    return sides @ sides.transpose(1, 2)
