"""How far the TAR of millions of template pairs can be trusted: identities are drawn, the threshold moves with them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from facezoo.evaluation.intervals import LEVEL, none_seen
from facezoo.evaluation.pair_resampling import draw_identities
from facezoo.evaluation.report import Interval
from facezoo.evaluation.template_pairs import TemplatePairs
from facezoo.evaluation.verification import far_name
from facezoo.types import FloatArray

SINGLY = 64
"""So many of the highest impostor scores are thresholds of their own; below them every one is `RATIO` pairs deeper."""

RATIO = 1.03
DEPTH = 2.0
"""Thresholds reach down to so many times the false matches of the largest FAR: a resample may have more of them."""

COUNTED = 1 << 18
"""False matches of which the noise of single pairs is counted; of more it is nothing beside that of people."""

BATCH = 100


@dataclass(frozen=True, eq=False)
class Levels:
    """Pairs accepted at thresholds (L,), falling from just above all impostors, by identity (S,).

    Attributes:
        thresholds: (L,).
        impostor: accepted impostor pairs in which an identity takes part, (L, S).
        genuine: accepted genuine pairs of an identity, (L, S).
        impostor_of, genuine_of: all of them, (S,).
        noise: what pairs of identities add by themselves to the relative variance of the FMR, (L,).
    """

    thresholds: FloatArray
    impostor: FloatArray
    genuine: FloatArray
    impostor_of: FloatArray
    genuine_of: FloatArray
    noise: FloatArray

    def rates(self, drawn: FloatArray) -> tuple[FloatArray, FloatArray]:
        """FMR and TAR at the thresholds, (B, L) each, of identities drawn so often, (B, S).

        A pair of two identities weighs w_i + w_j - 1, which is w_i w_j without the part that both must share: what is
        summed is then known for each identity, whatever the number of pairs.
        """
        drawn = drawn.astype(np.float32)
        accepted, total = self.impostor.sum(axis=1, dtype=np.float64) / 2, self.impostor_of.sum() / 2
        impostors, genuine = drawn @ self.impostor_of - total, drawn @ self.genuine_of
        matches, hits = ((drawn @ kind.T).astype(np.float64) for kind in (self.impostor, self.genuine))
        return (matches - accepted) / np.maximum(impostors, 1)[:, None], hits / np.maximum(genuine, 1)[:, None]

    @cached_property
    def plain(self) -> tuple[FloatArray, FloatArray]:
        fmr, tar = self.rates(np.ones((1, len(self.impostor_of))))
        return fmr[0], tar[0]

    def points(self, fmr: FloatArray, tar: FloatArray, far: float) -> tuple[FloatArray, FloatArray]:
        """TAR and threshold at an FAR in every resample, (B,) each; interpolated between two thresholds."""
        rising = np.maximum.accumulate(np.maximum(fmr, 0), axis=1)
        place = np.minimum((rising <= far).sum(axis=1), len(self.thresholds) - 1)
        row = np.arange(len(rising))
        low, high = rising[row, place - 1], rising[row, place]
        share = np.clip((far - low) / np.where(high > low, high - low, 1), 0, 1)
        rates = tar[row, place - 1] + share * (tar[row, place] - tar[row, place - 1])
        return rates, self.thresholds[place - 1] + share * (self.thresholds[place] - self.thresholds[place - 1])


def levels(pairs: TemplatePairs, far: float) -> Levels:
    """What every identity has at thresholds down to the largest FAR that is wanted."""
    scores, left, right, same = pairs.scores, pairs.left, pairs.right, pairs.same
    impostor, identity, total = pairs.impostor, pairs.identity, pairs.totals[1]
    deepest = min(len(impostor), max(2, round(DEPTH * far * total)))
    ranks = np.append(np.arange(SINGLY), SINGLY * RATIO ** np.arange(1, 1000)).astype(np.intp)
    ranks = np.append(ranks[ranks < deepest - 1], deepest - 1)
    chosen = np.unique(impostor[len(impostor) - 1 - ranks])[::-1]
    thresholds = np.append(np.nextafter(chosen[0], np.float32(np.inf)), chosen)
    people, of = int(identity.max()) + 1, thresholds[::-1]

    def by_identity(some: NDArray[np.intp], *sides: NDArray[np.integer]) -> FloatArray:
        level = len(of) - np.searchsorted(of, scores[some], side="right")  # the first that it reaches
        counts = np.zeros((len(of), people), np.float32)
        for side in sides:
            flat = np.bincount(level * people + identity[side[some]], minlength=len(of) * people)
            counts += flat.reshape(len(of), people)
        return np.cumsum(counts, axis=0, dtype=np.float32)

    reached = scores >= of[0]
    matches, hits = np.flatnonzero(reached & ~same), np.flatnonzero(reached & same)
    genuine = np.flatnonzero(same)
    everyone = np.bincount(left, minlength=len(identity)) + np.bincount(right, minlength=len(identity))
    genuine_of = np.bincount(identity[left[genuine]], minlength=people).astype(np.float64)
    impostor_of = np.bincount(identity, everyone, people) - 2 * genuine_of
    accepted = by_identity(matches, left, right)
    noise = _noise(pairs, matches, accepted.sum(axis=1, dtype=np.float64) / 2)
    return Levels(thresholds.astype(np.float64), accepted, by_identity(hits, left), impostor_of, genuine_of, noise)


def _noise(pairs: TemplatePairs, matches: NDArray[np.intp], accepted: FloatArray) -> FloatArray:
    """Sum of the squared false matches of each two identities by the square of all, at each number accepted, (L,)."""
    scores, identity = pairs.scores, pairs.identity
    if len(matches) > COUNTED:
        border = np.partition(scores[matches], len(matches) - COUNTED)[len(matches) - COUNTED]
        matches = matches[scores[matches] >= border]
    matches = matches[np.argsort(-scores[matches], kind="stable")]
    sides = np.sort([identity[pairs.left[matches]], identity[pairs.right[matches]]], axis=0)
    key = sides[0] * (int(identity.max()) + 1) + sides[1]
    order = np.argsort(key, kind="stable")
    first = np.searchsorted(key[order], key[order])
    before = np.empty(len(key))
    before[order] = np.arange(len(key)) - first  # false matches of the same two with a higher score
    squares = np.append(0, np.cumsum(2 * before + 1))
    counts = np.minimum(accepted.round().astype(np.intp), len(key))
    return np.where(accepted <= len(key), squares[counts] / np.maximum(accepted, 1) ** 2, 0.0)


def template_intervals(
    found: Levels,
    values: dict[str, float | None],
    fars: Sequence[float],
    people: int,
    resamples: int,
    seed: int,
) -> dict[str, Interval]:
    """Of TAR and threshold at each FAR that is measured.

    The weights show the noise of single pairs twice. What is too much of it is taken from the spread of the FMR.

    Args:
        values: the metrics, by name.
        people: identities with a genuine pair, for a TAR without an error or without a success.
        resamples, seed: of the bootstrap.
    """
    draws = draw_identities(len(found.impostor_of), resamples, seed)
    parts = []
    while some := list(itertools.islice(draws, BATCH)):
        parts.append(found.rates(np.stack(some)))
    fmr, tar = (np.concatenate(part) for part in zip(*parts))
    plain = found.plain
    variance = fmr.var(axis=0)
    keep = np.sqrt(np.clip(1 - found.noise * plain[0] ** 2 / np.where(variance > 0, variance, 1), 0.5, 1))
    fmr = plain[0] + keep * (fmr - plain[0])
    method = f"bootstrap over identities with their impostors, {resamples} resamples, seed {seed}, percentile, deflated"
    intervals = {}
    for far in fars:
        key = far_name(far)
        own = found.points(plain[0][None], plain[1][None], far)
        for name, drawn_values, start in zip(("tar", "threshold"), found.points(fmr, tar, far), own):
            value = values.get(f"{name}@far={key}")
            if value is None:
                continue
            low, high = np.percentile(drawn_values, [50 * (1 - LEVEL), 50 * (1 + LEVEL)]) - start[0] + value
            if name == "tar":
                low, high = max(0.0, low), min(1.0, high)
            intervals[f"{name}@far={key}"] = Interval(float(low), float(high), LEVEL, method)
        if (value := values.get(f"tar@far={key}")) in (0, 1):
            words = f"rule of three, no {'error' if value else 'success'} in {people} identities"
            intervals[f"tar@far={key}"] = none_seen(value == 1, people, words)
    return intervals
