"""Photos in and out: any common file becomes uint8 RGB (H, W, 3), or one sentence says why not."""

from __future__ import annotations

import io
import os
import re
import stat
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image as Pillow
from PIL import ImageOps, UnidentifiedImageError

from facezoo.files import unreadable, whole_file
from facezoo.types import Image, InputError

MAX_PIXELS = 80_000_000
"""Larger images are refused before they are decoded (240 MB as RGB)."""

MAX_BYTES = 200_000_000
"""Larger files are refused before they are read."""

# The MPO files of phones are opened as JPEG.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "PPM")
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm"})


def read_image(path: Path | str) -> Image:
    """Read a photo as a person sees it: EXIF orientation applied, grey, palette, CMYK and 16-bit made RGB.

    Transparent pixels are laid on white. Of an animation the first frame is taken.

    Raises:
        InputError: missing, empty, not an image, truncated, or larger than `MAX_PIXELS`.
    """
    return decode_image(read_file(path), str(path))


def read_file(path: Path | str) -> bytes:
    """The bytes of an image file, at most `MAX_BYTES`.

    Raises:
        InputError: missing, a folder, a pipe or device (whose size says nothing), not readable, or larger.
    """
    try:
        found = os.stat(path)  # noqa: PTH116 - Path costs as much as a small read
        if stat.S_ISDIR(found.st_mode):
            raise InputError(f"{path}: is a folder, not an image")
        if not stat.S_ISREG(found.st_mode):
            raise InputError(f"{path}: is a pipe or device, not a file; save the image to a file first")
        if found.st_size > MAX_BYTES:
            raise InputError(f"{path}: {found.st_size:,} bytes, more than the {MAX_BYTES:,} that are read")
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123
            return file.readall()
    except OSError as error:
        raise unreadable(path, error) from None


def decode_image(data: bytes, name: str = "image") -> Image:
    """As `read_image`, from the bytes of a file; `name` is used in messages."""
    if not data:
        raise InputError(f"{name}: the file is empty")
    # In little more than half the time, to the same pixels; what OpenCV does not decode Pillow says what is wrong with.
    if is_plain_jpeg(data) and (bgr := cv2.imdecode(np.frombuffer(data, np.uint8), _UPRIGHT)) is not None:
        return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB, dst=bgr)  # type: ignore[return-value]
    try:
        with Pillow.open(io.BytesIO(data), formats=FORMATS) as picture:
            width, height = picture.size
            if width * height > MAX_PIXELS:
                raise InputError(
                    f"{name}: {width} x {height} pixels, more than the {MAX_PIXELS:,} that are read; scale it down"
                )
            picture.load()
            return _rgb(ImageOps.exif_transpose(picture))
    except (Pillow.DecompressionBombError, Pillow.DecompressionBombWarning):
        raise InputError(f"{name}: more than the {MAX_PIXELS:,} pixels that are read; scale it down") from None
    except UnidentifiedImageError:
        raise InputError(f"{name}: not an image of a known format ({', '.join(FORMATS)})") from None
    # Pillow's decoders report damaged data by any of these; UserWarning where warnings are turned into errors.
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, OverflowError, UserWarning) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{name}: the image is damaged or truncated ({error})") from None


_UPRIGHT = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION

# Segments of a plain JPEG: frame, scan, Huffman and quantisation tables, restart interval, JFIF, ICC profile, Adobe,
# comment. EXIF is not among them: it may turn the image.
_BASELINE, _PROGRESSIVE, _SCAN = 0xC0, 0xC2, 0xDA
_SEGMENTS = frozenset({_BASELINE, _PROGRESSIVE, _SCAN, 0xC4, 0xDB, 0xDD, 0xE0, 0xE2, 0xEE, 0xFE})
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
"""Within a scan: what is neither data nor a restart."""


