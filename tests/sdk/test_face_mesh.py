"""The mesh network on rendered and on real faces."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from facezoo.align import align, similarity, template_points
from facezoo.image import read_image
from facezoo.mask.canonical import canonical
from facezoo.registry import LANDMARKS
from facezoo.sdk import YuNet, main_face
from facezoo.sdk.face_mesh import SIDE, square
from facezoo.types import InputError

pytestmark = pytest.mark.network


@pytest.fixture(scope="module")
def mesh():
    return LANDMARKS.create("face-mesh:threads=1")


@pytest.fixture(scope="module")
def photo():
    from facezoo import zoo

    image = read_image(zoo.get("photo-obama"))
    return image, main_face(YuNet(threads=1)(image), image.shape[:2])


def eyes_apart(points):
    return np.linalg.norm(points[362, :2] - points[33, :2])


def test_the_points_lie_on_the_face(mesh, photo):
    image, face = photo
    points, presence = mesh.scored(image, face.box[None])

    assert points.shape == (1, 468, 3) and points.dtype == np.float32 and presence[0] > 0.95
    five = [points[0, list(own), :2].mean(axis=0) for own in ((33, 133), (362, 263), (4, 1), (61,), (291,))]
    assert np.linalg.norm(np.array(five) - face.landmarks, axis=1).max() < 0.2 * eyes_apart(points[0])
    assert points[0, 4, 2] < points[0, [234, 454], 2].min()  # the nose is nearer than the ears


def test_no_face_no_presence(mesh):
    grey = np.full((200, 200, 3), 120, np.uint8)

    assert mesh.scored(grey, np.array([[40, 40, 160, 160]]))[1][0] < 0.5


def test_a_batch_is_the_same_as_one_by_one(mesh, photo):
    image, face = photo
    boxes = face.box + np.array([[0, 0, 0, 0], [9, 5, 9, 5], [-20, -20, 20, 20]])

    together = mesh(image, boxes)

    assert np.abs(together - np.concatenate([mesh(image, box[None]) for box in boxes])).max() < 0.01
    assert mesh(image, np.empty((0, 4))).shape == (0, 468, 3)


@pytest.mark.parametrize(
    ("degrees", "told"), [(15, False), (-15, False), (30, True), (90, True), (180, True), (-135, True)]
)
def test_a_tilted_photo_gives_the_tilted_mesh(mesh, photo, degrees, told):
    image, face = photo
    middle = (face.box[:2] + face.box[2:]) / 2
    matrix = cv2.getRotationMatrix2D(middle, -degrees, 1)
    upright = mesh(image, face.box[None])[0]
    tilted = cv2.warpAffine(image, matrix, image.shape[1::-1])
    landmarks = face.landmarks @ matrix[:, :2].T + matrix[:, 2]

    found = mesh(tilted, face.box[None], landmarks[None] if told else None)[0]

    expected = upright[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    assert np.linalg.norm(found[:, :2] - expected, axis=1).mean() < 0.06 * eyes_apart(upright)
    assert np.abs(found[:, 2] - upright[:, 2]).mean() < 0.06 * eyes_apart(upright)


def test_a_mirrored_photo_gives_the_mirrored_mesh(mesh, photo):
    image, face = photo
    width = image.shape[1]
    x0, y0, x1, y1 = face.box
    upright = mesh(image, face.box[None])[0]

    found = mesh(np.ascontiguousarray(image[:, ::-1]), np.array([[width - x1, y0, width - x0, y1]]))[0]

    back = found[canonical().mirror]
    back[:, 0] = width - 1 - back[:, 0]
    assert np.abs((back - upright).mean(axis=0)).max() < 0.03 * eyes_apart(upright)


def test_a_face_at_the_border_is_found(mesh, photo):
    image, face = photo
    x0, y0 = np.floor(face.box[:2]).astype(int)
    whole = mesh(image, face.box[None])[0]

    cut = mesh(np.ascontiguousarray(image[y0:, x0:]), (face.box - [x0, y0, x0, y0])[None])[0]

    assert np.linalg.norm((cut[:, :2] + (x0, y0) - whole[:, :2]), axis=1).mean() < 0.08 * eyes_apart(whole)


def test_where_the_box_lies_hardly_matters(mesh, photo):
    image, face = photo
    side = (face.box[2:] - face.box[:2]).max()
    boxes = face.box + side * np.array([[0, 0, 0, 0], [0.1, 0.1, 0.1, 0.1], [-0.12, -0.12, 0.12, 0.12]])

    refined, plain = (model(image, boxes)[..., :2] for model in (mesh, LANDMARKS.create("face-mesh:refine=false")))

    apart = [np.linalg.norm(found - found[0], axis=2)[1:].mean() / eyes_apart(found[0]) for found in (refined, plain)]
    assert apart[0] < 0.03 and apart[0] < apart[1]


def test_the_mesh_of_a_crop_is_that_of_its_photo(mesh, photo):
    image, face = photo
    to_crop = similarity(face.landmarks, template_points("arcface", (112, 112)))
    expected = mesh(image, face.box[None])[0, :, :2] @ to_crop[:, :2].T + to_crop[:, 2]

    crop = align(image, face.landmarks)
    found = mesh.of_crops([crop, np.ascontiguousarray(crop[:, ::-1])])

    assert found.shape == (2, 468, 3) and mesh.of_crops([]).shape == (0, 468, 3)
    assert np.linalg.norm(found[0, :, :2] - expected, axis=1).mean() < 2


@pytest.mark.parametrize("scale", [0.3, 1.0, 7.0])
def test_the_crop_shows_what_lies_there(scale):
    size = np.array([60, 80]) * scale
    x, y = np.meshgrid(np.arange(int(size[1])), np.arange(int(size[0])))
    image = np.stack([x * 3 / scale, y * 3 / scale, 0 * x], axis=-1).clip(0, 255).astype(np.uint8)
    angle = 0.4
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    centre, side = np.array([40, 30]) * scale, 20 * scale

    crop = square(image, centre, side, turn)

    grid = np.stack(np.meshgrid(np.arange(SIDE), np.arange(SIDE)), axis=-1) + 0.5 - SIDE / 2
    place = (grid * side / SIDE) @ turn.T + centre - 0.5
    assert np.abs(crop[..., :2] - place * 3 / scale).max() < 1.5 + 3 / scale


@pytest.mark.parametrize(
    ("boxes", "why"),
    [([[0, 0, 5]], "boxes have shape"), ([[5, 0, 5, 9]], "no area"), ([[0, 0, np.nan, 9]], "finite numbers")],
)
def test_wrong_boxes_are_refused(mesh, boxes, why):
    with pytest.raises(InputError, match=why):
        mesh(np.zeros((20, 20, 3), np.uint8), np.array(boxes, float))


def test_landmarks_of_other_faces_are_refused(mesh):
    with pytest.raises(InputError, match=r"must be finite numbers \(1, 5, 2\)"):
        mesh(np.zeros((20, 20, 3), np.uint8), np.array([[0, 0, 9, 9.0]]), np.zeros((2, 5, 2)))


def test_options_are_checked():
    with pytest.raises(InputError, match="margin"):
        LANDMARKS.create("face-mesh:margin=9")
