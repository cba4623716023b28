"""Several datasets as one, each with a weight, in one label space or in one each, as TFace's MultiDataset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from facezoo.data.dataset import Dataset
from facezoo.data.opening import open_dataset
from facezoo.data.problems import SHOWN, Finding, Problems
from facezoo.registry import DATASETS
from facezoo.types import Crop, InputError

BLOCK = 10_000
"""Samples of a set without shards that count as a shard beside sets that have them."""


@DATASETS.register(name="multi")
class Multi(Dataset):
    """Samples and classes of several datasets, one after the other: `multi:sets=["folder:root=a","rec:path=b.rec"]`.

    Classes are named `0-NAME`, `1-NAME`, ... by the set they come from: people of two sets are different people. Where
    they may be the same, `separate` lets a sample compete with the classes of its own set only; where equal names mean
    one person, `same` makes one class of them, of the name as it is.

    Args:
        sets: specs in double quotes, as a JSON list.
        weights: how often an image of each set is seen in an epoch; of 0.5 every second one, drawn anew each epoch.
        separate: a label space for each set.
        same: classes of one name are one person, such as labels of `facezoo head label` and what they came from.

    Raises:
        InputError: no set, another number of weights than of sets, a weight that is not above 0, or `separate` and
            `same` at once.
    """

    def __init__(
        self, sets: list[str], weights: list[float] | None = None, separate: bool = False, same: bool = False
    ) -> None:
        if not sets:
            raise InputError('multi: no set; write multi:sets=["NAME:key=value","NAME:key=value"]')
        if weights is not None and len(weights) != len(sets):
            raise InputError(f"multi: {len(weights)} weights for {len(sets)} sets; give one to each")
        if weights is not None and not all(0 < weight < float("inf") for weight in weights):
            raise InputError(f"multi: weights are {weights}, they must be above 0; leave a set out instead")
        if separate and same:
            raise InputError("multi: sets of the same people have one label space; leave separate or same out")
        self._join([open_dataset(spec) for spec in sets], sets, weights, separate, same)

    def _join(
        self,
        sets: Sequence[Dataset],
        specs: list[str],
        weights: list[float] | None = None,
        separate: bool = False,
        same: bool = False,
    ) -> None:
        """Set all attributes from the datasets and how they are written."""
        self.specs, self.sets = list(specs), list(sets)
        lengths = [len(data) for data in self.sets]
        self._starts = np.concatenate([[0], np.cumsum(lengths)])
        self.source = np.repeat(np.arange(len(sets)), lengths)
        names: dict[str, int] = {}
        labels = []
        for number, data in enumerate(self.sets):
            called = [name if same else f"{number}-{name}" for name in data.classes]
            labels.append(np.array([names.setdefault(name, len(names)) for name in called])[data.labels])
        self.labels, self.classes = np.concatenate(labels), list(names)
        self.problems = _together([data.problems for data in self.sets])
        if any(data.shards is not None for data in self.sets):
            self.shards = _in_a_row([_shards(data) for data in self.sets]).astype(np.int32)
        if weights is not None or any(data.weights is not None for data in self.sets):
            of_set = weights or [1.0] * len(sets)
            own = (np.ones(len(data)) if data.weights is None else data.weights for data in self.sets)
            self.weights = np.concatenate([weight * inner for weight, inner in zip(of_set, own)])
        if separate:
            spaces = (np.zeros(len(d.classes), np.int64) if d.spaces is None else d.spaces for d in self.sets)
            self.spaces = _in_a_row(list(spaces))
        elif any(data.spaces is not None for data in self.sets):
            raise InputError("multi: one of the sets has several label spaces; write separate=true")

    def digest(self) -> str:
        parts = [super().digest(), *(data.digest() for data in self.sets)]
        chosen = [None if array is None else array.tobytes().hex() for array in (self.weights, self.spaces)]
        return sha256(repr((parts, chosen)).encode()).hexdigest()

    def stamp(self) -> str:
        return " ".join(data.stamp() for data in self.sets)

    def _of(self, index: int) -> tuple[int, int]:
        """The set, and the place in it."""
        index = range(len(self))[index]
        number = int(np.searchsorted(self._starts, index, side="right")) - 1
        return number, index - int(self._starts[number])

    def encoded(self, index: int) -> bytes:
        number, place = self._of(index)
        return self.sets[number].encoded(place)

    def read(self, index: int) -> Crop:
        number, place = self._of(index)
        return self.sets[number].read(place)

    def name(self, index: int) -> str:
        number, place = self._of(index)
        return self.sets[number].name(place)

    def path(self, index: int) -> str:
        number, place = self._of(index)
        return f"{number}-{self.sets[number].path(place)}"

    def origin(self, index: int) -> str:
        number, place = self._of(index)
        return f"{number}-{self.sets[number].origin(place)}"


def _shards(data: Dataset) -> NDArray[np.int64]:
    return np.arange(len(data)) // BLOCK if data.shards is None else data.shards.astype(np.int64)


def _in_a_row(numbers: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Each array's numbers behind the largest of the arrays before."""
    starts = np.cumsum([0, *(int(array.max()) + 1 for array in numbers)])
    return np.concatenate([array + start for array, start in zip(numbers, starts)])


def _together(problems: Sequence[Problems]) -> Problems:
    """What was wrong in any of the sets."""
    findings = {}
    for name in (field.name for field in fields(Problems) if field.name != "entries"):
        found = [getattr(one, name) for one in problems]
        first = [place for finding in found for place in finding.first]
        findings[name] = Finding(sum(finding.count for finding in found), tuple(first[:SHOWN]))
    return Problems(sum(one.entries for one in problems), **findings)
