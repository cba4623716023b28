"""The trials of a benchmark with masked photos in the place of plain ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import singledispatch
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from facezoo.evaluation.by_group import ByGroup
from facezoo.evaluation.group_rates import GroupPart
from facezoo.evaluation.identification import Identification
from facezoo.evaluation.megaface import MegaFace
from facezoo.evaluation.photos import Photo
from facezoo.evaluation.verification import Verification
from facezoo.types import InputError

Places: TypeAlias = slice | NDArray[np.intp]


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
    """Masks on all faces: the same trials on other photos."""
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


@on_probes.register
def _of_distractors(plain: MegaFace) -> Masking:
    """Every FaceScrub photo is a probe, and as it is the mate of others; https://arxiv.org/abs/1512.00596."""
    if plain.masked:
        raise InputError(f"{plain.name}: its probes are masked photos already; leave masked_facescrub or masked out")

    def trials(photos: Sequence[Photo]) -> Trials:
        every = [*plain.photos, *photos]
        return Trials(replace(plain, photos=every, masked=True), every, slice(None))

    return Masking(np.arange(len(plain.identity)), trials)
