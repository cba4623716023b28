"""Textures taken off faces and put on them again."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

pytest.importorskip("numba")

from facezoo.mask.canonical import canonical
from facezoo.mask.fit import rotation
from facezoo.mask.uv import positions, render, unwrap, visible
from facezoo.types import InputError


def face(yaw=0.0, scale=90.0, centre=(128.0, 110.0)):
    turn = rotation(np.radians([[yaw, 0, 0]]))[0][0]
    points = scale * canonical().points @ turn.T
    points[:, :2] += centre
    return points.astype(np.float32)


def ramps(size):
    """An image whose first two channels are its own coordinates."""
    x, y = np.meshgrid(np.arange(size[1]), np.arange(size[0]))
    return np.stack([x, y, x + y], axis=-1).astype(np.float32)


@pytest.mark.parametrize("yaw", [0, 30])
def test_a_photo_comes_back_at_its_place(yaw):
    points, image = face(yaw), ramps((256, 256))

    layer = render(unwrap(image, points, 512), points, (256, 256), canonical().closed)

    inner = cv2.erode((layer.coverage > 0.999).astype(np.uint8), np.ones((7, 7), np.uint8)).astype(bool)
    error = np.abs(layer.color - layer.window(image))[inner][:, :2]
    assert inner.sum() > 10_000
    assert error.mean() < 0.1 and np.percentile(error, 99) < 0.5


def test_texels_lie_where_their_vertices_do():
    points, mesh = face(20), canonical()

    place = positions(points, 256)

    at = np.floor(mesh.uv * 256).astype(int).clip(0, 255)
    assert np.abs(place[at[:, 1], at[:, 0]] - points).max() < 1.5  # a texel is up to 1.1 pixels wide here


def test_a_half_covered_pixel_is_half_covered():
    points = np.array([[-0.5, -0.5, 0], [4, -0.5, 0], [4, 9.5, 0], [-0.5, 9.5, 0]], np.float32)
    uv = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
    white = np.full((16, 16, 1), 255, np.uint8)

    layer = render(white, points, (20, 20), np.array([[0, 1, 2], [0, 2, 3]]), uv)

    assert (layer.top, layer.left) == (0, 0)
    assert np.allclose(layer.coverage[:9, :4], 1) and np.allclose(layer.coverage[:9, 4], 0.5)
    assert np.allclose(layer.color[..., 0], 255 * layer.coverage)


def test_a_fine_pattern_becomes_grey_when_it_is_small():
    pattern = np.zeros((512, 512, 1), np.uint8)
    pattern[:, ::2] = 200

    layer = render(pattern, face(scale=12.0, centre=(30, 25)), (64, 64), canonical().closed)

    inside = layer.coverage > 0.999
    assert inside.sum() > 200 and np.abs(layer.color[..., 0][inside] - 100).max() < 12


@pytest.mark.parametrize("centre", [(-20.0, 110.0), (250.0, 250.0), (900.0, 0.0)])
def test_what_reaches_beyond_the_image_is_cut(centre):
    layer = render(np.full((64, 64, 3), 9, np.uint8), face(centre=centre), (256, 256))
    height, width = layer.coverage.shape

    assert 0 <= layer.top <= layer.top + height <= 256 and 0 <= layer.left <= layer.left + width <= 256
    assert layer.color.shape == (height, width, 3)


def test_the_far_side_of_a_turned_face_is_hidden():
    mesh = canonical()
    left, right = mesh.uv[234], mesh.uv[454]

    front, turned = visible(face(0), 128), visible(face(50), 128)

    def around(seen, place):
        x, y = (place * 128).astype(int)
        return seen[y - 4 : y + 5, max(0, x - 8) : x + 9].mean()

    forehead = mesh.uv[151]
    assert around(front, forehead) == around(turned, forehead) == 1
    assert around(turned, right) < 0.2 < 0.95 < around(turned, left * 0.7 + mesh.uv[50] * 0.3)


def test_the_same_mesh_gives_the_same_bytes():
    texture = np.random.default_rng(0).integers(0, 256, (256, 256, 4), dtype=np.uint8)

    once, again = (render(texture, face(25), (256, 256)) for _ in range(2))

    assert once.color.tobytes() == again.color.tobytes() and once.coverage.tobytes() == again.coverage.tobytes()


def test_other_textures_are_refused():
    with pytest.raises(InputError, match="a texture has shape"):
        render(np.zeros((8, 8), np.uint8), face(), (256, 256))
