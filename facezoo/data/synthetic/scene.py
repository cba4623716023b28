"""What lies around the face: the background, and what lens, sensor and compression do to a photo."""

from __future__ import annotations

import cv2
import numpy as np

from facezoo.data.synthetic.head_model import Array
from facezoo.image import decode_image, encode_jpeg
from facezoo.types import Image


def background(scene: int, height: int, width: int) -> Array:
    """A blurred room or landscape, linear RGB (H, W, 3) float32: a gradient, soft clutter and some shapes."""
    rng = np.random.default_rng([scene, height, width])
    base, other = np.exp(rng.uniform(-3.5, 0)) * _tint(rng), np.exp(rng.uniform(-3.5, 0)) * _tint(rng)
    # Drawn small and enlarged: what lies behind a face is out of focus.
    rows, columns = 48, max(8, round(48 * width / height))
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    ramp = (x / columns - 0.5) * np.cos(angle) + (y / rows - 0.5) * np.sin(angle) + 0.5
    picture = base + ramp.clip(0, 1)[..., None] * (other - base)
    for _ in range(int(rng.integers(0, 9))):
        color = rng.uniform(0.01, 0.9) * _tint(rng)
        corner = (int(rng.integers(-10, columns)), int(rng.integers(-10, rows)))
        far = (corner[0] + int(rng.integers(4, columns)), corner[1] + int(rng.integers(4, rows)))
        mask = np.zeros((rows, columns), np.float32)
        if rng.random() < 0.6:
            cv2.rectangle(mask, corner, far, 1.0, -1)
        else:
            cv2.circle(mask, corner, int(rng.integers(3, 20)), 1.0, -1)
        mask = cv2.GaussianBlur(mask, (0, 0), rng.uniform(0.4, 2.5)) * rng.uniform(0.4, 1)
        picture = picture + mask[..., None] * (color - picture)
    for cells in (4, 9, 20):
        grid = rng.standard_normal((cells, cells, 3), np.float32) * 0.15 + rng.standard_normal((cells, cells, 1))
        clutter = cv2.resize(grid.astype(np.float32), (columns, rows), interpolation=cv2.INTER_CUBIC)
        picture = picture * np.exp(rng.uniform(0, 0.3) * clutter)
    picture = cv2.GaussianBlur(picture.astype(np.float32), (0, 0), rng.uniform(0.8, 2.2))
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_CUBIC).clip(0, 2)


def _tint(rng: np.random.Generator) -> Array:
    return np.exp(rng.normal(0, rng.uniform(0.02, 0.3), 3))


def develop(picture: Array, rng: np.random.Generator, blur: float, noise: float, quality: int) -> Image:
    """Linear RGB (H, W, 3) to an 8-bit sRGB photo: lens blur, tone, noise, JPEG."""
    if blur > 0.2:
        picture = cv2.GaussianBlur(picture, (0, 0), blur)
    # A film's shoulder: what is brighter than 0.7 is compressed instead of clipped.
    picture = np.where(picture > 0.7, 0.7 + 0.3 * np.tanh((picture - 0.7) / 0.45), picture).clip(0, 1)
    # sRGB's curve (IEC 61966-2-1).
    srgb = np.where(picture <= 0.0031308, 12.92 * picture, 1.055 * picture ** np.float32(1 / 2.4) - 0.055) * 255
    grain = rng.standard_normal(srgb.shape, np.float32)
    image = np.rint(srgb + noise * grain).clip(0, 255).astype(np.uint8)
    return decode_image(encode_jpeg(image, quality))
