"""From the photos of a template to one vector: media first, then their sum, as in IJB-B and IJB-C."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facezoo.types import FloatArray, InputError, unit

Norm: TypeAlias = Literal["keep", "unit"]

BLOCK = 8192
"""Embeddings read at a time."""


class Rows(Protocol):
    """Embeddings (N, D) that are read block by block: an array, a memory map, or `Mirrored`."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice, /) -> Any: ...


def aggregate(
    embeddings: Rows,
    template: ArrayLike,
    media: ArrayLike | None = None,
    photo: ArrayLike | None = None,
    weight: ArrayLike | None = None,
    norm: Norm = "unit",
) -> tuple[NDArray[np.integer], FloatArray]:
    """Ids of the templates, rising, (T,), and their unit vectors (T, D), float64.

    Inside a template the embeddings of one medium (the frames of a video) are averaged, the media are summed, and
    the sum is normalised. IJB-C, https://doi.org/10.1109/ICB2018.2018.00033.

    Args:
        embeddings: (N, D), not normalised; read block by block, so a memory map stays one.
        template: of each entry, (M,).
        media: of each entry, (M,); every entry is a medium of its own unless given.
        photo: the row of `embeddings` that an entry stands for, (M,); its own position unless given.
        weight: of each entry, (M,), such as the detector's score; 1 unless given, and 0 takes it out of the sum, not
            out of the mean.
        norm: `unit` normalises every embedding first, `keep` lets long ones weigh more.

    Raises:
        InputError: embeddings that are not finite.
    """
    ids, code = np.unique(np.asarray(template), return_inverse=True)
    rows = np.arange(len(code)) if photo is None else np.asarray(photo)
    share = np.ones(len(code)) if weight is None else np.array(weight, np.float64)
    if media is not None:
        medium = np.unique(np.asarray(media), return_inverse=True)[1]
        shot, count = np.unique(
            code * (int(medium.max(initial=0)) + 1) + medium, return_inverse=True, return_counts=True
        )[1:]
        share /= count[shot]
    order = np.argsort(rows, kind="stable")
    cuts = np.searchsorted(rows[order], np.arange(0, len(embeddings) + BLOCK, BLOCK))
    total = np.zeros((len(ids), embeddings.shape[1]))
    for start, first, last in zip(range(0, len(embeddings), BLOCK), cuts, cuts[1:]):
        if first == last:
            continue
        block = np.asarray(embeddings[start : start + BLOCK], np.float64)
        if not np.isfinite(block).all():
            raise InputError("embeddings: some are not finite; the model or the feature file is damaged")
        _add(total, unit(block) if norm == "unit" else block, order[first:last], code, rows - start, share)
    return ids, unit(total)


def _add(
    total: FloatArray,
    block: FloatArray,
    entries: NDArray[np.intp],
    code: NDArray[np.intp],
    rows: NDArray[np.intp],
    share: FloatArray,
) -> None:
    """Add the entries of one block to their templates: a sparse product over the templates that occur in it."""
    from scipy.sparse import csr_array

    here, which = np.unique(code[entries], return_inverse=True)
    weights = csr_array((share[entries], (which, rows[entries])), shape=(len(here), len(block)))
    total[here] += weights @ block


@dataclass(frozen=True, eq=False)
class Mirrored:
    """Embeddings of photos and of their mirror images, (N, D) each, made one as they are read; a memory map stays one.

    `off` gives the photo's, `add` their sum, `concat` both side by side. The sum of half precision is taken in double.
    """

    photo: FloatArray
    mirror: FloatArray
    flip: Literal["off", "add", "concat"]

    def __len__(self) -> int:
        return len(self.photo)

    @property
    def shape(self) -> tuple[int, ...]:
        return len(self.photo), self.photo.shape[1] * (2 if self.flip == "concat" else 1)

    def __getitem__(self, rows: slice) -> FloatArray:
        """Some rows, float64."""
        photo = np.asarray(self.photo[rows], np.float64)
        if self.flip == "off":
            return photo
        mirror = np.asarray(self.mirror[rows], np.float64)
        return photo + mirror if self.flip == "add" else np.concatenate([photo, mirror], axis=1)


def halves(embeddings: FloatArray, flip: Literal["off", "add", "concat"]) -> Mirrored:
    """Embeddings (N, 2 D) that hold photo and mirror image side by side.

    Raises:
        InputError: an odd width.
    """
    dim, odd = divmod(embeddings.shape[1], 2)
    if odd:
        raise InputError(
            f"embeddings: {embeddings.shape[1]}-d ones do not hold a photo and its mirror image side by side"
        )
    return Mirrored(embeddings[:, :dim], embeddings[:, dim:], flip)
