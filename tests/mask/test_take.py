"""A mask is taken off a photo and put on again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facezoo.image import read_image
from facezoo.mask.drawing import SIDE, area, from_pixels, rgba
from facezoo.mask.mannequin import contact_sheet, guide, mannequin
from facezoo.mask.pose import Pose
from facezoo.mask.raster import rasterise
from facezoo.mask.take import lower_face, take, taken, unroll
from facezoo.mask.template import drawn
from facezoo.mask.wear import wear
from facezoo.mask.wearables.image_file import write_texture
from facezoo.mask.wearables.surgical import outline
from facezoo.types import InputError


@pytest.mark.parametrize("yaw", [0.0, 30.0])
def test_what_is_unrolled_lies_at_its_place(yaw: float):
    x, y = np.meshgrid(np.arange(256, dtype=np.uint8), np.arange(256, dtype=np.uint8))
    _, mesh = mannequin(yaw, 256)
    pose = Pose.of(mesh)
    photo = unroll(np.stack([x, y, x], axis=-1), pose)
    region, cloth = lower_face()

    # Back: the place in the layout of each pixel of the photo on which the cloth is seen.
    rows, columns = cloth.grid.shape[:2]
    placed = pose.place(cloth.grid.reshape(-1, 3), cloth.follow)
    seen = rasterise(placed, cloth.triangles, (256, 256))
    corners, weights = cloth.triangles[seen.triangle], seen.weights
    drawn_rows, drawn_columns = np.nonzero(region > 0)
    down, across = (
        (weights * place[corners]).sum(axis=-1) / (count - 1) * np.ptp(ends) + ends.min()
        for place, count, ends in (
            (np.arange(len(placed)) // columns, rows, drawn_rows),
            (np.arange(len(placed)) % columns, columns, drawn_columns),
        )
    )
    down, across = np.rint(down).astype(int).clip(0, SIDE - 1), np.rint(across).astype(int).clip(0, SIDE - 1)
    sure = (seen.triangle >= 0) & (photo.facing[down, across] > 0.5)
    error = np.abs(photo.colors[down, across][..., :2].astype(float) - np.stack([x, y], axis=-1))[sure]
    assert sure.sum() > 3000
    assert error.mean() < 0.5 and np.percentile(error, 99) <= 1  # grey levels are whole pixels


@pytest.mark.parametrize("yaw", [0.0, 25.0])
@pytest.mark.parametrize("name", ["surgical:color=blue", "n95:color=black,valve=no"])
def test_what_is_taken_off_and_put_on_again_looks_alike(tmp_path: Path, name: str, yaw: float):
    image, mesh = mannequin(yaw, 320)
    first = wear(image, mesh, drawn(name, 0), np.random.default_rng(0))
    texture = take(first.image, mesh)
    write_texture(tmp_path / "taken.png", texture)
    again = wear(image, mesh, drawn(f"png:path={tmp_path / 'taken.png'},straps=false", 0), np.random.default_rng(0))

    one, other = first.coverage > 127, again.coverage > 127
    both = one & other
    assert both.sum() / (one | other).sum() > 0.8
    assert np.abs(first.image[both].astype(float) - again.image[both]).mean() < 16


def test_the_side_that_is_not_seen_is_filled_from_the_other():
    image, mesh = mannequin(40.0, 320)
    texture = take(wear(image, mesh, drawn("surgical:color=green", 1), np.random.default_rng(0)).image, mesh)
    alpha = texture[..., 3].astype(float)

    assert np.abs(alpha - alpha[:, ::-1]).sum() < 0.35 * alpha.sum()


def test_writing_on_the_side_that_is_turned_away_but_seen_is_not_mirrored(tmp_path: Path):
    import cv2

    cloth = np.full((SIDE, SIDE, 3), 226, np.uint8)
    for x, word in ((150, "ABC"), (290, "XYZ")):
        cv2.putText(cloth, word, (x, 290), cv2.FONT_HERSHEY_SIMPLEX, 1.5, (40, 40, 160), 5, cv2.LINE_AA)
    covers = area(outline(0.18, (0.7, 0.35), (0.65, 0.65), 1.08))
    write_texture(tmp_path / "written.png", rgba(cloth.astype(np.float32), 1.0, covers))
    image, mesh = mannequin(20.0, 320)
    worn = wear(image, mesh, drawn(str(tmp_path / "written.png"), 0), np.random.default_rng(0)).image

    found = take(worn, mesh)[..., 0]
    alike = [
        cv2.matchTemplate(
            found[240:305, 275:385], np.ascontiguousarray(each[250:295, 288:370]), cv2.TM_CCOEFF_NORMED
        ).max()
        for each in (cloth[..., 0], cloth[:, ::-1, 0])
    ]
    assert alike[0] > 0.65 and alike[1] < 0.5


def test_a_bare_face_is_refused():
    image, mesh = mannequin(0.0, 320)
    with pytest.raises(InputError, match="mask"):
        take(image, mesh)


def test_a_small_face_is_refused():
    image, mesh = mannequin(0.0, 80)
    with pytest.raises(InputError, match="80 or more"):
        take(image, mesh)


def test_the_sheet_has_a_row_for_each_piece_and_the_guide_is_a_layout():
    assert contact_sheet(["surgical", "hat"], 2, 64).shape == (4 * 64, 4 * 64, 3)
    assert guide().shape == (512, 512, 3) and guide().min() < 100


@pytest.mark.network
@pytest.mark.data
@pytest.mark.parametrize("name", ["test3_mask.jpg", "test4_mask.jpg"])
def test_a_mask_is_taken_off_a_real_photo(data_root: Path, name: str):
    path = data_root / "photos" / name
    texture = taken(read_image(path), name)
    covered = texture[..., 3] > 127

    assert 0.05 < covered.mean() < 0.3
    rows = np.flatnonzero(covered[:, 256])
    top, low = (float(from_pixels(np.array([256, row]))[1]) for row in (rows[0], rows[-1]))
    assert 0.05 < top < 0.35 and 0.95 < low < 1.3  # from the bridge of the nose to below the chin, whose tip is at 1
    inside = texture[covered][:, :3].mean()
    assert inside < 90 if name.startswith("test3") else inside > 180  # a black one, a white one


@pytest.mark.network
@pytest.mark.data
def test_nobody_with_a_mask_is_told(data_root: Path):
    with pytest.raises(InputError, match="test1"):
        taken(read_image(data_root / "photos" / "test1.jpg"), "test1.jpg")
