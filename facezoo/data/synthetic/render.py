"""A person and a view become a photo, with landmarks that are known and not detected."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from facezoo.align import similarity, template_points
from facezoo.data.synthetic.head_model import HAIR, Array, HeadModel
from facezoo.data.synthetic.identity import Identity
from facezoo.data.synthetic.kernels import kernels
from facezoo.data.synthetic.scene import background, develop
from facezoo.data.synthetic.view import View
from facezoo.types import Image, InputError

SUPERSAMPLING = 2
SHADOW_MAP = 192
MAX_SIZE = 2048
"""Pixels a side: a photo takes about 1 GB while it is painted at twice that."""


@dataclass(frozen=True, eq=False)
class Sample:
    """A photo of an invented person.

    Attributes:
        image: uint8 RGB (size, size, 3).
        landmarks: (5, 2) pixels: image-left eye, image-right eye, nose tip, mouth corners left, right.
        points: (V + S, 3) all mesh vertices on the image, x and y in pixels; the third is 1 / depth, larger is nearer.
        view: what was photographed.
    """

    image: Image
    landmarks: Array
    points: Array
    view: View


def render(identity: Identity, view: View, size: int = 112, aligned: bool = True) -> Sample:
    """Photograph a person.

    Args:
        size: height and width, pixels.
        aligned: the photo is the crop of the "arcface" template, by the exact landmarks; otherwise the face
            lies somewhere in a scene.
    """
    if not 16 <= size <= MAX_SIZE:
        raise InputError(f"synthetic: size is {size}, it must be 16..{MAX_SIZE} pixels")
    points, flat, landmarks = project(identity, view, size, aligned)
    fine = size * SUPERSAMPLING
    screen = np.column_stack([(flat + 0.5) * SUPERSAMPLING, -1 / points[:, 2]]).astype(np.float32)
    picture = _paint(identity, view, points, screen, fine)
    picture = cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA)
    behind = background(view.scene, size, size) * view.sky.mean()
    picture = (picture[..., :3] + (1 - picture[..., 3:]) * behind) * np.float32(view.exposure)
    rng = np.random.default_rng([view.scene, 1])
    blur = view.blur * (size / 112 if aligned else view.eye_distance * size / 35.2)
    image = develop(picture.astype(np.float32), rng, blur, view.noise, view.quality)
    on_image = np.column_stack([flat, -1 / points[:, 2]]).astype(np.float32)
    return Sample(image, landmarks, on_image, view)


def project(identity: Identity, view: View, size: int, aligned: bool) -> tuple[Array, Array, Array]:
    """Where everything lies, before anything is painted.

    Returns:
        Camera coordinates (V + S, 3), the same on the image (V + S, 2) in pixels, and the five landmarks (5, 2).
    """
    points = _pose(identity, view)
    flat = points[:, :2] * (view.distance / -points[:, 2:]) * np.array([1, -1], np.float32)
    marks = landmark_points(identity.head, flat)
    if aligned:
        frame = similarity(marks, template_points("arcface", (size, size)))
    else:
        frame = _placement(marks, view, size)
    return points, flat @ frame[:, :2].T + frame[:, 2], marks @ frame[:, :2].T + frame[:, 2]


def _paint(identity: Identity, view: View, points: Array, screen: Array, fine: int) -> Array:
    """Linear RGB and coverage (fine, fine, 4): the head, and over it the lashes and the hair that hangs."""
    code, head = kernels(), identity.head
    normal, lit = code.normals(points, identity.faces), _lit(identity, view, points)
    gaze = _gaze(view)
    layers = []
    for part in (slice(None, identity.sheet), slice(identity.sheet, None)):
        faces, uv, material = identity.faces[part], identity.uv[part], identity.material[part]
        nearest, weights, depth = code.zbuffer(screen, faces, material >= HAIR, fine, fine)
        color = code.shade(
            nearest, weights, screen, faces, material, uv, points, normal, identity.rest, identity.occlusion, lit,
            identity.texture, identity.colors, head.eyes, gaze, view.lights, view.light_colors, view.sky,
            view.ground, view.cloth,
        )  # fmt: skip
        layers.append((color, depth))
    (picture, depth), (over, nearer) = layers
    share = over[..., 3:] * (nearer > depth)[..., None]
    over[..., 3] = 1
    picture += share * (over - picture)
    return picture


def landmark_points(head: HeadModel, points: Array) -> Array:
    """The five landmarks (5, D) of mesh points (V, D): means over the model's landmark vertices."""
    return np.stack([points[own].mean(axis=0, dtype=np.float64) for own in head.landmarks])


def _pose(identity: Identity, view: View) -> Array:
    """Camera coordinates (V, 3): expression, turned on the neck, in front of a camera that looks along -z."""
    shape = identity.shape.copy()
    shape[: len(identity.aging)] += np.float32(view.years) * identity.aging
    identity.head.move(shape, view.expression)
    # The body follows the head only in part; the neck lies between the two.
    height = identity.rest[:, 1:2]
    follow = np.clip((height - 5.5) / 0.9, 0, 1)
    follow = follow * follow * (3 - 2 * follow)
    around = shape - identity.pivot
    of_head = around @ rotation(view.yaw, view.pitch, view.roll).T
    of_body = around @ rotation(view.turn, 0.0, 0.0).T
    points = of_body + follow * (of_head - of_body)
    points[:, 2] -= view.distance
    return np.ascontiguousarray(points, np.float32)


def rotation(yaw: float, pitch: float, roll: float) -> Array:
    """(3, 3) float32 from degrees: yaw about y (towards +x), then pitch about x (down), then roll about z."""
    a, b, c = np.radians((yaw, pitch, -roll))
    about_y = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    about_z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return (about_z @ about_x @ about_y).astype(np.float32)


def _placement(marks: Array, view: View, size: int) -> Array:
    """Scale and shift (2, 3) that put the face where the view wants it."""
    scale = view.eye_distance * size / max(float(np.linalg.norm(marks[1] - marks[0])), 0.35)
    shift = np.array(view.place) * size - scale * marks.mean(axis=0)
    return np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])


def _gaze(view: View) -> Array:
    side, down = np.radians(view.gaze)
    return np.array([np.sin(side) * np.cos(down), -np.sin(down), np.cos(side) * np.cos(down)], np.float32)


def _lit(identity: Identity, view: View, points: Array) -> Array:
    """Share (V,) of the first light that reaches each vertex past the rest of the head."""
    return kernels().light_share(points, identity.faces[: identity.sheet], view.lights[0], SHADOW_MAP)
