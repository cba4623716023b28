"""The mean face of the 468-point mesh: its shape, its triangles, its layout in a texture.

All of it is computed from rendered faces by `tools/canonical_mesh.py` and kept in `canonical.npz` beside this file.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from facezoo.types import FloatArray

VERTICES = 468


@dataclass(frozen=True, eq=False)
class Canonical:
    """The mean face. Left and right are those of the image: the person's right eye is the left one here.

    Attributes:
        points: (468, 3) float32; x to the right, y down, z away from the viewer; the origin lies in the middle
            between the eyes, whose distance is 1. A face that looks at the camera.
        modes: (K, 468, 3) float32, in the same unit: how faces differ, one standard deviation each, largest first.
        uv: (468, 2) float32, the place of each vertex in a texture: 0..1 from its upper left corner.
        triangles: (T, 3) int32, clockwise on the screen; eyes and mouth are open.
        covers: (C, 3) int32, the triangles that close eyes and mouth.
        mirror: (468,) int64, the vertex at the same place of the other half.
        regions: closed polygons by name, indices of vertices in order: oval, lips, mouth, left_eye, right_eye,
            left_brow, right_brow, nose, mask.
    """

    points: FloatArray
    modes: FloatArray
    uv: FloatArray
    triangles: NDArray[np.int32]
    covers: NDArray[np.int32]
    mirror: NDArray[np.int64]
    regions: dict[str, NDArray[np.int64]]

    @property
    def closed(self) -> NDArray[np.int32]:
        """All triangles: a surface without holes, for what lies over eyes and mouth."""
        return np.concatenate([self.triangles, self.covers])


@lru_cache(maxsize=1)
def canonical() -> Canonical:
    """The mean face; read once, not to be written to."""
    with files("facezoo.mask").joinpath("canonical.npz").open("rb") as file, np.load(file, allow_pickle=False) as data:
        regions = {name[7:]: data[name].astype(np.int64) for name in data.files if name.startswith("region_")}
        made = Canonical(
            data["points"].astype(np.float32),
            data["modes"].astype(np.float32) * data["spread"][:, None, None],
            data["uv"].astype(np.float32),
            data["triangles"].astype(np.int32),
            data["covers"].astype(np.int32),
            data["mirror"].astype(np.int64),
            regions,
        )
    for array in (made.points, made.modes, made.uv, made.triangles, made.covers, made.mirror, *regions.values()):
        array.flags.writeable = False
    return made
