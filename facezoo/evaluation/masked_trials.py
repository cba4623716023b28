"""The trials of a benchmark with masked photos in the place of plain ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import singledispatch
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from facezoo.evaluation.all_pairs import AllPairs
from facezoo.evaluation.by_group import ByGroup
from facezoo.evaluation.group_rates import GroupPart
from facezoo.evaluation.identification import Identification
from facezoo.evaluation.ijb import IJB, Gallery
from facezoo.evaluation.megaface import MegaFace
from facezoo.evaluation.photos import Photo
from facezoo.evaluation.verification import Verification
from facezoo.types import FloatArray, InputError

Places: TypeAlias = slice | NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Placed:
    """Rows (N, D) of embeddings in another order, gathered when they are read: of some blocks, not of all at once."""

    embeddings: FloatArray
    places: NDArray[np.intp]
    ndim = 2

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.places), self.embeddings.shape[1]

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, rows: Any) -> Placed:
        return Placed(self.embeddings, self.places[rows])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> FloatArray:
        return np.asarray(self.embeddings[self.places], dtype)


class Trials(NamedTuple):
    """A benchmark with masks.

    Attributes:
        benchmark: the trials; its photos are some of all.
        photos: all of them, the plain ones first.
        places: where the benchmark's photos are among all.
    """

    benchmark: Any
    photos: Sequence[Photo]
    places: Places


@dataclass(frozen=True, eq=False)
class Masking:
    """Which photos of a benchmark are masked, and what becomes of its trials then.

    Attributes:
        chosen: numbers of the photos, rising (K,).
        trials: made of their masked copies (K).
    """

    chosen: NDArray[np.intp]
    trials: Callable[[Sequence[Photo]], Trials]


@singledispatch
def on_probes(plain: Any) -> Masking:
    """Masks on the probes alone.

    Raises:
        InputError: a kind of benchmark that knows no probes.
    """
    raise InputError(f"{plain.name}: does not say which photos are probes; mask all faces with masked=both")


def on_all(plain: Any) -> Masking:
    """Masks on all faces: the same trials on other photos.

    Raises:
        InputError: a benchmark some of whose photos are masked ones.
    """
    _check_bare(plain)
    count = len(plain.photos)
    drawn = np.array([k for k, photo in enumerate(plain.photos) if not photo.mirrored], np.intp)

    def trials(photos: Sequence[Photo]) -> Trials:
        masked = with_photos(plain, _again(plain.photos, photos))
        return Trials(masked, [*plain.photos, *masked.photos], slice(count, None))

    return Masking(drawn, trials)


def _again(plain: Sequence[Photo], masked: Sequence[Photo]) -> Sequence[Photo]:
    """The masked photos (K) in the order of the plain ones, of which some are others' mirror images."""
    if len(masked) == len(plain):
        return masked
    copies = {photo.name: photo for photo in masked}
    return [replace(copies[f"masked/{photo.name}"], mirrored=photo.mirrored) for photo in plain]


@singledispatch
def with_photos(plain: Any, photos: Sequence[Photo]) -> Any:
    """The benchmark with other photos in the place of its own."""
    return replace(plain, photos=photos)


@with_photos.register
def _of_groups(plain: ByGroup, photos: Sequence[Photo]) -> Any:
    groups, start = {}, 0
    for group, benchmark in plain.groups.items():
        own = photos[start : start + len(benchmark.photos)]
        groups[group] = replace(benchmark, photos=[_renamed(*both) for both in zip(benchmark.photos, own)])
        start += len(own)
    return replace(plain, groups=groups)


def _renamed(plain: Photo, masked: Photo) -> Photo:
    """Named in its group, which is put before the name again."""
    return replace(masked, name=f"masked/{plain.name}")


@on_probes.register
def _of_pairs(plain: Verification) -> Masking:
    """The probe of a pair is its second photo."""
    count, chosen = len(plain.photos), np.unique(plain.right)
    shown = np.concatenate([np.arange(count), chosen])
    place = np.arange(count)
    place[chosen] = count + np.arange(len(chosen))

    def trials(photos: Sequence[Photo]) -> Trials:
        every = [*plain.photos, *photos]
        masked = replace(
            plain,
            photos=every,
            right=place[plain.right],
            identity=None if plain.identity is None else plain.identity[shown],
            shows=shown,
            parts=tuple(_on_copies(part, shown) for part in plain.parts),
        )
        return Trials(masked, every, slice(None))

    return Masking(chosen, trials)


def _on_copies(part: Any, shown: NDArray[np.intp]) -> Any:
    """What a column adds, where the photos have masked copies behind them."""
    return replace(part, groups=part.groups[shown]) if isinstance(part, GroupPart) else part


