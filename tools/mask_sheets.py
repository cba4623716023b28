"""Draw the sheets of docs/masks.md: rendered people who wear masks and accessories, in six conditions.

python tools/mask_sheets.py docs/images
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from facezoo.data.synthetic import draw_view, load_head, make_identity, render
from facezoo.image import write_image
from facezoo.mask.finder import Finder
from facezoo.mask.template import drawn
from facezoo.mask.wear import wear
from facezoo.types import FloatArray, Image

SIZE, SMALL = 220, 64
"""Height and width of a tile, and of the small photo before it is enlarged, pixels."""

CONDITIONS: tuple[tuple[int, dict[str, Any]], ...] = (
    (3, {"yaw": 0.0}),
    (8, {"yaw": 45.0}),
    (5, {"yaw": -72.0}),
    (12, {"yaw": 12.0}),
    (9, {"yaw": -15.0, "exposure": 0.12, "noise": 3.0}),
)
"""Numbers of rendered people and what is special about their photos: frontal, 45 degrees, profile, small, dark."""

SHEETS = {
    "masks.jpg": ("surgical:color=blue", "n95:color=white", "cloth", "gaiter", "surgical:color=black"),
    "accessories.jpg": (
        "glasses",
        "sunglasses",
        "hat:kind=beanie",
        "hat:kind=cap",
        "headscarf",
        "hand:over=mouth",
        "hand:over=eyes",
    ),
}


def photos() -> list[Image]:
    """The five conditions and, as the sixth, two people in one photo."""
    head, found = load_head(), []

    def photograph(number: int, size: int, **changes: Any) -> Image:
        person = make_identity(head, 1, number)
        view = {
            "pitch": 2.0,
            "roll": 0.0,
            "turn": 0.0,
            "eye_distance": 0.20,
            "place": (0.5, 0.5),
            "blur": 0.3,
            "expression": {},
            "noise": 1.0,
        }
        return render(person, replace(draw_view(head, person.traits, 0), **{**view, **changes}), size, False).image

    for place, (number, changes) in enumerate(CONDITIONS):
        found.append(photograph(number, SMALL if place == 3 else SIZE, **changes))
    pair = [
        photograph(number, SIZE, yaw=yaw, eye_distance=0.115, place=place, scene=4)
        for number, yaw, place in ((14, 15.0, (0.27, 0.5)), (17, -20.0, (0.74, 0.46)))
    ]
    found.append(np.concatenate([pair[0][:, : SIZE // 2], pair[1][:, SIZE // 2 :]], axis=1))
    return found


def dressed(photo: Image, meshes: FloatArray, spec: str, piece: int) -> Image:
    worn = photo
    for number, mesh in enumerate(meshes[::-1]):
        worn = wear(worn, mesh, drawn(spec, piece + 3 * number), np.random.default_rng(piece)).image
    return worn


def tile(photo: Image) -> Image:
    return photo if len(photo) == SIZE else np.asarray(cv2.resize(photo, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    out, finder = parser.parse_args().out, Finder()
    plain = photos()
    meshes = [finder(photo) for photo in plain]
    if [len(found) for found in meshes] != [1, 1, 1, 1, 1, 2]:
        raise SystemExit(f"faces found: {[len(found) for found in meshes]}; choose other people")
    for name, specs in SHEETS.items():
        rows = [[tile(photo) for photo in plain]]
        for row, spec in enumerate(specs):
            worn = zip(plain, meshes, strict=True)
            rows.append([tile(dressed(photo, found, spec, row + k)) for k, (photo, found) in enumerate(worn)])
        sheet = np.concatenate([np.concatenate(row, axis=1) for row in rows])
        small = cv2.resize(sheet, None, fx=0.75, fy=0.75, interpolation=cv2.INTER_AREA)
        write_image(out / name, np.asarray(small))


if __name__ == "__main__":
    main()
