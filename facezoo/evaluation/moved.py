"""Crops of one alignment template for a model of another, where there are no raw photos any more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from facezoo.align import TEMPLATES, align, shows, template_points, views_of
from facezoo.evaluation.photos import Photo
from facezoo.types import Contract, Crop


class Moved(Sequence[Photo]):
    """The crops, moved by the similarity between the two templates; black where they end.

    Args:
        photos: crops of any size.
        aligned: their template.
        contract: of the model; template and size of what is read.
    """

    def __init__(self, photos: Sequence[Photo], aligned: str, contract: Contract) -> None:
        self.photos, self.aligned, self.contract = photos, aligned, contract

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, index):
        photo = self.photos[index]
        return replace(photo, source=partial(self._read, photo))

    def _read(self, photo: Photo) -> Crop:
        crop = photo.read()
        points = template_points(self.aligned, (crop.shape[0], crop.shape[1]))
        return align(crop, points, self.contract.template, self.contract.input_size)

    @property
    def words(self) -> str:
        """How the crops are made."""
        template, (height, width) = self.contract.template, self.contract.input_size
        return f"crops aligned to template {self.aligned}, moved to template {template} at {height} x {width}"


def must_move(aligned: str | None, template: str) -> bool:
    """Whether crops of one template hold what a model of another wants, but elsewhere; half a face does not."""
    if aligned not in TEMPLATES or TEMPLATES[aligned].part_of:
        return False
    return (template in TEMPLATES or bool(views_of(template))) and not shows(aligned, template)
