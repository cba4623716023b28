"""What a benchmark is made of: photos, and how they become the crops a model wants."""

from __future__ import annotations

import csv
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import cv2
import numpy as np

from facezoo.align import TEMPLATES, align, recrop, shows
from facezoo.data.workers import processors
from facezoo.image import decode_image, read_image
from facezoo.types import Contract, Crop, FloatArray, Image, InputError

Locate: TypeAlias = Callable[[Image], FloatArray | None]
"""The five landmarks (5, 2) of the main face in an image, or None without a face."""

MAX_READERS = 8
"""More threads decode faster than any model embeds, and each may hold one large photo."""

LANDMARK_COLUMNS = ["path", *(f"{axis}{point}" for point in range(5) for axis in "xy")]


@dataclass(frozen=True, eq=False)
class Photo:
    """One image of a benchmark: a file, the bytes of one, pixels, or what reads them.

    Attributes:
        name: how the benchmark calls it, also in reports.
        source: where the pixels are; files and bytes are decoded when needed.
        landmarks: five points (5, 2), pixels; None if they are not known.
        mirrored: its crop is the mirror image, for benchmarks that take the two apart.
        zoom: a photo that is a crop is scaled to so many pixels, of which the middle is taken: face.evoLVe's 128.
    """

    name: str
    source: Path | bytes | Image | Callable[[], Image]
    landmarks: FloatArray | None = None
    mirrored: bool = False
    zoom: int | None = None

    def read(self) -> Image:
        if isinstance(self.source, Path):
            return read_image(self.source)
        if isinstance(self.source, bytes):
            return decode_image(self.source, self.name)
        return self.source() if callable(self.source) else self.source


def read_landmarks(path: Path) -> dict[str, FloatArray]:
    """Five points (5, 2) by photo name, from a CSV with the columns path, x0, y0, .. x4, y4.

    Order: image-left eye, image-right eye, nose, mouth corners left, right; pixels.
    """
    try:
        with Path(path).open(newline="", encoding="utf-8-sig") as file:
            rows = csv.reader(file)
            header = next(rows, [])
            if header != LANDMARK_COLUMNS:
                raise InputError(f"{path}: the first line must be {','.join(LANDMARK_COLUMNS)}")
            points = {}
            for line, row in enumerate(rows, start=2):
                if not row:
                    continue
                values = _numbers(row[1:])
                if len(values) != 10 or not np.isfinite(values).all():
                    raise InputError(f"{path}: line {line}: a path and ten finite numbers were expected")
                points[row[0]] = np.array(values).reshape(5, 2)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: not a CSV file in UTF-8: {error}") from None
    return points


def _numbers(texts: list[str]) -> list[float]:
    try:
        return [float(text) for text in texts]
    except ValueError:
        return []


def zoomed(crop: Crop, side: int, size: tuple[int, int]) -> Crop:
    """The middle `size` (height, width) of a crop that is scaled, bilinearly, to `side` pixels."""
    if side < max(size):
        raise InputError(f"zoom={side} is less than the {size[0]} x {size[1]} that the model takes")
    top, left = (side - size[0]) // 2, (side - size[1]) // 2
    scaled = cv2.resize(crop, (side, side), interpolation=cv2.INTER_LINEAR)
    return np.ascontiguousarray(scaled[top : top + size[0], left : left + size[1]])


@dataclass
class Crops:
    """The photos of a benchmark as crops for one model, in order, read and aligned ahead in threads.

    Iterating gives a crop for each photo with a face; `failed` then says which photos have none.

    Args:
        photos: in the benchmark's order.
        contract: the model's; template and input size of the crops.
        aligned: template of photos that are crops already; None for raw photos.
        locate: finds landmarks where a photo has none; called from one thread at a time.
        threads: readers beside the thread that embeds.
        ahead: crops that may wait to be embedded.
        tolerant: a photo that cannot be read has no crop, and `unreadable` says why; else it ends the work.
    """

    photos: Sequence[Photo]
    contract: Contract
    aligned: str | None = None
    locate: Locate | None = None
    threads: int = field(default_factory=lambda: min(MAX_READERS, processors()))
    ahead: int = 128
    tolerant: bool = False

    def __post_init__(self) -> None:
        if self.aligned is not None and self.aligned not in TEMPLATES:
            raise InputError(f"aligned: unknown template {self.aligned!r}; known: {', '.join(sorted(TEMPLATES))}")
        if self.aligned is not None and not shows(self.aligned, self.contract.template):
            raise InputError(
                f"{self.contract.name}: the model wants crops aligned to {self.contract.template!r}, "
                f"these are aligned to {self.aligned!r}; use the raw photos"
            )
        self.failed = np.zeros(len(self.photos), bool)
        self.unreadable: dict[int, str] = {}
        self.resized = 0
        self._turn = threading.Lock()

    def __iter__(self) -> Iterator[Crop]:
        return (crop for _, crop in self.numbered())

    def numbered(self) -> Iterator[tuple[int, Crop]]:
        """Each crop with its photo's place."""
        self.failed[:], self.resized = False, 0
        self.unreadable.clear()
        waiting: deque[Future[Crop | str | None]] = deque()
        with ThreadPoolExecutor(self.threads, thread_name_prefix="facezoo-crops") as readers:
            try:
                upcoming = iter(self.photos)
                for index in range(len(self.photos)):
                    while len(waiting) < self.ahead and (photo := next(upcoming, None)) is not None:
                        waiting.append(readers.submit(self._crop_or_why, photo))
                    crop = waiting.popleft().result()
                    if isinstance(crop, str):
                        self.unreadable[index] = crop
                        crop = None
                    if crop is None:
                        self.failed[index] = True
                    else:
                        yield index, crop
            finally:
                readers.shutdown(wait=True, cancel_futures=True)

    def _crop_or_why(self, photo: Photo) -> Crop | str | None:
        """As `crop`; why it cannot be made where that is tolerated."""
        try:
            return self.crop(photo)
        except InputError as error:
            if not self.tolerant:
                raise
            return str(error)

    def crop(self, photo: Photo) -> Crop | None:
        """The crop the contract asks for; None without a face."""
        crop = self._upright(photo)
        return np.ascontiguousarray(crop[:, ::-1]) if photo.mirrored and crop is not None else crop

    def _upright(self, photo: Photo) -> Crop | None:
        size = self.contract.input_size
        if self.aligned is not None:
            image = photo.read()
            if image.shape[:2] != size:
                with self._turn:
                    self.resized += 1
            if photo.zoom is None:
                return recrop(image, self.contract.template, size, self.aligned)
            if self.aligned != self.contract.template:
                raise InputError(f"{self.contract.name}: takes a part of the crops, which have no zoom; leave it out")
            return zoomed(image, photo.zoom, size)
        if photo.landmarks is None and self.locate is None:
            return None
        image = photo.read()
        landmarks = photo.landmarks
        if landmarks is None and self.locate is not None:
            with self._turn:  # detectors hold state between calls
                landmarks = self.locate(image)
        if landmarks is None:
            return None
        return align(image, landmarks, self.contract.template, size)
