"""Meshes fitted to landmarks of meshes that are known."""

from __future__ import annotations

import numpy as np
import pytest

from facezoo.mask.canonical import canonical
from facezoo.mask.fit import FIVE, FROM_106, SIXTY_EIGHT, TWENTY_FIVE, fit_mesh, rotation
from facezoo.types import InputError

SETS = {5: FIVE, 25: TWENTY_FIVE, 68: SIXTY_EIGHT}
"""Vertices whose mean each landmark is."""


def face(yaw, pitch, roll, seed):
    """A mesh (468, 3) in pixels, drawn from the modes, the eyes 80 pixels apart."""
    mesh, rng = canonical(), np.random.default_rng(seed)
    shape = mesh.points + np.tensordot(rng.normal(0, 0.7, len(mesh.modes)), mesh.modes, axes=1)
    turn = rotation(np.radians([[yaw, pitch, roll]]))[0][0]
    return 80 * shape @ turn.T + (200, 150, 0)


def landmarks(points, count):
    return np.stack([points[list(own), :2].mean(axis=0) for own in SETS[count]])


@pytest.mark.parametrize(("count", "allowed"), [(5, 0.09), (25, 0.05), (68, 0.03)])
@pytest.mark.parametrize(("yaw", "pitch", "roll"), [(0, 0, 0), (35, -8, 10), (-60, 5, -25), (10, 12, 170)])
def test_the_mesh_is_found_from_its_landmarks(count, allowed, yaw, pitch, roll):
    errors = []
    for seed in range(4):
        points = face(yaw, pitch, roll, seed)
        errors.append(np.linalg.norm(fit_mesh(landmarks(points, count))[:, :2] - points[:, :2], axis=1).mean() / 80)

    assert np.mean(errors) < allowed


@pytest.mark.parametrize("yaw", [-55, 55])
def test_five_points_tell_to_which_side_a_face_is_turned(yaw):
    points = face(yaw, 0, 0, seed=1)

    found = fit_mesh(landmarks(points, 5))

    assert np.sign(found[234, 2] - found[454, 2]) == np.sign(points[234, 2] - points[454, 2])


def test_106_points_are_68_of_them():
    few = landmarks(face(20, 0, 0, seed=2), 68)
    many = np.zeros((106, 2))
    for point, which in zip(few, FROM_106, strict=True):
        many[list(which) if isinstance(which, tuple) else which] = point

    assert np.allclose(fit_mesh(many), fit_mesh(few), atol=1e-3)


def test_the_fit_moves_with_the_landmarks():
    points = landmarks(face(25, 5, 0, seed=3), 68)
    angle = np.radians(30)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])

    moved = fit_mesh(3 * points @ turn.T + (40, -9))
    stayed = fit_mesh(points)

    assert np.abs(moved[:, :2] - (3 * stayed[:, :2] @ turn.T + (40, -9))).max() < 0.5
    assert np.abs(moved[:, 2] - 3 * stayed[:, 2]).max() < 0.5


def test_derivatives_of_the_rotation():
    angles = np.array([[0.3, -0.2, 1.1]])
    _, changes = rotation(angles)
    for k in range(3):
        step = np.zeros((1, 3))
        step[0, k] = 1e-6
        slope = (rotation(angles + step)[0] - rotation(angles - step)[0]) / 2e-6
        assert np.abs(slope - changes[:, k]).max() < 1e-8


def test_the_directions_of_the_angles():
    nose = np.array([0, 0, -1.0])  # towards the viewer

    yaw, pitch, roll = (rotation(np.eye(3)[[k]] * 0.5)[0][0] for k in range(3))
    assert (yaw @ nose)[0] > 0.4  # to image right
    assert (pitch @ nose)[1] > 0.4  # down
    assert (roll @ np.array([1.0, 0, 0]))[1] > 0.4  # clockwise on the screen


@pytest.mark.parametrize("wrong", [np.zeros((4, 2)), np.zeros((68, 3)), np.full((5, 2), np.nan), np.ones((5, 2))])
def test_other_landmarks_are_refused(wrong):
    with pytest.raises(InputError, match="landmarks"):
        fit_mesh(wrong)
