"""Computes `facezoo/mask/canonical.npz`, the mean face of the 468-point mesh, from rendered faces.

    python tools/canonical_mesh.py [--people 200] [--out facezoo/mask/canonical.npz]

The network says where its 468 points lie on faces that nobody has; everything else follows from these numbers: mean
shape and modes by Procrustes and principal components, pairs of mirrored points by assignment, triangles by Delaunay on
a cylinder around faces with an open mouth, the texture layout by Tutte's embedding with mean value weights
(https://doi.org/10.1016/S0167-8396(02)00002-5), the outlines of eyes, lips and mouth as shortest paths between points
on them. A minute on one core.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import dijkstra
from scipy.sparse.linalg import spsolve
from scipy.spatial import ConvexHull, Delaunay

from facezoo.data.synthetic import draw_view, load_head, make_identity, render
from facezoo.data.synthetic.head_model import GROUPS
from facezoo.files import whole_file
from facezoo.sdk import FaceMesh, YuNet, main_face
from facezoo.types import FloatArray

SEED, SIZE = 468, 320
NEUTRAL, OPEN, FIRST_DRAWN = 0, 1, 2
"""Photos of a person: no expression, mouth open, then expressions as they are drawn."""
DRAWN = 2
MODES = 16
AXIS = 1.05
"""How far behind the eyes the axis of the cylinder lies, in distances between the eyes."""

EYE = (33, 160, 158, 133, 153, 144)
MOUTH = (13, 82, 81, 80, 191, 78, 95, 88, 178, 87, 14)
LIPS = (0, 37, 40, 61, 91, 84, 17)
"""Points on the outlines of the image-left half; of mouth and lips from the middle above to the middle below."""

LEFT_BROW = (70, 63, 105, 66, 107, 55, 65, 52, 53, 46)
NOSE = (6, 122, 174, 217, 209, 129, 98, 2)
MASK = (197, 174, 114, 100, 101, 50, 147, 213, 138, 135, 169, 170, 140, 171, 175)
"""Outlines that need not follow edges, read off the picture of the layout."""

OPENINGS = ("left_eye", "right_eye", "mouth")


def photograph(people: int) -> tuple[FloatArray, FloatArray]:
    """Meshes (M, 468, 3) of frontal faces and which photo of a person each is (M,)."""
    head, detector, mesh = load_head(), YuNet(threads=1), FaceMesh(threads=1)
    meshes, kinds = [], []
    for number in range(people):
        person = make_identity(head, SEED, number)
        for kind in range(FIRST_DRAWN + DRAWN):
            view = draw_view(head, person.traits, kind)
            expression = view.expression if kind >= FIRST_DRAWN else {}
            if kind == OPEN:
                expression = {f"expression/{group}/mouth-open": 0.7 / len(GROUPS) for group in GROUPS}
            view = replace(
                view, yaw=view.yaw / 4, pitch=view.pitch / 4, roll=0.0, turn=0.0, expression=expression, noise=1.0,
                eye_distance=0.2, place=(0.5, 0.5), blur=0.3, quality=95, distance=16.0,
            )  # fmt: skip
            image = render(person, view, SIZE, aligned=False).image
            face = main_face(detector(image), (SIZE, SIZE))
            if face is None:
                continue
            points, presence = mesh.scored(image, face.box[None])
            if presence[0] > 0.9:
                meshes.append(points[0])
                kinds.append(kind)
    return np.array(meshes, np.float64), np.array(kinds)


def onto(points: FloatArray, target: FloatArray) -> FloatArray:
    """Points (V, 3) moved, turned and scaled onto (V, 3), least squares, never mirrored."""
    middle, goal = points.mean(axis=0), target.mean(axis=0)
    a, b = points - middle, target - goal
    u, s, v = np.linalg.svd(b.T @ a)
    sign = np.array([1, 1, np.sign(np.linalg.det(u @ v))])
    return (s * sign).sum() / (a**2).sum() * a @ (u * sign @ v).T + goal


def centred(points: FloatArray) -> FloatArray:
    """The origin between the eyes, the eyes one apart."""
    left, right = points[[33, 133]].mean(axis=0), points[[362, 263]].mean(axis=0)
    return (points - (left + right) / 2) / np.linalg.norm(right - left)


def mirrored(points: FloatArray, mirror: FloatArray) -> FloatArray:
    return points[..., mirror, :] * [-1, 1, 1]


def pairs(shapes: list[FloatArray]) -> FloatArray:
    """For each vertex (V,) the one at the mirrored place, in all of the shapes at once."""
    here = np.concatenate(shapes, axis=1)
    there = np.concatenate([shape * [-1, 1, 1] for shape in shapes], axis=1)
    found = linear_sum_assignment(np.linalg.norm(there[:, None] - here, axis=2))[1]
    if (found[found] != np.arange(len(found))).any():
        raise SystemExit("the mirror image of a mirror image is another point: photograph more people")
    return found


def symmetric(points: FloatArray, mirror: FloatArray) -> FloatArray:
    """The mean of a shape and its mirror image, upright in the plane x = 0, centred."""
    for _ in range(10):
        points = (points + onto(mirrored(points, mirror), points)) / 2
        across = points - points[mirror]
        across = (across * np.sign(across[:, :1])).sum(axis=0)
        x = across / np.linalg.norm(across)
        z = np.array([0, 0, 1]) - x[2] * x
        z /= np.linalg.norm(z)
        points = centred(points @ np.stack([x, np.cross(z, x), z]).T)
    return (points + mirrored(points, mirror)) / 2


def aligned(meshes: FloatArray, mean: FloatArray) -> FloatArray:
    return np.array([onto(points, mean) for points in meshes])


def unrolled(points: FloatArray) -> FloatArray:
    """(V, 2): the angle about the cylinder's axis, and the height."""
    return np.stack([np.arctan2(points[:, 0], AXIS - points[:, 2]), points[:, 1]], axis=1)


