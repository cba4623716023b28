"""What the faces of a photo are drawn to wear."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

import numpy as np

from facezoo.mask.template import drawn
from facezoo.mask.wear import wear
from facezoo.types import FloatArray, Image, InputError

TEMPLATES = ("surgical", "n95", "cloth", "gaiter")


@dataclass(frozen=True)
class Outfit:
    """Templates to draw from.

    Attributes:
        templates: spec strings of `WEARABLES`, or PNG files in the layout, each as likely.
        pieces: different pieces drawn of each.
    """

    templates: tuple[str, ...] = TEMPLATES
    pieces: int = 16

    def __post_init__(self) -> None:
        if not self.templates or not 1 <= self.pieces <= 1000:
            raise InputError(
                f"masks: {len(self.templates)} templates and {self.pieces} pieces of each; 1 template or more and "
                "1 to 1000 pieces are needed"
            )
        for template in self.templates:  # one that cannot be drawn is told before any work
            drawn(template, 0)

    def digest(self) -> str:
        """Tells these templates from any others, also from files of the same names that were changed."""
        digest = sha256(f"{self.templates} {self.pieces}".encode())
        for template in self.templates:
            for part in drawn(template, 0).parts:
                digest.update(part.texture.tobytes() + part.grid.tobytes())
        return digest.hexdigest()[:16]

    def put_on(self, image: Image, meshes: FloatArray, rng: np.random.Generator) -> tuple[Image, list[str]]:
        """The photo with something on each of the faces (K, 468, 3), and what each wears.

        Args:
            meshes: the nearest face first.
        """
        worn, names = image, []
        for mesh in meshes[::-1]:  # the nearest is drawn last
            template = self.templates[rng.integers(len(self.templates))]
            piece = drawn(template, int(rng.integers(self.pieces)))
            worn = wear(worn, mesh, piece, rng).image
            names.append(piece.name)
        return worn, names[::-1]