@on_probes.register
def _of_each_group(plain: ByGroup) -> Masking:
    each = {group: on_probes(benchmark) for group, benchmark in plain.groups.items()}
    sizes = [len(benchmark.photos) for benchmark in plain.groups.values()]
    starts, cuts = np.cumsum([0, *sizes]), np.cumsum([0, *(len(masking.chosen) for masking in each.values())])

    def trials(photos: Sequence[Photo]) -> Trials:
        groups, places = {}, []
        for k, (group, masking) in enumerate(each.items()):
            plains = plain.groups[group].photos
            own = photos[cuts[k] : cuts[k + 1]]
            own = [_renamed(plains[number], photo) for number, photo in zip(masking.chosen, own)]
            groups[group] = masking.trials(own).benchmark
            places += [np.arange(starts[k], starts[k + 1]), starts[-1] + np.arange(cuts[k], cuts[k + 1])]
        masked, every = replace(plain, groups=groups), np.concatenate(places)
        behind = np.argsort(every)[starts[-1] :]
        return Trials(masked, [*plain.photos, *(masked.photos[k] for k in behind)], every)

    return Masking(np.concatenate([start + masking.chosen for start, masking in zip(starts, each.values())]), trials)


@on_probes.register
def _of_searches(plain: Identification) -> Masking:
    count, chosen = len(plain.photos), np.unique(plain.probes)
    place = np.searchsorted(chosen, plain.probes)

    def trials(photos: Sequence[Photo]) -> Trials:
        every = [*plain.photos, *photos]
        return Trials(replace(plain, photos=every, probes=count + place), every, slice(None))

    return Masking(chosen, trials)


def _check_bare(plain: Any) -> None:
    if isinstance(plain, MegaFace) and plain.masked:
        raise InputError(f"{plain.name}: its probes are masked photos already; leave masked_facescrub or masked out")


@on_probes.register
def _of_distractors(plain: MegaFace) -> Masking:
    """Every FaceScrub photo is a probe, and as it is the mate of others; https://arxiv.org/abs/1512.00596."""
    _check_bare(plain)

    def trials(photos: Sequence[Photo]) -> Trials:
        every = [*plain.photos, *photos]
        return Trials(replace(plain, photos=every, masked=True), every, slice(None))

    return Masking(np.arange(len(plain.identity)), trials)


@on_probes.register
def _of_all_pairs(plain: AllPairs) -> Masking:
    """Each photo against the masked copies of all others."""
    photos_of = np.tile(np.arange(len(plain.photos)), 2)

    def trials(photos: Sequence[Photo]) -> Trials:
        every = [*plain.photos, *photos]
        parts = tuple(_on_copies(part, photos_of) for part in plain.parts)
        masked = replace(plain, photos=every, identity=plain.identity[photos_of], parts=parts, copies=True)
        return Trials(masked, every, slice(None))

    return Masking(np.arange(len(plain.photos)), trials)


@on_probes.register
def _of_templates(plain: IJB) -> Masking:
    """The second template of a pair and the probes of the galleries are copies whose photos are masked."""
    size, everyone = len(plain.detector), np.unique(plain.template)
    probes = [] if plain.pairs is None else [plain.pairs[1]]
    probes += [] if plain.probes is None else [plain.probes.templates]
    copied = np.unique(np.concatenate(probes)).astype(np.intp)
    copy_of = np.full(len(everyone), -1, np.int32)
    copy_of[copied] = len(everyone) + np.arange(len(copied))
    theirs = np.flatnonzero(np.isin(plain.template, everyone[copied]))
    chosen = np.unique(plain.entries[theirs])
    ids = np.searchsorted(everyone[copied], plain.template[theirs]) + int(everyone[-1]) + 1

    def trials(photos: Sequence[Photo]) -> Trials:
        mirrored = [replace(photo, mirrored=True) for photo in photos] if len(plain.photos) > size else []
        every = [*plain.photos, *photos, *mirrored]
        own, more = np.arange(size), 2 * size + np.arange(len(photos))
        apart = np.concatenate([own, more, size + own, more + len(photos)])
        masked = replace(
            plain,
            photos=[every[k] for k in apart] if mirrored else every,
            entries=np.concatenate([plain.entries, size + np.searchsorted(chosen, plain.entries[theirs])]),
            template=np.concatenate([plain.template, ids]),
            media=np.concatenate([plain.media, plain.media[theirs]]),
            detector=np.concatenate([plain.detector, plain.detector[chosen]]),
            pairs=None if plain.pairs is None else (plain.pairs[0], copy_of[plain.pairs[1]], plain.pairs[2]),
            probes=None if plain.probes is None else _of_copies(plain.probes, copy_of),
            shows=np.concatenate([np.arange(len(everyone)), copied]),
        )
        return Trials(masked, every, apart if mirrored else slice(None))

    return Masking(chosen, trials)


def _of_copies(probes: Gallery, copy_of: NDArray[np.int32]) -> Gallery:
    return probes._replace(templates=copy_of[probes.templates].astype(np.intp))
