"""What is worn follows the face, is hidden where the head hides it, and is lit as the photo is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from facezoo.mask.canonical import canonical
from facezoo.mask.light import blur_of, measure
from facezoo.mask.pose import Pose
from facezoo.mask.raster import rasterise
from facezoo.mask.template import Template, drawn
from facezoo.mask.wear import wear
from facezoo.types import FloatArray, Image, InputError

SIZE = 160
EYES = 44.0


def turned(yaw: float = 0.0, roll: float = 0.0, shift: tuple[float, float] = (80.0, 70.0)) -> FloatArray:
    """The mean face, turned to the right of the image, in a picture of SIZE pixels."""
    a, c = np.radians((yaw, roll))
    about_y = np.array([[np.cos(a), 0, -np.sin(a)], [0, 1, 0], [np.sin(a), 0, np.cos(a)]])
    about_z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return canonical().points @ (about_z @ about_y).T * EYES + (*shift, 0)


def skin(mesh: FloatArray, level: float = 1.0, slope: FloatArray | None = None, albedo: float = 0.3) -> Image:
    """A face of even skin under a light that is linear in the normal, on a grey wall."""
    normal = np.zeros((468, 3))
    triangles = canonical().closed
    corner = np.asarray(mesh, float)[triangles]
    face = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    for k in range(3):
        np.add.at(normal, triangles[:, k], face)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    normal *= -np.sign(normal[:, 2].sum())
    light = level + normal @ (np.zeros(3) if slope is None else slope)
    found = rasterise(np.asarray(mesh, np.float32), triangles, (SIZE, SIZE))
    value = (light[triangles[found.triangle]] * found.weights).sum(axis=-1)
    linear = np.where(found.triangle >= 0, albedo * np.maximum(value, 0), 0.2)
    colors = linear[..., None] * np.where((found.triangle >= 0)[..., None], [1.42, 0.88, 0.66], 1.0)
    image = np.clip(np.rint(255 * np.clip(colors, 0, 1) ** (1 / 2.2)), 0, 255)
    return image.astype(np.uint8)


def coverage(mesh: FloatArray, template: Template) -> NDArray[np.uint8]:
    return wear(skin(mesh), mesh, template, np.random.default_rng(0)).coverage


def test_the_same_seed_gives_the_same_bytes_and_the_photo_is_not_touched():
    mesh = turned(25)
    image = skin(mesh)
    before = image.copy()

    one, other = (wear(image, mesh, drawn("surgical", 0), np.random.default_rng(3)) for _ in range(2))

    assert np.array_equal(image, before)
    assert np.array_equal(one.image, other.image) and np.array_equal(one.coverage, other.coverage)
    assert not np.array_equal(one.image, image)


def test_far_from_what_is_worn_no_pixel_changes():
    mesh = turned(-20)
    image = skin(mesh)
    worn = wear(image, mesh, drawn("n95", 1), np.random.default_rng(0))
    rows = np.flatnonzero(worn.coverage.max(axis=1))
    above = max(rows[0] - round(0.35 * EYES), 0)

    assert rows[0] > 40
    assert np.array_equal(worn.image[:above], image[:above])
    assert (worn.image[worn.coverage == 255] != image[worn.coverage == 255]).any(axis=1).mean() > 0.95


@pytest.mark.parametrize("yaw", [-65, 65])
def test_of_a_turned_face_only_the_near_straps_are_seen(yaw: float):
    parts = drawn("surgical", 0).parts[:-1]
    left, right = (
        int((coverage(turned(yaw), Template("strap", tuple(parts[side::2]))) > 127).sum()) for side in (0, 1)
    )
    # The face looks to the right of the image at positive yaw: the left side is near.
    near, far = (left, right) if yaw > 0 else (right, left)
    assert near > 20
    assert far < 0.25 * near


@pytest.mark.parametrize("name", ["surgical", "n95", "cloth"])
@pytest.mark.parametrize("yaw", [0, 40, -75])
def test_a_mask_hides_nose_tip_mouth_and_chin_and_no_eye(name: str, yaw: float):
    mesh = turned(yaw)
    covered = coverage(mesh, drawn(name, 0))
    seen = rasterise(mesh.astype(np.float32), canonical().closed, (SIZE, SIZE))

    def hidden(vertex: int) -> bool:
        x, y, z = mesh[vertex]
        assert z < seen.depth[round(y), round(x)] + 4  # the place itself is in sight
        return bool(covered[round(y), round(x)] > 200)

    near = (33, 61) if yaw >= 0 else (263, 291)
    assert hidden(4) and hidden(near[1])
    assert abs(yaw) > 60 or hidden(152)  # from the side the chin's tip is the silhouette
    assert not hidden(near[0])


def test_the_mask_moves_with_the_face():
    one = wear(skin(turned(15)), turned(15), drawn("cloth", 2), np.random.default_rng(0))
    moved = turned(15, shift=(87.0, 76.0))
    other = wear(skin(moved), moved, drawn("cloth", 2), np.random.default_rng(0))

    assert np.array_equal(one.coverage[:-6, :-7], other.coverage[6:, 7:])


def test_the_rim_is_smooth():
    covered = coverage(turned(10), drawn("n95", 0))

    assert len(np.unique(covered)) > 40
    inside, outside = covered == 255, covered == 0
    border = ~inside & ~outside
    assert 0.02 < border.sum() / inside.sum() < 0.4


def test_surfaces_follow_any_affine_change_of_the_mesh_exactly():
    rng = np.random.default_rng(1)
    part = drawn("surgical", 0).parts[-1]
    mesh = turned(20) + rng.normal(0, 1, (468, 3))
    change, shift = np.eye(3) + rng.normal(0, 0.2, (3, 3)), rng.normal(0, 20, 3)
    flat = part.grid.reshape(-1, 3)

    placed = Pose.of(mesh).place(flat, part.follow)
    changed = Pose.of(mesh @ change + shift).place(flat, part.follow)

    np.testing.assert_allclose(changed, placed @ change + shift, atol=1e-3)


def test_a_long_chin_takes_the_mask_along():
    mesh = turned()
    part = drawn("surgical", 0).parts[-1]
    longer = mesh.copy()
    chin = np.exp(-((mesh - mesh[152]) ** 2).sum(axis=1) / (2 * 18**2))
    longer[:, 1] += 8 * chin
    low = int(part.grid[..., 1].argmax())

    places = [Pose.of(each).place(part.grid.reshape(-1, 3), part.follow)[low, 1] for each in (mesh, longer)]

    assert 3 < places[1] - places[0] < 9


@pytest.mark.parametrize("slope", [(0.5, 0.0, -0.3), (-0.4, -0.3, -0.2), (0.0, -0.5, -0.1)])
def test_the_side_of_the_light_is_measured_on_the_skin(slope: tuple[float, float, float]):
    mesh = turned()
    light = measure(skin(mesh, 0.8, np.array(slope)), mesh, Pose.of(mesh))
    cosine = light.slope @ slope / np.linalg.norm(light.slope) / np.linalg.norm(slope)

    assert cosine > 0.9


def test_masks_are_as_dark_as_the_photo_and_grey_in_a_grey_one():
    mesh = turned()
    covered = coverage(mesh, drawn("surgical:color=blue", 0)) == 255
    bright, dark = (
        wear(skin(mesh, albedo=albedo), mesh, drawn("surgical:color=blue", 0), np.random.default_rng(0)).image[covered]
        for albedo in (0.35, 0.02)
    )
    grey = np.repeat(skin(mesh).mean(axis=2, keepdims=True).astype(np.uint8), 3, axis=2)
    plain = wear(grey, mesh, drawn("surgical:color=blue", 0), np.random.default_rng(0)).image[covered]

    assert bright.mean() > 1.5 * dark.mean()
    assert (bright[:, 2].astype(int) - bright[:, 0]).mean() > 20
    assert np.ptp(plain.astype(int), axis=1).max() <= 2


@pytest.mark.parametrize("deviation", [0.8, 1.5, 3.0])
def test_the_blur_of_an_edge_is_measured(deviation: float):
    from math import erf

    x = np.arange(80) - 40.3
    edge = 60 + 60 * np.array([1 + erf(v / (deviation * 2**0.5)) for v in x])
    grey = np.repeat(edge[None], 80, axis=0).astype(np.uint8)

    assert blur_of(grey) == pytest.approx(deviation, rel=0.2)


def test_a_soft_photo_gets_a_soft_mask():
    import cv2

    mesh = turned()
    sharp = skin(mesh)
    soft = cv2.GaussianBlur(sharp, (0, 0), 2.5)
    rims = []
    for image in (sharp, soft):
        covered = wear(image, mesh, drawn("n95", 0), np.random.default_rng(0)).coverage.astype(int)
        rims.append(np.abs(np.diff(covered, axis=0)).max())

    assert rims[1] < 0.6 * rims[0]


def test_the_far_side_of_a_ring_is_hidden_by_what_is_within_it():
    ring, within = drawn("hat:kind=beanie", 0).parts[1], drawn("hat:kind=beanie", 0).parts[0]
    inner = replace(
        within, texture=np.concatenate([np.full_like(within.texture[..., :3], 200), within.texture[..., 3:]], -1)
    )
    outer = replace(
        ring, texture=np.concatenate([np.zeros_like(ring.texture[..., :3]), ring.texture[..., 3:]], axis=-1)
    )
    tilt = np.radians(35)  # the head looks down: over the near side of the ring the far one would be seen
    mesh = canonical().points @ np.array([[1, 0, 0], [0, np.cos(tilt), np.sin(tilt)], [0, -np.sin(tilt), np.cos(tilt)]])
    mesh = mesh * EYES + (80, 100, 0)
    image = skin(mesh)
    alone, both = (
        wear(image, mesh, Template("x", parts), np.random.default_rng(0)) for parts in ((outer,), (inner, outer))
    )
    hidden = (alone.coverage == 255) & (both.image.mean(axis=2) > 90)

    assert hidden.sum() > 100


@pytest.mark.parametrize("yaw", [-80, -40, 40, 80])
def test_a_hand_is_before_the_face_from_wherever_it_is_seen(yaw: float):
    frontal, seen = (coverage(turned(angle), drawn("hand:over=mouth", 1)) > 127 for angle in (0, yaw))
    face = rasterise(np.asarray(turned(yaw), np.float32), canonical().closed, (SIZE, SIZE)).triangle >= 0

    assert seen.sum() > 0.6 * frontal.sum()  # never from its edge
    assert (seen & face).sum() > 0.1 * face.sum()


@pytest.mark.parametrize("yaw", [-80, -45, 0, 45, 80])
def test_a_gaiter_covers_nose_mouth_and_jaw_up_to_the_ear_that_is_seen(yaw: float):
    mesh = turned(yaw)
    seen = coverage(mesh, drawn("gaiter", 0)) > 127
    points = np.rint(mesh[[4, 13, 152, 172 if yaw > 0 else 397], :2]).astype(int)  # nose, mouth, chin, the near jaw

    assert seen[points[:, 1], points[:, 0]].mean() >= 0.75  # the nose's tip may lie on the silhouette
    assert not seen[np.rint(mesh[[33, 263], 1]).astype(int), np.rint(mesh[[33, 263], 0]).astype(int)].any()


def test_a_face_beside_the_photo_changes_nothing():
    mesh = turned(shift=(-400.0, 70.0))
    image = skin(turned())
    worn = wear(image, mesh, drawn("surgical", 0), np.random.default_rng(0))

    assert np.array_equal(worn.image, image) and not worn.coverage.any()


@pytest.mark.parametrize("mesh", [np.zeros((468, 3)), np.full((468, 3), np.nan), np.zeros((5, 2))])
def test_what_is_no_mesh_is_refused(mesh: FloatArray):
    with pytest.raises(InputError, match="mesh"):
        wear(skin(turned()), mesh, drawn("surgical", 0), np.random.default_rng(0))
