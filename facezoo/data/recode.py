"""Image files in memory: which kind they are, and encoding them anew in another kind or size."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass

from PIL import Image as Pillow

from facezoo.align import fit
from facezoo.image import decode_image, encode_jpeg
from facezoo.registry import parse_spec
from facezoo.types import Image, InputError

_KINDS = re.compile(
    rb"(?P<jpg>\xff\xd8\xff)|(?P<png>\x89PNG\r\n\x1a\n)|(?P<webp>RIFF....WEBP)|(?P<gif>GIF8[79]a)"
    rb"|(?P<tif>II\*\0|MM\0\*)|(?P<bmp>BM)|(?P<ppm>P[56]\s)",
    re.DOTALL,
)

MAX_SIZE = 4096


def image_kind(data: bytes) -> str | None:
    """The usual ending of an image file's kind, such as `jpg`, by its first bytes; None if it is none that is read."""
    found = _KINDS.match(data)
    return found.lastgroup if found else None


@dataclass(frozen=True)
class Recoding:
    """How images are encoded anew.

    Args:
        kind: `jpeg`, or `png`, which loses nothing.
        quality: of a JPEG, 1 to 100.
        size: height and width, pixels; None keeps them. Shrinking takes means of pixels, growing is bilinear.
    """

    kind: str = "jpeg"
    quality: int = 95
    size: int | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.quality <= 100:
            raise InputError(f"quality is {self.quality}, it must be 1 to 100")
        if self.size is not None and not 1 <= self.size <= MAX_SIZE:
            raise InputError(f"size is {self.size}, it must be 1 to {MAX_SIZE} pixels")

    def __call__(self, data: bytes, name: str) -> bytes:
        """The bytes of the new file.

        Raises:
            InputError: the old one does not decode.
        """
        image = decode_image(data, name)
        if self.size is not None:
            image = fit(image, (self.size, self.size))
        return _png(image) if self.kind == "png" else encode_jpeg(image, self.quality)


def _png(image: Image) -> bytes:
    buffer = io.BytesIO()
    Pillow.fromarray(image).save(buffer, format="PNG")
    return buffer.getvalue()


def parse_recoding(encode: str | None, size: int | None) -> Recoding | None:
    """The recoding of `jpeg:quality=95` or `png` and a size; None where neither is given.

    A size alone encodes as JPEG.

    Raises:
        InputError: another kind or option.
    """
    if encode is None:
        return None if size is None else Recoding(size=size)
    kind, options = parse_spec(encode)
    quality = options.pop("quality", "95") if kind == "jpeg" else "95"
    if kind not in ("jpeg", "png") or options or not quality.isdecimal():
        raise InputError(f"encode: {encode!r} is neither jpeg:quality=1..100 nor png")
    return Recoding(kind, int(quality), size)
