"""The mean face that is in the repository is whole, symmetric and flat in its texture."""

from __future__ import annotations

import numpy as np
import pytest

from facezoo.mask.canonical import canonical


def turned(flat, triangles):
    """Twice the signed area; above 0 clockwise on the screen."""
    a, b = flat[triangles[:, 1]] - flat[triangles[:, 0]], flat[triangles[:, 2]] - flat[triangles[:, 0]]
    return a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]


def test_no_triangle_of_the_texture_folds_over_or_is_a_sliver():
    mesh = canonical()
    double = turned(mesh.uv.astype(float), mesh.closed)

    assert double.min() > 4e-6  # half a texel of 512
    assert mesh.uv.min() >= 0 and mesh.uv.max() <= 1
    # Together they fill the oval: nothing overlaps.
    oval = mesh.uv[mesh.regions["oval"]].astype(float)
    following = np.roll(oval, -1, axis=0)
    shoelace = abs((oval[:, 0] * following[:, 1] - oval[:, 1] * following[:, 0]).sum())
    assert double.sum() == pytest.approx(shoelace, rel=1e-5)


def test_the_surface_is_a_disc_that_uses_every_vertex():
    mesh = canonical()
    edges = np.concatenate([mesh.closed[:, [0, 1]], mesh.closed[:, [1, 2]], mesh.closed[:, [2, 0]]])
    pairs, count = np.unique(np.sort(edges, axis=1), axis=0, return_counts=True)

    assert set(mesh.closed.ravel()) == set(range(468))
    assert count.max() == 2
    assert 468 - len(pairs) + len(mesh.closed) == 1  # Euler
    assert set(pairs[count == 1].ravel()) == set(mesh.regions["oval"])


def test_eyes_and_mouth_are_open():
    mesh = canonical()
    rings = [mesh.regions[name] for name in ("left_eye", "right_eye", "mouth")]

    assert [len(ring) for ring in rings] == [16, 16, 20]
    assert len(mesh.covers) == sum(len(ring) - 2 for ring in rings)
    assert set(mesh.covers.ravel()) == set(np.concatenate(rings))


def test_the_halves_mirror_each_other():
    mesh = canonical()

    assert (mesh.mirror[mesh.mirror] == np.arange(468)).all()
    assert np.abs(mesh.points[mesh.mirror] * [-1, 1, 1] - mesh.points).max() < 1e-6
    assert np.abs(mesh.uv[mesh.mirror] * [-1, 1] + [1, 0] - mesh.uv).max() < 1e-6
    assert {tuple(sorted(t)) for t in mesh.mirror[mesh.closed]} == {tuple(sorted(t)) for t in mesh.closed}


def test_the_frame_is_that_of_the_docstring():
    mesh = canonical()
    left, right = (mesh.points[list(corners)].mean(axis=0) for corners in ((33, 133), (362, 263)))

    assert np.abs(left + right).max() < 1e-5 and np.linalg.norm(right - left) == pytest.approx(1, abs=1e-5)
    assert left[0] < 0 < mesh.points[152, 1]  # image-left is negative, the chin is below
    assert mesh.points[4, 2] < mesh.points[[234, 454], 2].min() - 0.5  # the nose is nearer than the ears


def test_regions_lie_where_their_names_say():
    mesh = canonical()
    middle = {name: mesh.uv[ring].mean(axis=0) for name, ring in mesh.regions.items()}

    assert set(middle) == {
        "oval", "lips", "mouth", "left_eye", "right_eye", "left_brow", "right_brow", "nose", "mask",
    }  # fmt: skip
    assert middle["left_eye"][0] < 0.5 < middle["right_eye"][0]
    assert middle["left_brow"][1] < middle["left_eye"][1] < middle["nose"][1] < middle["mouth"][1]
    for ring in mesh.regions.values():
        assert len(set(ring)) == len(ring)


def test_the_data_are_small_and_read_only():
    mesh = canonical()

    with pytest.raises(ValueError, match="read-only"):
        mesh.points[0] = 0
    assert 0.005 < np.abs(mesh.modes[0]).max() < 1
