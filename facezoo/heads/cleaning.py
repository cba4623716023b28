"""Sub-centres as a judge of labels: which images of a class are noise, and one centre a class for the rest.

Sub-center ArcFace, ECCV 2020, https://www.ecva.net/papers/eccv_2020/papers_ECCV/papers/123560715.pdf: with several
centres a class, clean images gather around one of them; what lies far from it is dropped, and the network is trained
again with one centre a class.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facezoo.types import FloatArray, InputError, unit

BLOCK = 4096
"""Images compared at once, each with the centres of its own class."""


@dataclass(frozen=True)
class Cleaning:
    """What the sub-centres say about a training set.

    Attributes:
        dominant: (C,) the sub-centre that is the nearest to most of its class's images; of equal ones, and for a class
            without images, the first.
        images: (C, K) how many images each sub-centre is the nearest to.
        angles: (N,) degrees between an image and its class's dominant sub-centre.
        kept: (N,) bool, whether an image's angle is at most the limit.
    """

    dominant: NDArray[np.int64]
    images: NDArray[np.int64]
    angles: NDArray[np.float64]
    kept: NDArray[np.bool_]


def clean(sub_centres: FloatArray, embeddings: FloatArray, labels: NDArray[Any], angle: float = 75.0) -> Cleaning:
    """Find each class's dominant sub-centre and the images farther than `angle` from it.

    Memory grows with the images and the classes, not with their product; the arrays may be mapped from files.

    Args:
        sub_centres: (C, K, D), of any length.
        embeddings: (N, D), of any length, of the network that was trained with them.
        labels: (N,) classes, 0 to C - 1.
        angle: limit, degrees.

    Raises:
        InputError: shapes do not fit each other, a label has no class, or the limit is no angle.
    """
    if sub_centres.ndim != 3:
        raise InputError(f"sub-centres have shape {sub_centres.shape}, they must be (classes, sub-centres, dimensions)")
    classes, each, dim = sub_centres.shape
    if embeddings.ndim != 2 or embeddings.shape[1] != dim or labels.shape != embeddings.shape[:1]:
        raise InputError(
            f"embeddings of shape {embeddings.shape} with labels of shape {labels.shape} do not fit sub-centres of "
            f"{dim} dimensions; both must be of the same images"
        )
    if len(labels) and not 0 <= labels.min() <= labels.max() < classes:
        raise InputError(f"labels are {labels.min()} to {labels.max()}, the sub-centres know 0 to {classes - 1}")
    if not 0 < angle <= 180:
        raise InputError(f"angle is {angle}, it must be above 0 and at most 180 degrees")
    cosine = np.empty((len(labels), each))
    for first in range(0, len(labels), BLOCK):
        block = slice(first, first + BLOCK)
        own = unit(sub_centres[labels[block]].astype(np.float64))
        cosine[block] = np.einsum("nd,nkd->nk", unit(embeddings[block].astype(np.float64)), own)
    images = np.zeros((classes, each), np.int64)
    np.add.at(images, (labels, cosine.argmax(1)), 1)
    dominant = images.argmax(1)
    angles = np.degrees(np.arccos(cosine[np.arange(len(labels)), dominant[labels]].clip(-1, 1)))
    return Cleaning(dominant, images, angles, angles <= angle)


def dominant_centres(sub_centres: FloatArray, dominant: NDArray[np.int64]) -> FloatArray:
    """One centre a class (C, D): of sub-centres (C, K, D) the ones that `Cleaning.dominant` (C,) names."""
    return np.take_along_axis(sub_centres, dominant[:, None, None], axis=1)[:, 0]