def paths(anchors: list[int], triangles: FloatArray, flat: FloatArray) -> FloatArray:
    """The closed polygon of vertices along edges, shortest from anchor to anchor."""
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    edges = np.concatenate([edges, edges[:, ::-1]])
    edges = np.unique(edges, axis=0)
    cost = np.linalg.norm(flat[edges[:, 0]] - flat[edges[:, 1]], axis=1)
    graph = csr_array((cost, edges.T), shape=(len(flat), len(flat)))
    _, before = dijkstra(graph, indices=anchors, return_predecessors=True)
    polygon: list[int] = []
    for k in range(len(anchors)):
        step, way = anchors[(k + 1) % len(anchors)], []
        while step != anchors[k]:
            step = before[k, step]
            way.append(step)
        polygon += way[::-1]
    return np.array(polygon)


def triangulated(flat: FloatArray, mirror: FloatArray) -> FloatArray:
    """Delaunay's triangles (T, 3), the same on both halves, clockwise on the screen, where y points down.

    The inner edges of the lips are among their edges.
    """
    triangles = Delaunay(flat).simplices
    a, b = flat[triangles[:, 1]] - flat[triangles[:, 0]], flat[triangles[:, 2]] - flat[triangles[:, 0]]
    turned = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0] < 0
    triangles[turned] = triangles[turned][:, ::-1]
    left = triangles[(flat[triangles, 0] < 1e-9).all(axis=1)].astype(np.int64)
    if 2 * len(left) != len(triangles):
        raise SystemExit("a triangle reaches over the middle of the face")
    for ends in pairwise(MOUTH):
        demand_edge(left, flat, *ends)
    return np.concatenate([left, mirror[left][:, ::-1]])


def cleared(flat: FloatArray, ring: FloatArray) -> FloatArray:
    """The vertices with none inside a ring of others: the second row of the lips lies on the first in places."""
    others = np.setdiff1d(np.arange(len(flat)), ring)
    flat, a, b = flat.copy(), flat[ring], flat[np.roll(ring, -1)]
    for vertex in others[inside(flat[others], flat[ring])]:
        along = np.clip(((flat[vertex] - a) * (b - a)).sum(axis=1) / ((b - a) ** 2).sum(axis=1), 0, 1)
        foot = a + along[:, None] * (b - a)
        nearest = foot[np.linalg.norm(foot - flat[vertex], axis=1).argmin()]
        out = nearest - flat[ring].mean(axis=0)
        flat[vertex] = nearest + 0.004 * out / np.linalg.norm(out)
    return flat


def demand_edge(triangles: FloatArray, flat: FloatArray, a: int, b: int) -> None:
    """Turn edges in place, those of convex pairs of triangles, until none crosses the line a-b (Sloan 1993)."""

    def side(p: int, q: int, r: int) -> float:
        (ux, uy), (vx, vy) = flat[q] - flat[p], flat[r] - flat[p]
        return float(ux * vy - uy * vx)

    def cross(p: int, q: int, r: int, s: int) -> bool:
        apart = len({p, q, r, s}) == 4
        return apart and side(p, q, r) * side(p, q, s) < 0 and side(r, s, p) * side(r, s, q) < 0

    for _ in range(100):
        beside: dict[tuple[int, int], int] = {}
        for t, corners in enumerate(triangles.tolist()):
            for k in range(3):
                beside[corners[k], corners[(k + 1) % 3]] = t
        crossing = [(i, j) for i, j in beside if i < j and (j, i) in beside and cross(a, b, i, j)]
        if not crossing:
            return
        for i, j in crossing:
            one, other = beside[i, j], beside[j, i]
            c, d = (int(np.setdiff1d(triangles[t], (i, j))[0]) for t in (one, other))
            if cross(i, j, c, d):
                triangles[one], triangles[other] = (c, i, d), (c, d, j)
                break
    raise SystemExit(f"no edge can be led from {a} to {b}")


