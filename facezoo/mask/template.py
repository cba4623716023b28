"""What can be worn: surfaces around the head with a texture, drawn by a recipe or read from a file."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property, lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from facezoo.mask.pose import following
from facezoo.registry import WEARABLES
from facezoo.types import FloatArray

Texture = NDArray[np.uint8]
"""uint8 RGBA (H, W, 4); the colours are those in good white light."""


@dataclass(frozen=True, eq=False)
class Part:
    """One surface of a thing that is worn.

    Attributes:
        grid: (R, C, 3) head coordinates; rows downwards, columns to the right as seen from outside.
        texture: stretched over the grid from corner to corner.
        shadow: share of the light it takes from the skin beside it.
        skin: the colours multiply the colour of the face's skin instead of a white light.
        gloss: share of the light that it mirrors.
        faces: it does not turn with the head, but lies before it as the viewer sees it.
    """

    grid: FloatArray
    texture: Texture
    shadow: float = 0.35
    skin: bool = False
    gloss: float = 0.0
    faces: bool = False

    @cached_property
    def follow(self) -> FloatArray:
        """(R * C, RANK) float32: how the surface follows what parts a face's mesh from the mean one."""
        return following(self.grid.reshape(-1, 3))

    @cached_property
    def triangles(self) -> NDArray[np.int32]:
        """(T, 3) corners into the flattened grid, of the cells on which there is anything."""
        rows, columns = self.grid.shape[:2]
        alpha = (self.texture[..., 3] > 0).astype(np.uint8) * 255
        # A cell is there if anything within it or at its edge is.
        wide = cv2.dilate(alpha, np.ones((3, 3), np.uint8))
        cells = cv2.resize(wide, (columns - 1, rows - 1), interpolation=cv2.INTER_AREA) > 0
        row, column = np.nonzero(cells)
        corner = (row * columns + column).astype(np.int32)
        right, below, across = corner + 1, corner + columns, corner + columns + 1
        return np.concatenate([np.stack([corner, below, right], axis=1), np.stack([right, below, across], axis=1)])

    @cached_property
    def levels(self) -> list[Texture]:
        """The texture and its halves, colours weighted by how much they cover."""
        found = [self.texture]
        while min(found[-1].shape[:2]) > 16:
            fine = found[-1].astype(np.float32)
            fine[..., :3] *= fine[..., 3:]
            size = (max(1, fine.shape[1] // 2), max(1, fine.shape[0] // 2))
            coarse = cv2.resize(fine, size, interpolation=cv2.INTER_AREA)
            weight = np.maximum(coarse[..., 3:], 1e-3)
            colors = np.where(coarse[..., 3:] > 1, coarse[..., :3] / weight, cv2.resize(found[-1], size)[..., :3])
            found.append(np.clip(np.rint(np.dstack([colors, coarse[..., 3]])), 0, 255).astype(np.uint8))
        return found


@dataclass(frozen=True, eq=False)
class Template:
    """A thing that is worn, ready to be put on.

    Attributes:
        name: what it is, as the recipe calls it.
        parts: from the lowest to the uppermost layer.
    """

    name: str
    parts: tuple[Part, ...]


class Recipe(ABC):
    """How a thing is drawn; subclasses are frozen dataclasses of their options, registered in `WEARABLES`."""

    @abstractmethod
    def draw(self, rng: np.random.Generator) -> Template:
        """One piece; the same generator state gives the same bytes."""

    def stamp(self) -> tuple[int, ...]:
        """Tells a file that the recipe reads from what it was before; nothing of a recipe without files."""
        return ()


def drawn(spec: str, piece: int) -> Template:
    """Piece number `piece` of a recipe's spec string such as `surgical:color=blue`; kept while its file is the same."""
    return _drawn(spec, piece, create_recipe(spec).stamp())


@lru_cache(maxsize=256)
def _drawn(spec: str, piece: int, _: tuple[int, ...]) -> Template:
    return create_recipe(spec).draw(np.random.default_rng([piece, 0x3A5C]))


@lru_cache(maxsize=64)
def create_recipe(spec: str) -> Recipe:
    """The recipe of a spec string; a path that ends with .png is one of a file.

    Raises:
        InputError: an unknown name or option, or a file that is no template.
    """
    # A path may have a colon, as those of Windows do.
    if spec.lower().endswith(".png") and spec.partition(":")[0] not in WEARABLES.names():
        spec = f"png:path='{spec}'"
    recipe: Recipe = WEARABLES.create(spec)
    return recipe
