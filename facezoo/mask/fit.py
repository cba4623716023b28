"""A mesh from a few landmarks: the mean face is turned, and its shape changed a little, until it fits them."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from facezoo.mask.canonical import canonical
from facezoo.types import FloatArray, InputError

# Vertices of the mesh by the numbers of iBUG's 68 points (https://ibug.doc.ic.ac.uk/resources/300-W).
JAW = (127, 234, 132, 58, 172, 150, 149, 148, 152, 377, 378, 379, 397, 288, 361, 454, 356)
BROWS = (70, 63, 105, 66, 107, 336, 296, 334, 293, 300)
NOSE = (168, 6, 195, 4, 98, 97, 2, 326, 327)
EYES = (33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380)
LIPS = (61, 40, 37, 0, 267, 270, 291, 321, 314, 17, 84, 91, 78, 81, 13, 311, 308, 402, 14, 178)

FROM_106 = (
    (1, 2), (3, 4), (5, 6), 7, 9, 11, (12, 13), 14, 16, 18, (19, 20), 21, 23, 25, (26, 27), (28, 29), (30, 31),
    33, 34, 35, 36, 37, 42, 43, 44, 45, 46, 51, 52, 53, 54, 58, 59, 60, 61, 62,
    66, 67, 69, 70, 71, 73, 75, 76, 78, 79, 80, 82, *range(84, 104),
)  # fmt: skip
"""Which of FaceX-Zoo's 106 points each of the 68 is; two stand for the middle between them."""

LEFT_EYE = (33, 133, 159, 145)
RIGHT_EYE = (263, 362, 386, 374)
FIVE = (LEFT_EYE, RIGHT_EYE, (4, 1), (61,), (291,))
"""The mesh's vertices whose mean is each of the five points."""

TWENTY_FIVE = (
    LEFT_EYE, RIGHT_EYE, (70,), (107,), (336,), (300,), (168,), (4,), (0,), (17,), (61,), (291,), (327,), (98,),
    (13, 14), (2,), (133,), (145,), (33,), (263,), (374,), (362,), (105,), (334,), (152,),
)  # fmt: skip
"""The same for the 25 points that FaceX-Zoo takes from its 106."""

SIXTY_EIGHT = tuple((vertex,) for vertex in (*JAW, *BROWS, *NOSE, *EYES, *LIPS))
"""The same for the 68."""

JAW_WEIGHT = 0.3
"""Points of the jaw lie on the silhouette, which is another place on the face from every side."""

NOISE = 0.03
"""Standard deviation of a landmark, in distances between the eyes."""

YAW, PITCH = 0.7, 0.25
"""Standard deviations of the pose, radians: few points do not tell every face from a turned one."""

STARTS = tuple((yaw, pitch) for yaw in (-1.1, -0.5, 0.0, 0.5, 1.1) for pitch in (-0.3, 0.3))
FIRST_STEPS, BEST, STEPS = 8, 2, 15
"""So many steps of the mean face from all starts, then with its modes from the best of them."""


