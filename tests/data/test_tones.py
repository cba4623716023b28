"""Transforms of colours and tones, and the operations of RandAugment."""

import cv2
import numpy as np
import pytest

from facezoo.data.photometric import principal_colors
from facezoo.data.randaugment import OPERATIONS
from facezoo.data.tones import autocontrast, equalize, posterize, sharpness, solarize
from facezoo.types import InputError


def detailed():
    """Independent values far from black and white."""
    return np.random.default_rng(0).integers(80, 160, size=(112, 112, 3), dtype=np.uint8)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_changes_more_at_a_larger_magnitude(name, sign):
    crop = detailed()
    changed = [OPERATIONS[name](crop, sign * magnitude / 9, (128, 128, 128)) for magnitude in range(10)]
    if name in ("shear_x", "shear_y", "translate_x", "translate_y", "rotate"):
        # How far a mark moves: what lies under a pixel need not differ more the farther it comes from.
        mark = np.zeros((112, 112, 3), np.uint8)
        mark[40:44, 36:40] = 255
        moved = [OPERATIONS[name](mark, sign * magnitude / 9, (0, 0, 0))[..., 0] for magnitude in range(10)]
        places = np.array([np.average(np.indices((112, 112)), axis=(1, 2), weights=np.stack([m, m])) for m in moved])
        changes = np.hypot(*(places - places[0]).T)
    else:
        changes = np.array([np.abs(c.astype(float) - crop).mean() for c in changed])
    assert (np.diff(changes) >= -1e-9).all()
    if name in ("autocontrast", "equalize", "invert"):
        assert changes[0] == changes[9] > 0
    else:
        assert changes[0] == 0 and changes[9] > 0.3


def test_randaugment_draws_all_fourteen_operations_and_fills_with_its_colour(create):
    assert len(OPERATIONS) == 14
    crop = detailed()
    for name in OPERATIONS:
        one = create(f'randaugment:count=1,magnitude=9,operations=("{name}")')
        assert not np.array_equal(one.apply(crop, np.random.default_rng(0)), crop)
    shifted = create('randaugment:count=1,magnitude=9,fill=(1,2,3),operations=("translate_x")')
    edges = shifted.apply(crop, np.random.default_rng(0))[50, [0, -1]]
    assert (edges == (1, 2, 3)).all(axis=1).sum() == 1


def test_autocontrast_stretches_each_channel_to_the_full_range(picture):
    narrow = picture() // 4 + 50
    stretched = autocontrast(narrow)
    assert (stretched.min(axis=(0, 1)) == 0).all() and (stretched.max(axis=(0, 1)) == 255).all()
    flat = np.full((9, 9, 3), 77, np.uint8)
    np.testing.assert_array_equal(autocontrast(flat), flat)
    assert (autocontrast(narrow, 0.2) == 0).mean() == pytest.approx(0.2, abs=0.03)


def test_equalized_values_are_spread_evenly(picture):
    dark = (picture() // 3).astype(np.uint8)
    counts = np.histogram(equalize(dark), bins=8, range=(0, 256))[0]
    assert counts.max() < 1.5 * counts.mean()


def test_solarize_posterize_and_sharpness_by_hand():
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, 2)
    values = ramp[..., 0].ravel()
    solar = solarize(ramp, 200)[..., 0].ravel()
    np.testing.assert_array_equal(solar, [v if v < 200 else 255 - v for v in values.tolist()])
    np.testing.assert_array_equal(posterize(ramp, 3)[..., 0].ravel(), values // 32 * 32)
    dot = np.full((5, 5, 3), 100, np.uint8)
    dot[2, 2] = 139
    assert sharpness(dot, 0)[2, 2, 0] == 115 and sharpness(dot, 2)[2, 2, 0] == 163 and sharpness(dot, 0)[1, 1, 0] == 103


def test_hue_saturation_and_value_each_do_what_they_say(create):
    colors = np.array([[[200, 80, 60], [60, 140, 90], [90, 90, 150]]], np.uint8)
    hsv = cv2.cvtColor(colors, cv2.COLOR_RGB2HSV).astype(int)

    def turned(spec):
        changed = create(spec).apply(colors, np.random.default_rng(0))
        return changed, cv2.cvtColor(changed, cv2.COLOR_RGB2HSV).astype(int)

    _, after = turned("hsv:hue=(20,20),saturation=(1,1),value=(1,1)")
    steps = (after[..., 0] - hsv[..., 0] + 90) % 180 - 90  # OpenCV's hue is in two-degree steps
    assert (steps >= 5).all() and (steps <= 16).all()
    grey, _ = turned("hsv:hue=(0,0),saturation=(0,0),value=(1,1)")
    assert np.ptp(grey.astype(int), axis=2).max() <= 1
    dark, _ = turned("hsv:hue=(0,0),saturation=(1,1),value=(0.5,0.5)")
    np.testing.assert_allclose(dark, colors / 2, atol=1)


def test_pca_noise_adds_one_colour_along_the_axes(create):
    grey = np.full((20, 20, 3), 128, np.uint8)
    spec = "pca_noise:deviation=0.5,values=(0.1,0,0),vectors=((0.6,0.8,0),(-0.8,0.6,0),(0,0,1))"
    added = create(spec).apply(grey, np.random.default_rng(4)).astype(int) - 128
    assert (added == added[0, 0]).all() and added[0, 0, 2] == 0 and added[0, 0, 0] != 0
    assert added[0, 0, 1] / added[0, 0, 0] == pytest.approx(0.8 / 0.6, rel=0.15)


def test_principal_colors_are_those_of_the_pixels_covariance(picture):
    crops = [picture(seed=seed) for seed in range(3)]
    pixels = np.concatenate([crop.reshape(-1, 3) for crop in crops]) / 255
    values, vectors = principal_colors(crops)
    np.testing.assert_allclose(vectors.T * values @ vectors, np.cov(pixels.T, bias=True), atol=1e-12)
    assert values[0] >= values[1] >= values[2]
    with pytest.raises(InputError, match="no crops"):
        principal_colors([])