def outlines(triangles: FloatArray, flat: FloatArray, mirror: FloatArray) -> dict[str, FloatArray]:
    found = {"left_eye": paths(list(EYE), triangles, flat), "left_brow": np.array(LEFT_BROW)}
    for name in list(found):
        found[name.replace("left", "right")] = mirror[found[name]][::-1]
    for name, half in (("lips", LIPS), ("mouth", MOUTH)):
        there = paths([*half, *mirror[list(half[-2:0:-1])]], triangles, flat)
        found[name] = whole(there[: list(there).index(half[-1]) + 1], mirror)
    for name, half in (("nose", NOSE), ("mask", MASK)):
        found[name] = whole(np.array(half), mirror)
    found["oval"] = ConvexHull(flat).vertices
    return found


def whole(half: FloatArray, mirror: FloatArray) -> FloatArray:
    """A polygon from its left half, from the middle above to the middle below."""
    return np.concatenate([half, mirror[half[-2:0:-1]]])


def inside(points: FloatArray, polygon: FloatArray) -> FloatArray:
    """Which points (N,) lie within a polygon (K, 2)."""
    x, y = points.T
    a, b = polygon, np.roll(polygon, -1, axis=0)
    crossed = (a[:, None, 1] > y) != (b[:, None, 1] > y)
    with np.errstate(divide="ignore", invalid="ignore"):
        at = a[:, None, 0] + (y - a[:, None, 1]) / (b - a)[:, None, 1] * (b - a)[:, None, 0]
    return (crossed & (x < at)).sum(axis=0) % 2 == 1


def embedded(points: FloatArray, triangles: FloatArray, oval: FloatArray) -> FloatArray:
    """Tutte's embedding (V, 2): the oval lies as on the cylinder, every other vertex at a mean of its neighbours.

    The weights are positive and the oval is convex: no triangle folds over.
    """
    rows, columns, weights = [], [], []
    for k in range(3):
        i, j, o = triangles[:, k], triangles[:, (k + 1) % 3], triangles[:, (k + 2) % 3]
        a, b = points[j] - points[i], points[o] - points[i]
        lengths = np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1)
        angle = np.arccos(np.clip((a * b).sum(axis=1) / (lengths[0] * lengths[1]), -1, 1))
        for other, length in zip((j, o), lengths, strict=True):
            rows.append(i)
            columns.append(other)
            weights.append(np.tan(angle / 2) / length)
    total = coo_array(
        (np.concatenate(weights), (np.concatenate(rows), np.concatenate(columns))), shape=(len(points), len(points))
    ).tocsr()
    free = np.setdiff1d(np.arange(len(points)), oval)
    flat = unrolled(points)
    sums = coo_array((total.sum(axis=1)[free], (np.arange(len(free)), np.arange(len(free))))).tocsr()
    flat[free] = spsolve((sums - total[free][:, free]).tocsc(), total[free][:, oval] @ flat[oval])
    return flat


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=200)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent.parent / "facezoo/mask/canonical.npz")
    given = parser.parse_args()
    meshes, kinds = photograph(given.people)
    means = [np.mean([centred(m) for m in meshes[kinds == kind]], axis=0) for kind in (NEUTRAL, OPEN)]
    mirror = pairs(means)
    wide = symmetric(means[1], mirror)
    natural = meshes[kinds != OPEN]
    natural = np.concatenate([natural, mirrored(natural, mirror)])
    mean = symmetric(means[0], mirror)
    for _ in range(4):
        mean = symmetric(aligned(natural, mean).mean(axis=0), mirror)
    flat = cleared(unrolled(wide), whole(np.array(MOUTH), mirror))
    triangles = triangulated(flat, mirror)
    regions = outlines(triangles, flat, mirror)
    middles = flat[triangles].mean(axis=1)
    opening = np.any([inside(middles, flat[regions[name]]) for name in OPENINGS], axis=0)
    uv = embedded(mean, triangles, regions["oval"])
    uv = (uv + mirrored(np.column_stack([uv, uv[:, :1]]), mirror)[:, :2]) / 2
    uv = (uv - uv.min(axis=0)) / np.ptp(uv, axis=0)
    differences = (aligned(natural, mean) - mean).reshape(len(natural), -1)
    _, strength, modes = np.linalg.svd(differences, full_matrices=False)
    explained = (strength[:MODES] ** 2).sum() / (strength**2).sum()
    largest = np.abs(modes[:MODES]).max(axis=1)
    with whole_file(given.out) as temporary:
        np.savez_compressed(
            temporary,
            points=mean.astype(np.float32),
            modes=np.rint(modes[:MODES] / largest[:, None] * 32767).astype(np.int16).reshape(MODES, -1, 3),
            spread=(strength[:MODES] / np.sqrt(len(natural)) * largest / 32767).astype(np.float32),
            uv=uv.astype(np.float32),
            triangles=triangles[~opening].astype(np.uint16),
            covers=triangles[opening].astype(np.uint16),
            mirror=mirror.astype(np.uint16),
            **{f"region_{name}": polygon.astype(np.uint16) for name, polygon in regions.items()},
        )
    print(
        f"{len(meshes)} meshes; {len(triangles)} triangles, {int(opening.sum())} of them close openings; {MODES} modes "
        f"explain {explained:.1%} of the differences; {given.out.stat().st_size:,} bytes"
    )


if __name__ == "__main__":
    main()
