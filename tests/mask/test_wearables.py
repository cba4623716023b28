"""Every recipe keeps the rules of all; files are read with clear errors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from facezoo.mask.drawing import SIDE, from_pixels, to_pixels
from facezoo.mask.head import head
from facezoo.mask.template import create_recipe, drawn
from facezoo.mask.wearables.image_file import carried_on
from facezoo.registry import WEARABLES
from facezoo.types import InputError

DRAWN = [name for name in WEARABLES.names() if name != "png"]


def painted(path: Path, side: int = 128, mode: str = "RGBA") -> Path:
    """A red rectangle over nose and mouth."""
    picture = np.zeros((side, side, 4), np.uint8)
    picture[side * 45 // 100 : side * 75 // 100, side * 25 // 100 : side * 75 // 100] = (200, 30, 30, 255)
    Pillow.fromarray(picture).convert(mode).save(path)
    return path


@pytest.mark.parametrize("name", DRAWN)
def test_a_piece_is_the_same_every_time_and_another_one_differs(name: str):
    recipe = create_recipe(name)
    one, again, other = (recipe.draw(np.random.default_rng(seed)) for seed in (4, 4, 5))

    for a, b in zip(one.parts, again.parts, strict=True):
        assert np.array_equal(a.grid, b.grid) and np.array_equal(a.texture, b.texture)
    assert one.parts[-1].texture.tobytes() != other.parts[-1].texture.tobytes()


@pytest.mark.parametrize("name", DRAWN)
def test_parts_are_grids_around_the_head_with_rgba_textures(name: str):
    for piece in range(3):
        template = drawn(name, piece)
        assert template.name.startswith(name)
        assert (template.parts[-1].texture[..., 3] > 127).any()
        for part in template.parts:
            assert part.grid.ndim == 3 and part.grid.shape[2] == 3 and np.isfinite(part.grid).all()
            assert np.abs(part.grid).max() < 6  # an arm is long
            assert part.texture.dtype == np.uint8 and part.texture.shape[2] == 4
            assert (part.texture[..., 3] > 0).any()
            assert len(part.triangles) and part.triangles.max() < part.grid.shape[0] * part.grid.shape[1]


@pytest.mark.parametrize("name", ["surgical", "n95", "cloth"])
def test_masks_stand_off_the_skin_and_touch_it_at_the_rim(name: str):
    part = drawn(name, 1).parts[-1]
    flat = part.grid.reshape(-1, 3)
    skin = head().points
    tip = flat[np.linalg.norm(flat[:, :2] - skin[4, :2], axis=1).argmin()]

    assert tip[2] < skin[4, 2] + 0.02  # before the nose's tip
    hollow = np.linalg.norm(flat[:, :2] - (skin[4, :2] + (0.28, 0.25)), axis=1).argmin()
    below = np.linalg.norm(skin[:, :2] - flat[hollow, :2], axis=1).argmin()
    assert flat[hollow, 2] < skin[below, 2] - 0.01  # it spans the hollow beside the nose


@pytest.mark.parametrize("over", ["mouth", "eyes", "side"])
def test_a_hand_is_as_wide_as_a_hand_and_has_an_arm(over: str):
    for piece in range(4):
        *_, hand = drawn(f"hand:over={over}", piece).parts
        across, down = (np.diff(hand.grid, axis=axis)[..., k].mean() for axis, k in ((1, 0), (0, 1)))
        rows, columns = hand.texture.shape[:2]
        area = (hand.texture[..., 3] > 127).sum() * across * (hand.grid.shape[1] - 1) / columns
        area *= down * (hand.grid.shape[0] - 1) / rows
        assert 0.8 < area < 3.5  # (7 cm)^2
        assert (np.diff(hand.grid[..., 0], axis=1) > 0).all() and (np.diff(hand.grid[..., 1], axis=0) > 0).all()


def test_the_layout_has_the_face_in_it():
    pixels = to_pixels(head().places)
    assert (pixels > 0).all() and (pixels < SIDE).all()
    np.testing.assert_allclose(from_pixels(pixels), head().places, atol=1e-9)


def test_an_option_that_is_not_known_is_refused():
    with pytest.raises(InputError, match="color"):
        create_recipe("surgical:color=plaid")
    with pytest.raises(InputError, match="unknown wearable 'surgicl'"):
        create_recipe("surgicl")


def test_a_png_in_the_layout_is_worn(tmp_path: Path):
    template = drawn(str(painted(tmp_path / "red.png")), 0)
    texture = template.parts[-1].texture

    assert len(template.parts) == 5  # four straps
    assert np.abs(texture[..., :3].astype(int) - (200, 30, 30)).max() <= 2  # also below what is transparent
    assert len(drawn(f"png:path={tmp_path / 'red.png'},straps=false", 0).parts) == 1


@pytest.mark.parametrize("name", ["o'neil.png", "a:b.png", "a,b=c.png"])
def test_a_path_may_have_any_name(tmp_path: Path, name: str):
    assert len(drawn(str(painted(tmp_path / name)), 0).parts) == 5


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda path: None, "no such file"),
        (lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\nrest"), "PNG file"),
        (lambda path: path.write_bytes(painted(path).read_bytes()[:200]), "damaged|not a PNG"),
        (lambda path: painted(path, mode="RGB"), "no transparency"),
        (lambda path: Pillow.new("RGBA", (100, 80)).save(path), "square"),
        (lambda path: Pillow.new("RGBA", (16, 16)).save(path), "64 to 4096"),
        (lambda path: Pillow.new("RGBA", (100, 100)).save(path), "covers nothing"),
        (lambda path: Pillow.new("RGBA", (100, 100)).save(path, format="GIF"), "PNG"),
    ],
)
def test_a_file_that_is_no_template_is_refused_in_a_sentence(tmp_path: Path, make, why: str):
    path = tmp_path / "x.png"
    make(path)
    with pytest.raises(InputError, match=why):
        create_recipe(str(path)).draw(np.random.default_rng(0))


def test_colours_are_carried_on_from_the_nearest():
    alpha = np.zeros((SIDE, SIDE), np.float32)
    alpha[200:300, 200:260] = 1
    colors = np.zeros((SIDE, SIDE, 3), np.float32)
    colors[200:300, 200:260] = (10, 200, 30)

    assert np.abs(carried_on(colors * alpha[..., None], alpha).astype(int) - (10, 200, 30)).max() <= 1
