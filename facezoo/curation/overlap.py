"""Who is both in a training set and in a benchmark: the nearest training identity of each test identity.

What strangers reach at most is told by the test set itself, whose identities are strangers to one another.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facezoo.curation.merges import nearest
from facezoo.data.pairs import joined
from facezoo.data.problems import Labels
from facezoo.evaluation.verification import Verification
from facezoo.files import write_text
from facezoo.types import FloatArray, Image, InputError, unit

NULL = 4096
"""Test identities, drawn if there are more, whose pairs tell what strangers reach."""

TAIL = 1e-3
"""The share of strangers' pairs that lie in the tail whose fall is measured."""

LEAST = 20
"""Pairs that the tail must hold."""


@dataclass(frozen=True, eq=False)
class Probes:
    """The photos of a benchmark or dataset, embedded.

    Attributes:
        names: of the identities.
        labels: (N,) identity of each photo.
        vectors: (N, D) unit; zero rows of photos without a face.
        photos: N names.
        read: gives a photo's image.
    """

    names: Sequence[str]
    labels: Labels
    vectors: FloatArray
    photos: Sequence[str]
    read: Callable[[int], Image]


@dataclass(frozen=True)
class Match:
    """A test identity and its nearest training identity.

    Attributes:
        identity, train: labels in the test and training set.
        score: cosine of their centres.
        photo: the test photo nearest to the training centre, and its cosine.
        chance: how many pairs of strangers are expected to be so near in the whole audit.
    """

    identity: int
    train: int
    score: float
    photo: int
    photo_score: float
    chance: float


@dataclass(frozen=True, eq=False)
class Overlap:
    """The audit of a training set of C identities against a test set of T.

    Attributes:
        matches: of each test identity with a face, the nearest first.
        threshold: cosine from which on two identities are taken for one person.
        false_alarms: how many pairs of strangers are expected at or above it.
        identities: T with a face.
        train_identities: C.
        strangers: (M,) highest cosine of each test identity of the null to another test identity.
    """

    matches: list[Match]
    threshold: float
    false_alarms: float
    identities: int
    train_identities: int
    strangers: FloatArray

    @property
    def overlapping(self) -> list[Match]:
        return [match for match in self.matches if match.score >= self.threshold]

    def to_dict(self) -> dict[str, Any]:
        """Numbers, ready for JSON."""
        found = self.overlapping
        return {
            "test_identities": self.identities,
            "train_identities": self.train_identities,
            "overlapping": len(found),
            "share": len(found) / self.identities,
            "train_identities_to_leave_out": len({match.train for match in found}),
            "threshold": self.threshold,
            "expected_false_alarms": self.false_alarms,
        }


def identities_of(benchmark: Verification) -> tuple[list[str], Labels]:
    """Names and labels (N,) of a benchmark's photos: its own identities, or else whoever genuine pairs join."""
    count = len(benchmark.photos)
    if benchmark.identity is not None:
        labels = np.unique(benchmark.identity, return_inverse=True)[1]
    else:
        same = np.asarray(benchmark.same, bool)
        labels = joined(np.asarray(benchmark.left)[same], np.asarray(benchmark.right)[same], count)
    first = np.unique(labels, return_index=True)[1]
    names = [benchmark.photos[k].name for k in first]
    return [name.rpartition("/")[0] or name for name in names], labels.astype(np.int64)


def audit(train: FloatArray, test: Probes, false_alarms: float = 1.0, seed: int = 0) -> Overlap:
    """Find the test identities that are in a training set.

    The chance of a cosine s between T test and C training identities is T C P(s), with P the share of pairs of
    different test identities at or above s. Where there are too few of them the tail falls exponentially, as the upper
    thousandth of these pairs does. The threshold is where the chance is `false_alarms`.

    Args:
        train: (C, D) unit centres of the training identities; zero rows are left out.
        test: the test set.
        false_alarms: pairs of strangers that may be taken for one person.
        seed: of the identities for the null, if they are drawn.

    Raises:
        InputError: too few test identities to tell what strangers reach, or a number of false alarms not above 0.
    """
    if false_alarms <= 0:
        raise InputError(f"false_alarms is {false_alarms}, it must be above 0")
    sums = np.zeros((len(test.names), train.shape[1]))
    np.add.at(sums, test.labels, test.vectors)
    centres = unit(sums).astype(np.float32)
    there = np.flatnonzero(centres.any(axis=1))
    start, fall, strangers = _null(centres[there], seed)
    pairs = len(there) * int(train.any(axis=1).sum())
    threshold = start + fall * np.log(TAIL * pairs / false_alarms)
    matches = []
    photos = np.argsort(test.labels, kind="stable")
    bounds = np.searchsorted(test.labels[photos], np.arange(len(test.names) + 1))
    for label, near in zip(there.tolist(), nearest(train, centres[there], 1)):
        number, score = near[0]
        own = photos[bounds[label] : bounds[label + 1]]
        scores = test.vectors[own] @ train[number]
        chance = min(1.0, TAIL * float(np.exp(-(score - start) / fall))) * pairs
        best = int(scores.argmax())
        matches.append(Match(label, number, score, int(own[best]), float(scores[best]), chance))
    matches.sort(key=lambda match: -match.score)
    return Overlap(matches, float(threshold), false_alarms, len(there), int(train.any(axis=1).sum()), strangers)


def _null(centres: FloatArray, seed: int) -> tuple[float, float, FloatArray]:
    """Where the tail of strangers' cosines begins, the scale on which it falls, and each identity's highest cosine.

    The scale is by the median of what lies above the start: people under two names in the test set do not move it.
    """
    if len(centres) > NULL:
        centres = centres[np.sort(np.random.default_rng(seed).choice(len(centres), NULL, replace=False))]
    check_enough(len(centres))
    products: NDArray[np.float32] = centres @ centres.T
    cosines = products[np.triu_indices(len(centres), 1)]
    start = float(np.quantile(cosines, 1 - TAIL))
    above = cosines[cosines > start] - start
    fall = float(np.median(above) / np.log(2))
    np.fill_diagonal(products, -1)
    return start, max(fall, 1e-6), products.max(axis=1)


def check_enough(identities: int) -> None:
    """Refuse a test set of too few identities: before it is embedded, for that takes long."""
    least = int(np.ceil(np.sqrt(2 * LEAST / TAIL))) + 1
    if identities < least:
        raise InputError(
            f"{identities} test identities are too few to tell how near strangers come; {least} are needed"
        )


def write_overlap(found: Overlap, test: Probes, train_names: Sequence[str], out: Path) -> None:
    """Write matches.csv with the nearest of every test identity, and leave_out.txt, the training identities to drop."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("test_identity", "train_identity", "cosine", "overlaps", "chance", "photo", "photo_cosine"))
    for match in found.matches:
        names = test.names[match.identity], train_names[match.train]
        overlaps = int(match.score >= found.threshold)
        photo = test.photos[match.photo], f"{match.photo_score:.4f}"
        writer.writerow((*names, f"{match.score:.4f}", overlaps, f"{match.chance:.3g}", *photo))
    write_text(out / "matches.csv", text.getvalue())
    drop = dict.fromkeys(train_names[match.train] for match in found.overlapping)
    write_text(out / "leave_out.txt", "".join(f"{name}\n" for name in drop))
