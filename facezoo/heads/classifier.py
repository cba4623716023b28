"""The one owner of class centres: any margin with any loss, over all classes, a rank's part of them, or a sample."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from facezoo import distributed
from facezoo.heads.centres import products, sample_rows, split
from facezoo.registry import HEADS, LOSSES
from facezoo.types import InputError

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}

DRAWN = 4096
"""Centres drawn at once; every rank draws all of them and keeps its own, so that the start does not depend on ranks."""


class Classifier(nn.Module):
    """Class centres with a margin and a loss: embeddings and labels to named losses.

    Under several ranks each owns a part of the classes (`facezoo.distributed.bounds`): embeddings and labels of all
    ranks come together, every rank computes its columns for the whole batch, and the losses, which are those of the
    whole batch, are the same on all ranks. The gradients are those of one process with that batch, once
    DistributedDataParallel has averaged those of the backbone.

    It computes in float32 (float64 stays), also under autocast: near 1 a half-precision cosine moves in steps that
    are wider than a margin's effect.

    Args:
        embedding_dim: D.
        num_classes: C, over all ranks.
        margin: forward(cosine (B, C), labels (B,), norms (B, 1)) -> logits (B, C); see `facezoo.heads.margin`.
        loss: forward(logits (B, C), labels (B,)) -> scalar; see `facezoo.heads.losses`.
        sample_rate: share of its classes that a rank takes part with in a training step, those of the batch always;
            Partial FC, https://arxiv.org/abs/2010.05222. Below 1 the centres' gradient is sparse, see
            `facezoo.optim`: rows that are not sampled do not move and are not decayed.
        sub_centres: K centres a class, of which the nearest counts, as in sub-center ArcFace (ECCV 2020,
            https://www.ecva.net/papers/eccv_2020/papers_ECCV/papers/123560715.pdf); 1 is off.
        centres: how the centres are stored, `fp32` or `bf16`.
        spaces: (C,) number of the label space of each class, None for one space. A sample competes with the classes of
            its own space only, as in TFace's training on several sets: their logits are -inf for it, and to the margin
            they are as unlike as can be.

    Attributes:
        weight: this rank's class centres (C_r, D), of any length; (C_r, K, D) with sub-centres.
        first, last: this rank's classes are first..last - 1.
    """

    spaces: Tensor | None

    def __init__(
        self,
        embedding_dim: int,
        num_classes: int,
        margin: nn.Module,
        loss: nn.Module,
        sample_rate: float = 1.0,
        sub_centres: int = 1,
        centres: Literal["fp32", "bf16"] = "fp32",
        spaces: Sequence[int] | NDArray[np.int64] | None = None,
    ) -> None:
        super().__init__()
        if embedding_dim < 1 or num_classes < 1:
            raise InputError(f"head: {num_classes} classes of {embedding_dim} dimensions; both must be at least 1")
        if num_classes < distributed.ranks():
            raise InputError(f"head: {num_classes} classes cannot be shared by {distributed.ranks()} processes")
        if not 0 < sample_rate <= 1:
            raise InputError(f"head: sample_rate is {sample_rate}, it must be above 0 and at most 1")
        if not 1 <= sub_centres <= 64:
            raise InputError(f"head: sub_centres is {sub_centres}, it must be 1 to 64")
        self.embedding_dim, self.num_classes = embedding_dim, num_classes
        self.margin, self.loss = margin, loss
        self.sample_rate, self.sub_centres = sample_rate, sub_centres
        self.first, self.last = distributed.own_bounds(num_classes)
        if spaces is not None and len(spaces) != num_classes:
            raise InputError(f"head: {len(spaces)} classes have a label space, {num_classes} must")
        self.register_buffer("spaces", None if spaces is None else torch.as_tensor(spaces), persistent=False)
        shape = (sub_centres, embedding_dim) if sub_centres > 1 else (embedding_dim,)
        self.weight = nn.Parameter(torch.empty(self.last - self.first, *shape, dtype=DTYPES[centres]))
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw the centres from N(0, 0.01)."""
        for start in range(0, self.num_classes, DRAWN):
            stop = min(start + DRAWN, self.num_classes)
            drawn = torch.empty(stop - start, *self.weight.shape[1:], device=self.weight.device).normal_(std=0.01)
            own = slice(max(start, self.first) - start, max(min(stop, self.last), start) - start)
            if own.stop > own.start:
                self.weight[start + own.start - self.first : start + own.stop - self.first] = drawn[own]

    def forward(self, embeddings: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Losses by name from this rank's embeddings (b, D), not normalised, and labels (b,) int64 among all classes.

        `classification`, and the margin's `penalty` if it has one; their sum is what to minimise.
        """
        return self.losses_and_logits(embeddings, labels)[0]

    def losses_and_logits(self, embeddings: Tensor, labels: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """`forward`, and the `logits` that the losses were made of, for a loss that compares them with others."""
        with torch.autocast(embeddings.device.type, enabled=False):
            logits, columns, norms = self._logits(embeddings, labels)
            losses = {"classification": distributed.shared(self.loss(logits, columns))}
            if penalty := getattr(self.margin, "penalty", None):
                losses["penalty"] = distributed.shared(penalty(norms))
        return losses, logits

    def logits(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Logits (B, n) with the margin, float32: the whole batch against the columns that take part on this rank."""
        with torch.autocast(embeddings.device.type, enabled=False):
            return self._logits(embeddings, labels)[0]

    def _logits(self, embeddings: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits (B, n), the true classes' columns (B,) and the embeddings' norms (B, 1)."""
        exact = torch.promote_types(embeddings.dtype, torch.float32)
        whole, classes = distributed.gather_batch(embeddings.to(exact), labels)
        directions, norms = split(whole)
        columns, rows = self._columns(classes)
        strange = self._strange(classes, rows)
        arguments = [self._cosine(directions, self.weight, rows, strange), columns, norms]
        if getattr(self.margin, "per_class", ()):
            arguments.append(classes)
        if getattr(self.margin, "column_classes", False):
            arguments.append(self._column_classes(rows))
        if getattr(self.margin, "fixed_centres", False):
            arguments.append(self._cosine(directions, self.weight.detach(), rows, strange))
        logits = self.margin(*arguments)
        return logits if strange is None else logits.masked_fill(strange, -torch.inf), columns, norms

    def _cosine(self, directions: Tensor, weight: Tensor, rows: Tensor | None, strange: Tensor | None) -> Tensor:
        cosine = products(directions, weight, rows, getattr(self.margin, "unit_centres", True))
        cosine = cosine.amax(2) if self.sub_centres > 1 else cosine
        return cosine if strange is None else cosine.masked_fill(strange, -1)

    def _column_classes(self, rows: Tensor | None) -> Tensor:
        """The classes (n,), among all, that are the columns."""
        own = torch.arange(self.last - self.first, device=self.weight.device) if rows is None else rows
        return own + self.first

    def _strange(self, classes: Tensor, rows: Tensor | None) -> Tensor | None:
        """(B, n) bool: the columns of other label spaces than the row's; None where there is one space."""
        if self.spaces is None:
            return None
        return self.spaces[classes][:, None] != self.spaces[self._column_classes(rows)]

    def _columns(self, classes: Tensor) -> tuple[Tensor, Tensor | None]:
        """Each row's true column, -1 where another rank has it, and which of this rank's classes are the columns."""
        if classes.device.type == "cpu" and len(classes) and not 0 <= classes.min() <= classes.max() < self.num_classes:
            found = f"{int(classes.min())} to {int(classes.max())}"
            raise InputError(f"head: labels are {found}, they must be 0 to {self.num_classes - 1}")
        own = (classes >= self.first) & (classes < self.last)
        columns = torch.where(own, classes - self.first, -1)
        if self.sample_rate == 1 or not self.training:
            return columns, None
        here = self.last - self.first
        rows = sample_rows(here, max(1, int(self.sample_rate * here)), columns[own].unique())
        return torch.where(own, torch.searchsorted(rows, columns), -1), rows

    def extra_repr(self) -> str:
        own = "" if self.last - self.first == self.num_classes else f", here {self.first} to {self.last - 1}"
        return (
            f"embedding_dim={self.embedding_dim}, num_classes={self.num_classes}{own}, "
            f"sample_rate={self.sample_rate:g}, sub_centres={self.sub_centres}"
        )


def create_head(
    spec: str,
    embedding_dim: int,
    num_classes: int,
    loss: str = "cross_entropy",
    sample_rate: float = 1.0,
    sub_centres: int = 1,
    centres: Literal["fp32", "bf16"] = "fp32",
    spaces: Sequence[int] | NDArray[np.int64] | None = None,
) -> Classifier:
    """A classifier from the spec strings of a margin and a loss, such as `arcface:margin=0.5` and `focal:gamma=2`.

    Raises:
        InputError: one of them cannot be made, or sets the number of classes itself.
    """
    given = {"num_classes": num_classes}
    return Classifier(
        embedding_dim,
        num_classes,
        HEADS.create_for(spec, **given),
        LOSSES.create_for(loss, **given),
        sample_rate,
        sub_centres,
        centres,
        spaces,
    )
