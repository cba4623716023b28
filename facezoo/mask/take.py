"""A mask taken off a photo of somebody who wears it, as a template."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from facezoo.mask import drawing
from facezoo.mask.finder import Finder
from facezoo.mask.light import GAMMA, measure
from facezoo.mask.pose import Pose
from facezoo.mask.raster import Triangles, rasterise
from facezoo.mask.shell import Fit, normals, shell
from facezoo.mask.template import Part, Texture
from facezoo.mask.wearables.surgical import outline
from facezoo.types import FloatArray, Image, InputError

SEEN, SURE = 0.15, (0.2, 0.32)
"""The least cosine to the viewer from which a place of the mask is looked at, and those between which more and more is
taken from it and less from the other side."""

OWN, KNOWN = 0.6, 0.45
"""Share of the other side's cosine from which a place tells for itself whether there is cloth, and the cosine of the
better side up to which cloth may go on where none is seen."""

DEPTHS, BEHIND = 160, 0.1
"""Side of the map of depths, pixels, and how far behind what is nearest a place is hidden, head coordinates."""

ROUNDS = 5
"""Of GrabCut (https://doi.org/10.1145/1015706.1015720)."""

MOST_SKIN = 0.75
"""Share of a mask that may have the colour of the skin."""

STRAP = 0.11
"""Narrower bands of cloth are straps, between face places."""

ROUND = 0.018
"""Corners of the rim are rounded so much, between face places."""

LEAST, MOST = 0.05, 0.32
"""Share of the layout that a mask covers."""

RIM = 0.04
"""Width of the band along the rim in which coverage is fractional, between face places."""

FEWEST = 40.0
"""Pixels of half a face's width that a photo needs to have."""


@dataclass(frozen=True, eq=False)
class Unrolled:
    """A photo in the layout.

    Attributes:
        colors: (SIDE, SIDE, 3) uint8.
        facing: (SIDE, SIDE), cosine between the surface's normal and the direction to the viewer, 0 where it is hidden
            and beside the photo.
        normal: (SIDE, SIDE, 3).
    """

    colors: Image
    facing: FloatArray
    normal: FloatArray


def take(image: Image, mesh: FloatArray) -> Texture:
    """The mask on a face as a template's texture (SIDE, SIDE, 4), in even light.

    Cloth is told from skin by their colours (GrabCut in the unrolled photo); what the photo does not show is filled
    from the other side.

    Raises:
        InputError: the face is too small, or nothing like a mask is found on it.
    """
    pose = Pose.of(mesh)
    if pose.unit < FEWEST:
        raise InputError(f"mask: the face is {2 * pose.unit:.0f} pixels wide; {2 * FEWEST:.0f} or more are needed")
    photo = unroll(image, pose)
    covered = _cloth(photo)
    light = measure(image, np.asarray(mesh, float), pose, upper=True)
    relative = light.on(photo.normal)[..., None] * light.exposure * light.cast
    even = photo.colors / np.maximum(relative, 0.05) ** (1 / GAMMA)
    facing = photo.facing
    own = facing > OWN * facing[:, ::-1]
    # What is seen at a slant may be the wall behind the silhouette: of the rim the better side tells.
    rim = np.where(own, covered, covered[:, ::-1]) > 0.5
    weight = drawing.step(facing, *SURE).astype(np.float32) * np.where(own, 1, covered) + np.float32(1e-4)
    other = weight[:, ::-1] * (1 - weight) + 1e-5
    colors = (even * weight[..., None] + even[:, ::-1] * other[..., None]) / (weight + other)[..., None]
    known = np.maximum(facing, facing[:, ::-1]) > KNOWN
    filled = _matted(_one_piece(_completed(rim, known)), colors)
    return np.dstack([np.clip(np.rint(colors), 0, 255), np.rint(filled * 255)]).astype(np.uint8)


def taken(image: Image, name: str, detector: str = "yunet:threads=1") -> Texture:
    """The mask of the largest face in a photo that wears one.

    Args:
        name: of the photo, for messages.
        detector: spec of `DETECTORS`.

    Raises:
        InputError: there is no face, or none with a mask; why the largest has none.
    """
    why = f"{name}: no face was found"
    # Under a mask the network sees a short chin; the five points of detectors lie better.
    for number, mesh in enumerate(Finder(mesh="landmarks", detector=detector)(image)):
        try:
            return take(image, mesh)
        except InputError as error:
            why = f"{name}: {str(error).removeprefix('mask: ')}" if number == 0 else why
    raise InputError(why)


def unroll(image: Image, pose: Pose) -> Unrolled:
    """The photo in the layout, as if cloth were stretched over the lower face."""
    region, lying = lower_face()
    rows, columns = np.nonzero(region > 0)
    top, left, bottom, right = rows.min(), columns.min(), rows.max(), columns.max()
    grid = pose.place(lying.grid.reshape(-1, 3), lying.follow).reshape(lying.grid.shape)
    facing = normals(grid).astype(np.float32)
    size = (int(right - left + 1), int(bottom - top + 1))
    place = _spread(grid.astype(np.float32), size)
    normal = np.zeros((*region.shape, 3), np.float32)
    normal[top : bottom + 1, left : right + 1] = _spread(facing, size)
    normal[..., 2] -= 1e-6
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    inside = ((place[..., :2] >= 0) & (place[..., :2] <= np.array(image.shape[1::-1]) - 1)).all(axis=-1)
    colors = np.zeros((*region.shape, 3), np.uint8)
    colors[top : bottom + 1, left : right + 1] = cv2.remap(
        image, place[..., 0], place[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    seen = np.zeros(region.shape, np.float32)
    inside &= _nearest(grid, lying.triangles, place, pose.unit)
    seen[top : bottom + 1, left : right + 1] = np.clip(-normal[top : bottom + 1, left : right + 1, 2], 0, 1) * inside
    return Unrolled(colors, seen * (region > 0), normal)


@lru_cache(maxsize=1)
def lower_face() -> tuple[FloatArray, Part]:
    """What is unrolled: its coverage (SIDE, SIDE) of the layout, and a cloth stretched over it."""
    region = drawing.area(outline(-0.35, (1.12, -0.2), (1.1, 0.9), 1.3))
    return region, shell(drawing.rgba((255, 255, 255), 1.0, region), Fit(taut=0.8, bulge=0.02))


def _nearest(grid: FloatArray, triangles: Triangles, place: FloatArray, unit: float) -> NDArray[np.bool_]:
    """(h, w): whether nothing of the surface (R, C, 3) lies before a place (h, w, 3) on it."""
    low, span = grid.min(axis=(0, 1)), np.ptp(grid[..., :2], axis=(0, 1)).max()
    ratio = (DEPTHS - 1) / span
    depth = rasterise((grid.reshape(-1, 3) - low) * ratio, triangles, (DEPTHS, DEPTHS)).depth
    x, y = np.clip(np.rint((place - low)[..., :2] * ratio), 0, DEPTHS - 1).astype(int).transpose(2, 0, 1)
    return (place[..., 2] - low[2]) * ratio < depth[y, x] + BEHIND * unit * ratio


def _spread(grid: FloatArray, size: tuple[int, int]) -> FloatArray:
    """Values (R, C, K) of a grid's corners over size (width, height), the first and the last at the border."""
    rows, columns = grid.shape[:2]
    x, y = np.meshgrid(
        np.linspace(0, columns - 1, size[0], dtype=np.float32), np.linspace(0, rows - 1, size[1], dtype=np.float32)
    )
    return np.asarray(cv2.remap(np.ascontiguousarray(grid), x, y, cv2.INTER_LINEAR), np.float32)


def _cloth(photo: Unrolled) -> NDArray[np.float32]:
    """(SIDE, SIDE) 0 or 1: where there is cloth."""
    a, b = drawing.places()
    seen = photo.facing > SEEN
    likely = drawing.area(outline(0.2, (0.8, 0.35), (0.76, 0.72), 1.08)) > 0.5
    surely = (np.abs(a) < 0.22) & (b > 0.5) & (b < 0.85)
    bare = (b < 0.02) | (np.abs(a) > 1.0) | (b > 1.25)
    marks = np.where(likely, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    marks[surely & seen] = cv2.GC_FGD
    marks[bare | ~seen] = cv2.GC_BGD
    if not ((marks == cv2.GC_FGD).any() and (marks == cv2.GC_BGD).any()):
        raise InputError("mask: the mouth cannot be seen in the photo; take one from the front")
    smooth = np.asarray(cv2.bilateralFilter(photo.colors, 7, 30, 5), np.uint8)
    cv2.setRNGSeed(0)
    cv2.grabCut(smooth, marks, None, np.zeros((1, 65)), np.zeros((1, 65)), ROUNDS, cv2.GC_INIT_WITH_MASK)  # type: ignore[call-overload]
    cloth = ((marks == cv2.GC_FGD) | (marks == cv2.GC_PR_FGD)).astype(np.uint8)
    cloth = cv2.morphologyEx(cloth, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    # Straps go, or the cheek between them would be taken for a hole in the cloth.
    strap = 2 * round(STRAP / drawing.PIXEL / 2) + 1
    cloth = cv2.morphologyEx(cloth, cv2.MORPH_OPEN, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (strap, strap)))
    count, labels, _, _ = cv2.connectedComponentsWithStats(cloth)
    inner = labels[surely & seen]
    if count < 2 or not (inner > 0).any():
        raise InputError("mask: no cloth was told from the skin over the mouth; is a mask worn, and in another colour?")
    piece = (labels == np.bincount(inner[inner > 0]).argmax()).astype(np.uint8)
    filled = _one_piece(piece > 0)
    if _like_skin(smooth, (b > -0.3) & (b < 0.1) & seen, (filled > 0) & seen) > MOST_SKIN:
        raise InputError("mask: what covers the mouth has the colour of the skin; is a mask worn?")
    if not LEAST < filled.mean() < MOST:
        raise InputError(
            f"mask: what looks like cloth covers {filled.mean():.0%} of the layout, a mask {LEAST:.0%} to {MOST:.0%}; "
            "take a photo from the front on which mask and skin differ in colour"
        )
    return filled


def _like_skin(colors: Image, skin: NDArray[np.bool_], cloth: NDArray[np.bool_]) -> float:
    """Share of the cloth whose colour is that of the skin, in CIE L*a*b*."""
    lab = cv2.cvtColor(colors, cv2.COLOR_RGB2LAB).astype(np.float32)
    middle = np.median(lab[skin], axis=0)
    spread = np.maximum(np.median(np.abs(lab[skin] - middle), axis=0), (18, 3, 3))
    away = np.sqrt((((lab[cloth] - middle) / spread) ** 2).sum(axis=1))
    return float((away < 3.5).mean())


def _one_piece(cloth: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The largest piece, its holes closed and its rim smoothed; 0 or 1."""
    contours, _ = cv2.findContours(cloth.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = np.zeros(cloth.shape, np.uint8)
    if contours:
        cv2.drawContours(filled, [max(contours, key=cv2.contourArea)], -1, 1, -1)
    smooth = cv2.GaussianBlur(filled.astype(np.float32), (0, 0), ROUND / drawing.PIXEL)
    return (smooth > 0.5).astype(np.float32)


def _completed(cloth: NDArray[np.bool_], known: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The cloth, carried on over what is not known from either side, within its convex hull."""
    if not cloth.any():
        return cloth
    hull = np.zeros(cloth.shape, np.uint8)
    cv2.fillConvexPoly(hull, cv2.convexHull(np.argwhere(cloth)[:, ::-1].astype(np.int32)), 1)
    return cloth | ((hull > 0) & ~known)


def _matted(coverage: FloatArray, colors: FloatArray) -> FloatArray:
    """Coverage with a fractional rim that follows the colours: a guided filter, https://arxiv.org/abs/1505.00996."""
    guide = cv2.cvtColor(np.clip(colors, 0, 255).astype(np.uint8), cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    side = 2 * round(RIM / drawing.PIXEL / 2) + 1
    alpha = np.asarray(coverage, np.float32)

    def mean(values: FloatArray) -> FloatArray:
        return np.asarray(cv2.boxFilter(np.asarray(values, np.float32), -1, (side, side)), np.float32)

    middle, about = mean(guide), mean(alpha)
    slope = (mean(guide * alpha) - middle * about) / (mean(guide * guide) - middle**2 + 4e-3)
    soft = np.clip(mean(slope) * guide + mean(about - slope * middle), 0, 1)
    sure = cv2.erode((alpha > 0.5).astype(np.uint8), np.ones((side, side), np.uint8)) > 0
    never = cv2.dilate((alpha > 0.5).astype(np.uint8), np.ones((side, side), np.uint8)) == 0
    soft[sure], soft[never] = 1, 0
    rim = drawing.step(soft, 0.15, 0.85).astype(np.float32)
    return np.asarray(cv2.GaussianBlur(rim, (0, 0), 1.0), np.float32)
