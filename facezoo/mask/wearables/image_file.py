"""Masks drawn elsewhere: PNG files in the layout."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image as Pillow
from PIL import UnidentifiedImageError

from facezoo.files import whole_file
from facezoo.mask.drawing import SIDE, from_pixels, varied
from facezoo.mask.shell import Fit, shell, straps
from facezoo.mask.template import Recipe, Template, Texture
from facezoo.mask.wearables.surgical import ribbon
from facezoo.registry import WEARABLES
from facezoo.types import FloatArray, InputError

SMALLEST, LARGEST = 64, 4096
"""Pixels a side of a template's file."""

INNER = 0.03
"""Straps begin so far within the corner, face places."""

LEAST = 0.005
"""Share of the layout that a template covers at least."""


@WEARABLES.register(name="png")
@dataclass(frozen=True)
class ImageFile(Recipe):
    """An RGBA picture in the layout, of the cloth in good white light; `facezoo mask guide` draws the layout.

    Args:
        path: square PNG with transparency.
        straps: ear loops in the colour of the rim.
        taut: 1 stretches it over nose and chin, 0 leaves it on the skin.
        bulge: how far its middle stands off beyond that, in half widths of the face.
    """

    path: Path
    straps: bool = True
    taut: float = 0.9
    bulge: float = 0.02

    def __post_init__(self) -> None:
        if not 0 <= self.taut <= 1 or not 0 <= self.bulge <= 0.5:
            raise InputError(f"{self.path}: taut is {self.taut} (0 to 1) and bulge {self.bulge} (0 to 0.5)")

    def stamp(self) -> tuple[int, ...]:
        if not self.path.is_file():  # told when it is drawn
            return ()
        about = self.path.stat()
        return about.st_size, about.st_mtime_ns

    def draw(self, rng: np.random.Generator) -> Template:
        texture = read_texture(self.path)
        part = shell(texture, Fit(taut=self.taut, bulge=self.bulge))
        if not self.straps:
            return Template(f"png:path={self.path}", (part,))
        corners, color = _corners(texture)
        loop = ribbon(varied(color, rng), rng)
        return Template(f"png:path={self.path}", (*straps(corners, [0.0, 0.25], 0.055, loop), part))


def read_texture(path: Path) -> Texture:
    """A template's picture, (SIDE, SIDE, 4), its colours carried on below what is transparent.

    Raises:
        InputError: missing, not a PNG with transparency, of a wrong size, or empty.
    """
    try:
        with Pillow.open(path, formats=("PNG",)) as picture:
            width, height = picture.size
            if width != height or not SMALLEST <= width <= LARGEST:
                raise InputError(
                    f"{path}: {width} x {height} pixels; a template is square, {SMALLEST} to {LARGEST} pixels a side"
                )
            if "A" not in picture.getbands() and "transparency" not in picture.info:
                raise InputError(f"{path}: has no transparency; save it as RGBA, transparent where no cloth is")
            pixels = np.asarray(picture.convert("RGBA"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except UnidentifiedImageError:
        raise InputError(f"{path}: is not a PNG file") from None
    except (OSError, SyntaxError, ValueError, Pillow.DecompressionBombError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: the PNG file is damaged or cannot be read ({error})") from None
    weighted = pixels.astype(np.float32)
    weighted[..., :3] *= weighted[..., 3:] / 255
    way = cv2.INTER_AREA if len(pixels) > SIDE else cv2.INTER_LINEAR
    fitted = np.asarray(cv2.resize(weighted, (SIDE, SIDE), interpolation=way), np.float32)
    alpha = fitted[..., 3]
    if (alpha > 127).mean() < LEAST:
        raise InputError(f"{path}: covers nothing; paint the cloth with full opacity")
    return np.dstack([carried_on(fitted[..., :3], alpha / 255), np.clip(np.rint(alpha), 0, 255).astype(np.uint8)])


def write_texture(path: Path, texture: Texture) -> None:
    """Write a template's picture, whole or not at all."""
    with whole_file(path) as temporary:
        Pillow.fromarray(texture).save(temporary, format="PNG")


def carried_on(colors: FloatArray, alpha: FloatArray) -> Texture:
    """RGB (H, W, 3) uint8 of colours that are multiplied by their coverage, those beside it from the nearest."""
    sigma, filled, weight = 1.0, colors.copy(), alpha.copy()
    while (weight < 1e-3).any() and sigma < SIDE:
        wide, share = cv2.GaussianBlur(filled, (0, 0), sigma), cv2.GaussianBlur(weight, (0, 0), sigma)
        empty = weight < 1e-3
        filled[empty], weight[empty] = wide[empty], share[empty]
        sigma *= 2
    return np.clip(np.rint(filled / np.maximum(weight, 1e-6)[..., None]), 0, 255).astype(np.uint8)


def _corners(texture: Texture) -> tuple[list[tuple[float, float]], tuple[float, float, float]]:
    """Where the loops are sewn on, on the right side, and the rim's colour."""
    rows, columns = np.nonzero(texture[..., 3] > 127)
    found = [int((columns - rows).argmax()), int((columns + rows).argmax())]
    ends = [from_pixels(np.array([columns[k], rows[k]])) - (INNER, 0) for k in found]
    outer = columns > np.quantile(columns, 0.97)
    color = np.median(texture[rows[outer], columns[outer], :3], axis=0)
    return [(float(a), float(b)) for a, b in ends], (float(color[0]), float(color[1]), float(color[2]))
