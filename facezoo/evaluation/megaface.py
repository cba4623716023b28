"""MegaFace: is a person's other photo nearer than a million strangers? Also with masked probes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from facezoo.evaluation.intervals import check_draws, trial_intervals
from facezoo.evaluation.noise import JITTER, NOISE_WORDS, Noise, centred, distractor_factors
from facezoo.evaluation.open_set import Ties, growth_table
from facezoo.evaluation.photos import Photo
from facezoo.evaluation.ranks import Top, running_top
from facezoo.evaluation.report import NO_FACE, Mistake, Report
from facezoo.evaluation.vectors import Vectors, pair_scores
from facezoo.evaluation.verification import MISTAKES
from facezoo.types import FloatArray, InputError

TRIALS = 1 << 16
"""Trials ranked at a time."""

TIE_WORDS = {
    "miss": "a mate must score above the distractor of its rank",
    "hit": "FaceX-Zoo: a mate that ties with the distractor of its rank is found",
}


class Ranked(NamedTuple):
    """The trials (T,), by probe and gallery photo, and what they met.

    Attributes:
        probe, mate: FaceScrub photos.
        score: of the mate; -inf without a comparison.
        ranks: of the mate; one above the largest where it is farther behind.
        sizes: of distractors, rising.
        tops: the highest scores of each FaceScrub photo among so many.
        others: the distractors.
        lost: photos without a face, (N,).
    """

    probe: NDArray[np.intp]
    mate: NDArray[np.intp]
    score: FloatArray
    ranks: NDArray[np.intp]
    sizes: list[int]
    tops: list[Top]
    others: Vectors
    lost: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class MegaFace:
    """Rank-k identification among distractors; https://arxiv.org/abs/1512.00596.

    For every ordered pair of a person's photos, one is the probe, the other lies in a gallery with all distractors; the
    trial is a hit at rank k if fewer than k distractors score as high. Photos in the order: FaceScrub, distractors, and
    masked FaceScrub in its own order if there are masked probes. A trial with a photo without a face is a miss;
    distractors without a face are left out.

    Attributes:
        name: of the benchmark.
        photos: in the order of the embeddings.
        identity: of the FaceScrub photos (F,).
        distractors: how many.
        masked: whether the probes are the masked photos; gallery and distractors are not.
        aligned: alignment template of photos that are crops already; None for raw photos.
        noisy: photos of the noise lists, (F + distractors,), or None.
        noise: what becomes of them.
        ties: whether a mate that ties with a distractor is found.
        ranks: largest k.
        resamples: of the bootstrap; 0 leaves it out.
        seed: of the bootstrap, and of insightface's noise around a centre.
        notes: what a reader of the report should know, by word.
    """

    name: str
    photos: Sequence[Photo]
    identity: NDArray[np.intp]
    distractors: int
    masked: bool = False
    aligned: str | None = "arcface"
    noisy: NDArray[np.bool_] | None = None
    noise: Noise = "drop"
    ties: Ties = "miss"
    ranks: int = 10
    resamples: int = 1000
    seed: int = 0
    notes: Mapping[str, str | int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.distractors < 1:
            raise InputError(f"{self.name}: there are no distractors")
        if self.ranks < 1:
            raise InputError(f"{self.name}: ranks is {self.ranks}, it must be 1 or more")
        check_draws(self.name, self.resamples, self.seed)
        if self.noisy is not None and len(self.noisy) != len(self.identity) + self.distractors:
            raise InputError(f"{self.name}: noisy has {len(self.noisy)} entries, one for each photo was expected")
        if not len(self.trials()[0]):
            raise InputError(f"{self.name}: nobody has two photos, so there is no trial")

    def trials(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Probe and gallery photo of each trial, (T,): ordered pairs of two photos of one person."""
        usable = np.arange(len(self.identity))
        if self.noisy is not None and self.noise == "drop":
            usable = usable[~self.noisy[: len(usable)]]
        order = usable[np.argsort(self.identity[usable], kind="stable")]
        cuts = np.flatnonzero(np.diff(self.identity[order])) + 1
        probes, mates = [np.empty(0, np.intp)], [np.empty(0, np.intp)]
        for theirs in np.split(order, cuts):
            probe, mate = np.repeat(theirs, len(theirs)), np.tile(theirs, len(theirs))
            probes.append(probe[probe != mate])
            mates.append(mate[probe != mate])
        return np.concatenate(probes), np.concatenate(mates)

    def score(self, embeddings: FloatArray, failed: NDArray[np.bool_] | None = None) -> Report:
        """The report for embeddings (N, D) of any dimension, normalised or not, and the photos without a face (N,)."""
        return self.report(self.ranked(embeddings, failed))

    def report(self, found: Ranked) -> Report:
        """As `score`, of trials that were ranked already."""
        probe, ranks, compared = found.probe, found.ranks, np.isfinite(found.score)
        rates = _rates(ranks, self.ranks)
        metrics: dict[str, float | None] = {f"rank{k}": float(rates[k - 1]) for k in range(1, self.ranks + 1)}
        if not compared.all() and compared.any():
            metrics["rank1_without_failures"] = float((ranks[compared] == 1).mean())
        rank1 = [float((self._ranks(top, probe, found.score) == 1).mean()) for top in found.tops]
        growth = {"size": [float(size) for size in found.sizes], "rate": rank1}
        noisy = np.zeros(len(self.identity) + self.distractors, bool) if self.noisy is None else self.noisy
        return Report(
            self.name,
            metrics,
            trial_intervals(self.hits(ranks), self.identity[probe], "identities", self.resamples, self.seed),
            {
                "cmc": {"rank": [float(k) for k in range(1, self.ranks + 1)], "rate": rates.tolist()},
                "growth": growth,
            },
            self._protocol(len(probe), len(found.others), found.lost, noisy),
            self._mistakes(found, probe[(ranks > 1) & compared]),
            tables=growth_table(growth, "distractors"),
        )

    def hits(self, ranks: NDArray[np.intp]) -> dict[str, NDArray[np.bool_]]:
        """Which trials (T,) are found within each rank."""
        return {f"rank{k}": ranks <= k for k in range(1, self.ranks + 1)}

    def ranked(self, embeddings: FloatArray, failed: NDArray[np.bool_] | None = None) -> Ranked:
        """What became of every trial."""
        people = len(self.identity)
        rows = self.shift + people if self.masked else people + self.distractors
        if embeddings.ndim != 2 or len(embeddings) != rows:
            raise InputError(f"{self.name}: embeddings of shape {embeddings.shape}, {rows} rows are due")
        lost = np.zeros(len(embeddings), bool) if failed is None else failed
        noisy = np.zeros(people + self.distractors, bool) if self.noisy is None else self.noisy
        gallery, probes = self._facescrub(embeddings, noisy[:people])
        kept, factor = distractor_factors(noisy[people:], self.noise)
        present = ~lost[people + kept]
        if not present.any():
            raise InputError(f"{self.name}: no distractor has a face")
        others = Vectors(embeddings, people + kept[present], factor=None if factor is None else factor[present])
        sizes = [10**power for power in range(1, len(str(len(others)))) if 10**power < len(others)] + [len(others)]
        tops = running_top(Vectors(probes), others, self.ranks, sizes)
        probe, mate = self.trials()
        score = pair_scores(Vectors(probes), probe, Vectors(gallery), mate)
        score[lost[probe + self.shift] | lost[mate]] = -np.inf
        return Ranked(probe, mate, score, self._ranks(tops[-1], probe, score), sizes, tops, others, lost)

    @property
    def shift(self) -> int:
        """How far the photo of a probe lies behind the FaceScrub photo that it is or is made of."""
        return len(self.identity) + self.distractors if self.masked else 0

    def _facescrub(self, embeddings: FloatArray, noisy: NDArray[np.bool_]) -> tuple[FloatArray, FloatArray]:
        """Gallery and probe embeddings (F, D): the same photos, or the probes masked."""
        people = len(self.identity)
        sets = [embeddings[:people], embeddings[self.shift :]] if self.masked else [embeddings[:people]]
        if noisy.any() and self.noise != "drop":
            jitter = JITTER if self.noise == "push" else 0.0
            sets = [centred(photos, self.identity, noisy, jitter, self.seed) for photos in sets]
        return sets[0], sets[-1]

    def _ranks(self, top: Top, probe: NDArray[np.intp], score: FloatArray) -> NDArray[np.intp]:
        """Rank of each trial's mate (T,); one above the largest where it is farther behind or was not compared."""
        ranks = np.full(len(probe), self.ranks + 1)
        for start in range(0, len(probe), TRIALS):
            part = slice(start, start + TRIALS)
            others, mate = top.scores[probe[part]], score[part, None]
            ranks[part] = 1 + np.count_nonzero(others > mate if self.ties == "hit" else others >= mate, axis=1)
        ranks[~np.isfinite(score)] = self.ranks + 1
        return ranks

    def _protocol(
        self, trials: int, distractors: int, lost: NDArray[np.bool_], noisy: NDArray[np.bool_]
    ) -> dict[str, str | int]:
        people = len(self.identity)
        words: dict[str, str | int] = {
            "trials": trials,
            "probes": f"{people} {'masked ' if self.masked else ''}photos of {len(np.unique(self.identity))} people",
            "distractors": distractors,
            "score": "cosine",
            "ties": TIE_WORDS[self.ties],
            "growth": "rank-1 rate among the first 10, 100, .. distractors of the list",
            NO_FACE: int(lost.sum()),
        }
        if noisy.any():
            words["noise"] = (
                f"{NOISE_WORDS[self.noise]}: {int(noisy[:people].sum())} FaceScrub photos, "
                f"{int(noisy[people:].sum())} distractors"
            )
        if lost.any():
            words["failures"] = "trials with such a photo are misses; such distractors are left out"
        return {**words, **self.notes}

    def _mistakes(self, found: Ranked, missed: NDArray[np.intp]) -> tuple[Mistake, ...]:
        """The distractors that outrank a mate with the highest scores, each with its probe."""
        if not len(self.photos):
            return ()
        outranked, best = np.unique(missed), found.tops[-1].scores[:, 0]
        worst = outranked[np.argsort(-best[outranked], kind="stable")][:MISTAKES]
        return tuple(self.nearest(found, int(photo)) for photo in worst)

    def nearest(self, found: Ranked, probe: int) -> Mistake:
        """A probe beside the distractor with the highest score."""
        top = found.tops[-1]
        other = self.photos[found.others.rows[top.places[probe, 0]]].name
        return Mistake(self.photos[probe + self.shift].name, other, False, float(top.scores[probe, 0]), search=True)


def _rates(ranks: NDArray[np.intp], largest: int) -> FloatArray:
    """Share of the trials within rank 1, 2, .. largest."""
    return np.cumsum(np.bincount(ranks, minlength=largest + 2)[1 : largest + 1]) / len(ranks)