def is_plain_jpeg(data: bytes) -> bool:
    """Whether data are one whole JPEG as crops are stored: 8 bits, grey or three colours, no EXIF, no other markers.

    Its size is within `MAX_PIXELS`. A damaged scan may still be taken for whole, and decoders fill it alike.
    """
    if data[:2] != b"\xff\xd8" or data[-2:] != b"\xff\xd9":
        return False
    place, frame, scans = 2, 0, 0
    while place + 4 <= len(data) and data[place] == 0xFF and data[place + 1] in _SEGMENTS:
        kind = data[place + 1]
        if kind in (_BASELINE, _PROGRESSIVE):
            bits, height, width, channels = struct.unpack_from(">BHHB", data, place + 4)
            if frame or bits != 8 or channels not in (1, 3) or not 0 < height * width <= MAX_PIXELS:
                return False
            frame = kind
        place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
        if kind == _SCAN:
            scans += 1
            found = _MARKER.search(data, place)
            if not frame or found is None or (frame == _BASELINE and scans > 1):
                return False
            place = found.start()
    return scans > 0 and place == len(data) - 2


def _rgb(picture: Pillow.Image) -> Image:
    if picture.mode.startswith(("I", "F")):
        grey = np.asarray(picture, dtype=np.float64)
        # Whole numbers in a wide mode are 16-bit grey; floats are 0..1 or 0..255, and only their values tell.
        grey = grey / 257 if picture.mode.startswith("I") else grey * (255 if grey.max(initial=0) <= 1 else 1)
        picture = Pillow.fromarray(np.clip(np.rint(grey), 0, 255).astype(np.uint8))
    if "A" in picture.getbands() or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        white = Pillow.new("RGBA", picture.size, (255, 255, 255, 255))
        picture = Pillow.alpha_composite(white, picture)
    return np.array(picture.convert("RGB"))


def write_image(path: Path, image: Image, quality: int = 95) -> None:
    """Write uint8 RGB (H, W, 3) as the format of the path's ending, whole or not at all."""
    options: dict[str, Any] = {"quality": quality} if path.suffix.lower() in {".jpg", ".jpeg", ".webp"} else {}
    with whole_file(path) as temporary:
        Pillow.fromarray(image).save(temporary, **options)


def encode_jpeg(image: Image, quality: int = 95) -> bytes:
    buffer = io.BytesIO()
    Pillow.fromarray(image).save(buffer, format="JPEG", quality=quality)
    return buffer.getvalue()


def read_images(paths: list[Path]) -> Iterator[Image]:
    return (read_image(path) for path in paths)


def find_images(folder: Path) -> list[Path]:
    """All image files below a folder, sorted; hidden files and folders are left out.

    Links to files and folders are followed, except one to a folder that the link itself lies in.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: {'is a file, not a folder' if folder.exists() else 'no such folder'}")
    return [folder / name for name in image_names(folder)]


def image_names(folder: Path, below: str = "", above: tuple[Path, ...] = ()) -> Iterator[str]:
    """As `find_images`, names relative to the folder: for millions of files, which Path is too slow for.

    Args:
        below: only this part of the folder; empty, or ending with /.
        above: the real folders in which the links lie that led here.

    Raises:
        InputError: a folder cannot be read.
    """
    try:
        with os.scandir(folder / below) as entries:
            shown = sorted((entry for entry in entries if entry.name[0] != "."), key=lambda entry: entry.name)
    except OSError as error:
        raise unreadable(folder / below, error) from None
    for entry in shown:
        try:
            is_folder = entry.is_dir()
            is_image = entry.name[entry.name.rfind(".") :].lower() in SUFFIXES and entry.is_file()
        except OSError:  # a link to itself
            continue
        if is_folder and entry.is_symlink():
            passed, target = (*above, (folder / below).resolve()), Path(entry.path).resolve()
            if not any(place.is_relative_to(target) for place in passed):  # else the way would have no end
                yield from image_names(folder, f"{below}{entry.name}/", passed)
        elif is_folder:
            yield from image_names(folder, f"{below}{entry.name}/", above)
        elif is_image:
            yield below + entry.name