def fit_mesh(landmarks: FloatArray) -> FloatArray:
    """The mesh (468, 3) float32 of one face: x and y in pixels, z in the same scale, smaller is nearer.

    A scaled orthographic view of the mean face and its modes, by least squares with a prior on pose and shape, from
    several poses to begin with, so that it is not caught in a mirrored one.

    Args:
        landmarks: pixels, image-left first: (5, 2) eyes, nose and mouth corners; (68, 2) in iBUG's order; (25, 2) or
            (106, 2) in FaceX-Zoo's.

    Raises:
        InputError: another number of points, not finite, or all in one place.
    """
    points = np.asarray(landmarks, np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or len(points) not in (5, 25, 68, 106) or not np.isfinite(points).all():
        raise InputError(f"landmarks: shape {points.shape}; 5, 25, 68 or 106 finite points (K, 2) are known")
    if len(points) == 106:
        points = np.stack([points[list(which) if isinstance(which, tuple) else [which]].mean(0) for which in FROM_106])
    spread = np.sqrt(points.var(axis=0).sum())
    if spread < 1e-3:
        raise InputError("landmarks: all points of a face coincide, no mesh fits them")
    middle = points.mean(axis=0)
    mean, modes, weights = _model(len(points))
    pose, shape = _fit((points - middle) / spread, mean, modes, weights)
    mesh = canonical()
    turned = (mesh.points + np.tensordot(shape, mesh.modes, axes=1)) @ rotation(pose[None, :3])[0][0].T
    turned *= np.exp(pose[3])
    turned[:, :2] += pose[4:6]
    turned *= spread
    turned[:, :2] += middle
    return turned.astype(np.float32)


def rotation(angles: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Rotations (S, 3, 3) from yaw, pitch, roll (S, 3) in radians, and their derivatives (S, 3, 3, 3).

    In coordinates x right, y down, z away: yaw > 0 turns the face to image right, pitch > 0 down, roll > 0 clockwise.
    """
    a, b, c = angles.T
    zero, one = np.zeros_like(a), np.ones_like(a)

    def matrices(rows: list[list[FloatArray]]) -> FloatArray:
        return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)

    def about(axis: int, angle: FloatArray, unit: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The rotation about an axis and its derivative; `unit` is what stands on the axis."""
        co, si, i, j = np.cos(angle), np.sin(angle), (axis + 1) % 3, (axis + 2) % 3
        made, change = [[zero] * 3 for _ in range(3)], [[zero] * 3 for _ in range(3)]
        made[axis][axis] = unit
        made[i][i], made[i][j], made[j][i], made[j][j] = co, -si, si, co
        change[i][i], change[i][j], change[j][i], change[j][j] = -si, -co, co, -si
        return matrices(made), matrices(change)

    (yaw, d_yaw), (pitch, d_pitch), (roll, d_roll) = about(1, -a, one), about(0, b, one), about(2, c, one)
    changes = [roll @ pitch @ -d_yaw, roll @ d_pitch @ yaw, d_roll @ pitch @ yaw]
    return roll @ pitch @ yaw, np.stack(changes, axis=1)


@lru_cache(maxsize=4)
def _model(count: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Mean (K, 3), modes (M, K, 3) and weights (K,) of the landmarks on the mesh."""
    groups: tuple[tuple[int, ...], ...] = {5: FIVE, 25: TWENTY_FIVE, 68: SIXTY_EIGHT}[count]
    mesh = canonical()
    mean = np.stack([mesh.points[list(own)].mean(axis=0) for own in groups]).astype(np.float64)
    modes = np.stack([mesh.modes[:, list(own)].mean(axis=1) for own in groups], axis=1).astype(np.float64)
    weights = np.ones(len(groups))
    if len(groups) == 68:
        weights[: len(JAW)] = JAW_WEIGHT
    return mean, modes, weights


def _fit(points: FloatArray, mean: FloatArray, modes: FloatArray, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Pose (6,), that is yaw, pitch, roll, log scale and place, and shape (M,)."""
    start: FloatArray = np.zeros((len(STARTS), 6))
    start[:, :2] = STARTS
    start[:, 2] = _roll(points)
    start[:, 3] = np.log(1 / np.sqrt(mean[:, :2].var(axis=0).sum()))
    start, cost = _descend(start, FIRST_STEPS, points, mean, modes[:0], weights)
    start = np.pad(start[np.argsort(cost, kind="stable")[:BEST]], ((0, 0), (0, len(modes))))
    state, cost = _descend(start, STEPS, points, mean, modes, weights)
    best = state[np.argmin(cost)]
    return best[:6], best[6:]


def _descend(
    state: FloatArray, steps: int, points: FloatArray, mean: FloatArray, modes: FloatArray, weights: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """States (S, 6 + M) and their costs after steps of damped Gauss-Newton, each state for itself."""
    m = len(modes)
    prior = np.concatenate([[YAW, PITCH, np.inf, np.inf, np.inf, np.inf], np.ones(m)]) ** -2.0
    damping = np.full(len(state), 1e-2)
    cost, slope, curve = _cost(state, points, mean, modes, weights, prior)
    for _ in range(steps):
        damped = curve + damping[:, None, None] * np.eye(6 + m) * np.einsum("sii->si", curve)[:, None]
        tried = state - np.linalg.solve(damped, slope[..., None])[..., 0]
        better_cost, better_slope, better_curve = _cost(tried, points, mean, modes, weights, prior)
        better = better_cost < cost
        state[better], cost[better] = tried[better], better_cost[better]
        slope[better], curve[better] = better_slope[better], better_curve[better]
        damping = np.where(better, damping / 5, damping * 5)
    return state, cost


def _roll(points: FloatArray) -> float:
    """From the eyes, which come first where there are few points, or from both halves of the 68."""
    left, right = (
        (points[0], points[1]) if len(points) < 68 else (points[36:42].mean(axis=0), points[42:48].mean(axis=0))
    )
    return float(np.arctan2(right[1] - left[1], right[0] - left[0]))


def _cost(
    state: FloatArray, points: FloatArray, mean: FloatArray, modes: FloatArray, weights: FloatArray, prior: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Half the weighted squares (S,) of all starts, their gradient (S, P) and the Gauss-Newton matrix (S, P, P)."""
    turn, changes = rotation(state[:, :3])
    scale = np.exp(state[:, 3])[:, None, None]
    shape = mean + np.tensordot(state[:, 6:], modes, axes=1)
    seen = scale * (shape @ turn[:, :2].transpose(0, 2, 1))
    left = seen + state[:, None, 4:6] - points
    by_angle = scale[:, None] * np.einsum("saij,skj->saki", changes[:, :, :2], shape)
    by_place = np.broadcast_to(np.eye(2)[:, None], (len(state), 2, *points.shape))
    by_shape = scale[:, None] * np.einsum("sij,mkj->smki", turn[:, :2], modes)
    slopes = np.concatenate([by_angle, seen[:, None], by_place, by_shape], axis=1)
    root = np.sqrt(weights)[:, None] / (NOISE * scale)
    left, slopes = (left * root).reshape(len(state), -1), (slopes * root[:, None]).reshape(*slopes.shape[:2], -1)
    cost = 0.5 * ((left**2).sum(axis=1) + (prior * state**2).sum(axis=1))
    slope = np.einsum("spk,sk->sp", slopes, left) + prior * state
    return cost, slope, slopes @ slopes.transpose(0, 2, 1) + np.diag(prior)
