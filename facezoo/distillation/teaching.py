"""What a teacher is to the mode that learns from it; `facezoo.teacher` makes them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from torch import Tensor

from facezoo.distillation.loss import Shape
from facezoo.heads.classifier import Classifier


@dataclass(frozen=True, eq=False)
class Shown:
    """What a teacher gives for a batch, without gradients.

    Attributes:
        embeddings: (b, D_t), not normalised.
        known: (b,) bool, the images that it has an embedding of; None for all. The others' rows are 0.
        maps: by halvings of the crop, see `facezoo.distillation.maps.Maps`; empty unless it was asked for them.
    """

    embeddings: Tensor
    known: Tensor | None = None
    maps: Mapping[int, Tensor] = field(default_factory=dict)


class Teacher(ABC):
    """Not a module: a mode that has one neither trains, saves nor moves it.

    Attributes:
        embedding_dim: D_t.
        head: its classifier over the classes of the data, in evaluation mode; None without.
        map_shapes: of its feature maps by halvings of the crop; empty where it has none to show.
    """

    embedding_dim: int
    head: Classifier | None = None

    @property
    def map_shapes(self) -> Mapping[int, Shape]:
        return {}

    def want_maps(self, stages: Iterable[int]) -> None:
        """Show the maps at these halvings of the crop alone."""
        return  # one without maps has none to leave out

    @abstractmethod
    def __call__(self, images: Tensor, samples: Tensor) -> Shown:
        """What it gives for the student's images (b, 3, H, W), RGB in [-1, 1], which are `samples` (b,) of the data."""
