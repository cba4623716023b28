"""A student that learns from a frozen teacher, beside the labels or without them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from facezoo import distributed
from facezoo.distillation import Shown, Teacher, create_distillation, kinds
from facezoo.distillation.loss import Shape
from facezoo.distillation.maps import Maps
from facezoo.modes.base import Mode
from facezoo.registry import MODES
from facezoo.types import InputError


@MODES.register
class Distillation(Mode):
    """Losses between student and teacher are added to those of the labels; https://arxiv.org/abs/1503.02531.

    The teacher is frozen, in evaluation mode, and no part of what is saved.

    Args:
        backbone: the student.
        teacher: what it learns from.
        distillation: spec strings of the losses between both.
        head: the student's classifier; None where nothing sees its logits.
        embedding_losses: by name, see `facezoo.heads.create_embedding_losses`.
        labels: factor of the head's losses; 0 leaves them out.
        unlabelled: so many images, the first of a batch over all processes, are left out of the head's losses and of
            those between logits: those that the sampler `identities` puts there, in TFace's EKD.

    Attributes:
        projection: takes the student's embeddings to the teacher's dimension for losses that need it; else None.
    """

    def __init__(
        self,
        backbone: nn.Module,
        teacher: Teacher,
        distillation: Sequence[str],
        head: nn.Module | None = None,
        embedding_losses: nn.ModuleDict | None = None,
        labels: float = 1.0,
        unlabelled: int = 0,
    ) -> None:
        super().__init__()
        if not 0 <= labels < math.inf:
            raise InputError(f"distillation: labels is {labels}, it must be at least 0")
        if unlabelled < 0 or (unlabelled and head is None):
            raise InputError(f"distillation: unlabelled is {unlabelled}, it must be 0 unless a head learns from labels")
        self.backbone, self.teacher, self.head = backbone, teacher, head
        self.labels, self.unlabelled = labels, unlabelled
        self.embedding_losses = embedding_losses or nn.ModuleDict()
        seen = kinds(distillation)
        if seen == {"maps"} and (head is None or not labels) and not self.embedding_losses:
            raise InputError(
                "distillation: feature maps alone leave the last layers, which make the embedding, untrained; add a "
                "loss between embeddings such as cosine, or leave labels=0 out"
            )
        self._maps = Maps(backbone) if "maps" in seen else None
        self.stages = _common(self._maps, teacher) if self._maps else []
        self.distillation = create_distillation(
            distillation,
            embedding_dim=teacher.embedding_dim,
            student_maps=self.map_shapes,
            teacher_maps=[teacher.map_shapes[stage] for stage in self.stages],
        )
        if "logits" in seen and head is not None and head.sample_rate < 1:  # type: ignore[operator]
            raise InputError(
                "model.sample_rate: losses between logits compare all classes; leave it at 1, or compare embeddings"
            )
        if not labels and head is not None and getattr(head.loss, "smoothing", None) != 0:
            raise InputError("model.loss has no effect in mode distillation with labels=0; leave it out")
        self.projection = self._projection()

    @property
    def map_shapes(self) -> list[Shape]:
        """Of the student's maps that are compared with the teacher's."""
        return [self._maps.shapes[stage] for stage in self.stages] if self._maps else []

    def _projection(self) -> nn.Linear | None:
        here, there = int(self.backbone.embedding_dim), self.teacher.embedding_dim  # type: ignore[arg-type]
        needed = any(getattr(loss, "same_size", False) for loss in self.distillation.values())
        return nn.Linear(here, there, bias=False) if needed and here != there else None

    def check_order(self, first_batch: Callable[[], Tensor]) -> None:
        if self.unlabelled and self.unlabelled >= (images := len(first_batch())):
            raise InputError(
                f"distillation: unlabelled is {self.unlabelled}, a batch has {images} images; leave some to the labels "
                "or write labels=0"
            )

    def forward(self, images: Tensor, labels: Tensor, samples: Tensor) -> dict[str, Tensor]:
        embeddings, maps = self._maps(images) if self._maps else (self.backbone(images), {})
        shown = self.teacher(images, samples)
        losses, logits = self._classified(embeddings, labels, shown)
        for name, loss in self.embedding_losses.items():
            losses[name] = loss(embeddings, labels)
        for name, loss in self.distillation.items():
            if loss.sees == "embeddings":
                losses[name] = loss(*self._taught(embeddings, labels, shown, bool(loss.same_size)))
            elif loss.sees == "maps":
                losses[name] = loss([maps[s] for s in self.stages], [shown.maps[s] for s in self.stages])
            else:
                losses[name] = loss(*logits)
        return losses

    def _classified(
        self, embeddings: Tensor, labels: Tensor, shown: Shown
    ) -> tuple[dict[str, Tensor], tuple[Tensor, ...]]:
        """The head's losses, and the logits of student and teacher where both have a head."""
        if self.head is None:
            return {}, ()
        own = self._labelled(len(labels), labels.device)
        losses: dict[str, Tensor] = {}
        if self.labels:
            found, logits = self.head.losses_and_logits(embeddings[own], labels[own])  # type: ignore[operator]
            losses = {name: self.labels * loss for name, loss in found.items()}
        else:
            logits = self.head.logits(embeddings[own], labels[own])  # type: ignore[operator]
        if self.teacher.head is None:
            return losses, ()
        with torch.no_grad():
            target = self.teacher.head.to(embeddings.device).logits(shown.embeddings[own], labels[own])
        if shown.known is not None or distributed.ranks() > 1:
            known = torch.ones_like(labels, dtype=torch.bool) if shown.known is None else shown.known
            rows = distributed.gather_rows(known[own].to(torch.int64)) > 0
            logits, target = logits[rows], target[rows]
        return losses, (logits, target)

    def _labelled(self, count: int, device: torch.device) -> slice:
        """Which of this rank's images are behind the first `unlabelled` of the batch of all ranks."""
        if not self.unlabelled:
            return slice(0, None)
        counts = torch.zeros(distributed.ranks(), dtype=torch.int64, device=device)
        counts[distributed.rank()] = count
        counts = distributed.total(counts)
        before = int(counts[: distributed.rank()].sum())
        return slice(min(count, max(0, self.unlabelled - before)), None)

    def _taught(
        self, embeddings: Tensor, labels: Tensor, shown: Shown, same_size: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The student's embeddings, the teacher's and the labels of the images that the teacher knows."""
        if same_size and self.projection is not None:
            with torch.autocast(embeddings.device.type, enabled=False):
                embeddings = self.projection(embeddings.to(self.projection.weight.dtype))
        if shown.known is None:
            return embeddings, shown.embeddings, labels
        return embeddings[shown.known], shown.embeddings[shown.known], labels[shown.known]


def _common(maps: Maps, teacher: Teacher) -> list[int]:
    """The halvings of the crop at which both have a map; no others are collected from now on."""
    common = sorted(maps.shapes.keys() & teacher.map_shapes.keys())
    if not common:
        raise InputError("model.distillation compares feature maps, and student and teacher have none of like size")
    maps.want(common)
    teacher.want_maps(common)
    return common
