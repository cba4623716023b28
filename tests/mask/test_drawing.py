"""The bytes of a mask do not hang on the number of threads, nor on where in memory its arrays lie."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt
from threadpoolctl import threadpool_limits

from facezoo.mask import pose
from facezoo.mask.canonical import canonical
from facezoo.mask.drawing import PIXEL, SIDE, area, within
from facezoo.mask.template import create_recipe
from facezoo.registry import WEARABLES

THREADS = pytest.mark.parametrize("threads", [1, 2])
"""OpenCV computes otherwise with more threads than one."""


@pytest.fixture(autouse=True)
def _restored():
    before = cv2.getNumThreads()
    yield
    cv2.setNumThreads(before)


@THREADS
def test_distances_within_an_area_are_exact_to_the_last_bit(threads: int):
    cv2.setNumThreads(threads)
    turn = np.linspace(0, 2 * np.pi, 40)
    coverage = area(np.stack([0.6 * np.cos(turn), 0.5 + 0.45 * np.sin(turn)], axis=1))
    nearest = distance_transform_edt(coverage > 0.5, return_distances=False, return_indices=True)
    squared = ((np.indices(coverage.shape) - nearest) ** 2).sum(axis=0)

    assert squared.max() > 50**2
    assert np.array_equal(within(coverage), np.sqrt(squared.astype(np.float32)) * np.float32(PIXEL))


@THREADS
def test_where_all_is_covered_the_edge_is_far_away(threads: int):
    cv2.setNumThreads(threads)
    assert (within(np.ones((SIDE, SIDE), np.float32)) == np.float32(2 * SIDE) * np.float32(PIXEL)).all()


@THREADS
def test_distances_of_a_small_area_are_those_by_hand(threads: int):
    cv2.setNumThreads(threads)
    coverage = np.zeros((SIDE, SIDE), np.float32)
    coverage[3:6, 3:8] = 1
    wanted = np.array([[1, 1, 1, 1, 1], [1, 2, 2, 2, 1], [1, 1, 1, 1, 1]], np.float32)
    assert np.array_equal(within(coverage)[3:6, 3:8], wanted * np.float32(PIXEL))


@pytest.mark.parametrize("name", [name for name in WEARABLES.names() if name != "png"])
def test_a_piece_has_the_same_bytes_with_any_number_of_threads(name: str):
    drawn = []
    for count in (1, 2):
        cv2.setNumThreads(count)
        parts = create_recipe(name).draw(np.random.default_rng(4)).parts
        drawn.append([part.grid.tobytes() + part.texture.tobytes() for part in parts])
    assert drawn[0] == drawn[1]


def test_a_surface_follows_a_mesh_to_the_same_bits_with_any_number_of_threads():
    mesh = canonical().points * 50 + np.random.default_rng(0).normal(0, 0.5, (468, 3))
    points = pose.head().points[::3] * 1.05
    found = []
    for count in (1, 2):
        pose._smooth.cache_clear()
        with threadpool_limits(count, "blas"):
            found.append(pose.Pose.of(mesh).place(points, pose.following(points)))
    assert np.array_equal(*found)
    assert np.abs(found[0] - found[0][:1]).max() > 10
