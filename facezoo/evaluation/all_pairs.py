"""Every photo of a folder against every other: error rates far below what a list of pairs can show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from facezoo.evaluation.columns import columns
from facezoo.evaluation.intervals import LEVEL, check_draws, error_bound, trial_words
from facezoo.evaluation.metrics import Tally, auc, check_costs, eer, min_dcf
from facezoo.evaluation.operating import sample_warnings, without_error
from facezoo.evaluation.pair_counting import KEEP, check_count, check_held, count_pairs
from facezoo.evaluation.pair_counts import Equal, PairCounts
from facezoo.evaluation.pair_resampling import draw_identities, group_counts, group_trials, pair_intervals
from facezoo.evaluation.photos import Photo
from facezoo.evaluation.quality_curves import Discard, EdcRule
from facezoo.evaluation.rate_tables import rate_table
from facezoo.evaluation.report import NO_FACE, Interval, Mistake, Report
from facezoo.evaluation.score_curves import weight_histogram
from facezoo.evaluation.scored_pairs import Part, ScoredPairs, thinned_roc
from facezoo.evaluation.sets.folder import people
from facezoo.evaluation.suspects import suspects
from facezoo.evaluation.verification import MISTAKES, far_name, operating_metrics
from facezoo.registry import BENCHMARKS
from facezoo.types import FloatArray, InputError

FARS = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8)
LOWEST_FAR = 1e-12
"""Mankind has 3e19 pairs, but no crowd that could be photographed says anything of a rate below."""


@dataclass(frozen=True, eq=False)
class AllPairs:
    """TAR down to an FAR of 1e-8 from all N (N - 1) / 2 pairs of photos, none of whose scores is stored.

    With copies, from all N (N - 1) pairs of a photo and the copy of another. A pair with a photo in which no face was
    found is never accepted.

    Attributes:
        name: of the benchmark.
        photos: in the order of the embeddings.
        identity: of each photo, (N,), copies included.
        aligned: alignment template of photos that are crops already; None for raw photos.
        equal: whether every pair counts alike, or every identity and pair of identities.
        fars: targets.
        keep: impostor scores held singly; see `pair_counting.count_pairs`.
        state: file from which an interrupted count goes on.
        p_target, miss, false_alarm: of the detection cost, see `metrics.min_dcf`.
        resamples, seed: of the bootstrap over identities; 0 leaves it out.
        notes: what a reader of the report should know, by word.
        parts: what columns beside the photos add to the report.
        copies: the second half of the photos are copies of the first in their order, such as masked ones.
    """

    name: str
    photos: Sequence[Photo]
    identity: NDArray[np.intp]
    aligned: str | None = None
    equal: Equal = "pairs"
    fars: Sequence[float] = FARS
    keep: int = KEEP
    state: Path | None = None
    p_target: float = 0.01
    miss: float = 1.0
    false_alarm: float = 1.0
    resamples: int = 1000
    seed: int = 0
    notes: Mapping[str, str | int] = field(default_factory=dict)
    parts: tuple[Part, ...] = ()
    copies: bool = False

    def __post_init__(self) -> None:
        check_draws(self.name, self.resamples, self.seed)
        check_costs(self.p_target, self.miss, self.false_alarm)
        check_count(self.name, self.identity, self.equal, self.keep, self.state)
        if wrong := [far for far in self.fars if not 0 < far < 1]:
            raise InputError(f"{self.name}: {wrong[0]} is no rate of false matches, which lies between 0 and 1")
        if wrong := [far for far in self.fars if far < LOWEST_FAR]:
            raise InputError(f"{self.name}: an FMR of {wrong[0]:g} is below {LOWEST_FAR:g}: no tail reaches so far")

    def count(self, embeddings: FloatArray, failed: NDArray[np.bool_] | None = None) -> PairCounts:
        """The counts of all pairs, exact at the targets."""
        counts = count_pairs(
            embeddings,
            self.identity,
            failed,
            equal=self.equal,
            keep=self.keep,
            state=self.state,
            what=f"{self.name}: all pairs",
            copies=self.copies,
        )
        return counts.settled(embeddings, self.fars)

    def score(self, embeddings: FloatArray, failed: NDArray[np.bool_] | None = None) -> Report:
        """The report for embeddings (N, D), normalised or not, and the photos without a face (N,)."""
        report = self.report(self.count(embeddings, failed), embeddings)
        rates = rate_table(report.metrics, report.intervals, self.fars, "fnmr")
        return replace(report, tables={"FNMR at FMR": rates, **report.tables})

    def report(self, counts: PairCounts, embeddings: FloatArray, threshold: float | None = None) -> Report:
        """As `score`, from counts that were taken already.

        Args:
            threshold: at which mistakes are shown; that of the strictest FAR measured unless given.
        """
        tallied = counts.tally()
        metrics: dict[str, float | None] = {
            "eer": eer(tallied),
            "auc": auc(tallied),
            "min_dcf": min_dcf(tallied, self.p_target, self.miss, self.false_alarm),
        }
        rates, unmeasurable = operating_metrics(tallied, self.fars, counts.impostor_trials, "person")
        metrics |= rates
        for far in map(far_name, self.fars):
            tar = rates[f"tar@far={far}"]
            metrics[f"fnmr@fmr={far}"] = None if tar is None else 1 - tar
        thresholds = [value for key, value in rates.items() if key.startswith("threshold") and value is not None]
        shown = max(thresholds, default=None) if threshold is None else threshold
        report = Report(
            self.name,
            metrics,
            self._intervals(counts, tallied, metrics),
            {"roc": thinned_roc(tallied), "histogram": weight_histogram(tallied)},
            self._protocol(counts) | unmeasurable | self._warnings(counts, rates),
            self._mistakes(counts, shown),
            tables=self._suspects(counts, embeddings),
        )
        for part in self.parts:
            report = part(report, self._scored(counts))
        return report

    def _intervals(
        self, counts: PairCounts, tallied: Tally, metrics: Mapping[str, float | None]
    ) -> dict[str, Interval]:
        found = pair_intervals(counts, tallied, self.fars, self.resamples, self.seed)
        found |= {
            key.replace("fnmr@far", "fnmr@fmr"): interval
            for key, interval in found.items()
            if key.startswith("fnmr@far")
        }
        for key in map(far_name, self.fars):
            none = without_error(counts, metrics.get(f"fmr@far={key}"), metrics.get(f"fnmr@fmr={key}"))
            if "fmr" in none:
                found[f"fmr@far={key}"] = none["fmr"]
            if "fnmr" in none:
                found[f"fnmr@fmr={key}"] = none["fnmr"]
                found[f"tar@far={key}"] = replace(none["fnmr"], low=1 - none["fnmr"].high, high=1 - none["fnmr"].low)
        if metrics["eer"] == 0:
            rarer = min(counts.impostor_trials, counts.genuine_trials)
            found["eer"] = Interval(0.0, error_bound(rarer), LEVEL, trial_words(rarer, "person"))
        return {key: interval for key, interval in found.items() if metrics.get(key) is not None}

    def _warnings(self, counts: PairCounts, rates: Mapping[str, float | None]) -> dict[str, str]:
        """What the numbers of errors and people forbid to conclude, by FAR that is measured."""
        impostors = counts.totals()[1]
        found = {}
        for far in self.fars:
            fmr, threshold = (rates.get(f"{kind}@far={far_name(far)}") for kind in ("fmr", "threshold"))
            if fmr is not None and threshold is not None:
                words = sample_warnings(counts, far, threshold, fmr * impostors)
                found[f"caution at FAR {far_name(far)}"] = "; ".join(words)
        return {key: words for key, words in found.items() if words}

    def _protocol(self, counts: PairCounts) -> dict[str, str | int | float]:
        missed = int(counts.failed.sum())
        words: dict[str, str | int | float] = {
            "pairs": counts.genuine_pairs + counts.impostor_pairs,
            "genuine pairs": counts.genuine_pairs,
            "impostor pairs": counts.impostor_pairs,
            "photos": len(counts.identity),
            "identities": len(counts.sizes),
            "score": "cosine",
            "weights": {
                "pairs": "every pair counts alike",
                "identities": "every identity counts alike, and every pair of identities",
            }[self.equal],
            "exactness": (
                f"the {len(counts.impostor.scores):,} highest impostor scores and the {len(counts.genuine.scores):,} "
                "lowest genuine ones are held singly, in float64 wherever a target decides; all others are counted in "
                "bins of 3.1e-5, to the disadvantage of the model"
            ),
            NO_FACE: missed,
        }
        if missed:
            words["pairs without a comparison"] = "never accepted, so a genuine one is a false non-match"
            left = counts.totals()[0] - counts.failed_genuine.sum()
            words["genuine pairs compared"] = f"{left:,.0f}"
        return {**words, **self.notes}

    def _mistakes(self, counts: PairCounts, threshold: float | None) -> tuple[Mistake, ...]:
        """The highest impostor and the lowest genuine pairs beyond the threshold of the strictest FAR measured."""
        if not len(self.photos) or threshold is None:
            return ()
        found = []
        for end, sign, same in ((counts.impostor, 1, False), (counts.genuine, -1, True)):
            for left, right, score in zip(end.left[:MISTAKES], end.right[:MISTAKES], sign * end.scores, strict=False):
                if (score >= threshold) != same:
                    found.append(Mistake(self.photos[left].name, self.photos[right].name, same, float(score)))
        return tuple(found)

    def _suspects(
        self, counts: PairCounts, embeddings: FloatArray
    ) -> dict[str, tuple[tuple[str | int | float | None, ...], ...]]:
        if not len(self.photos) or self.copies:  # their photos tell
            return {}
        rows = [
            (self.photos[found.left].name, self.photos[found.right].name, found.score, found.why)
            for found in suspects(counts, embeddings)
        ]
        return {"Impostor pairs that may be wrong labels": (("photo", "photo", "cosine", "why"), *rows)} if rows else {}

    def _scored(self, counts: PairCounts) -> ScoredPairs:
        """The pairs that are held, and the genuine ones that were not compared, for the parts."""
        genuine, impostor, lost = counts.genuine, counts.impostor, counts.failed_pairs()
        left = np.concatenate([impostor.left, genuine.left, lost[0]])
        right = np.concatenate([impostor.right, genuine.right, lost[1]])
        same = np.arange(len(left)) >= len(impostor.left)
        plain = np.concatenate([impostor.weights, genuine.weights, counts.genuine_weights(lost[0])])
        who, other = counts.identity[left], counts.identity[right]

        def weigh(drawn: FloatArray | None, chosen: NDArray[np.integer]) -> FloatArray:
            if drawn is None:
                return plain[chosen]
            first = drawn[who[chosen]]
            return plain[chosen] * np.where(same[chosen], first, first * drawn[other[chosen]])

        def totals(groups: NDArray[np.integer], number: int, drawn: FloatArray | None) -> tuple[FloatArray, FloatArray]:
            return group_counts(counts, groups, number, drawn)

        highest = np.inf if genuine.complete else -float(genuine.scores[-1]) if len(genuine.scores) else -np.inf
        lowest = -np.inf if impostor.complete else float(impostor.scores[-1]) if len(impostor.scores) else np.inf
        method = f"bootstrap over identities, {self.resamples} resamples, seed {self.seed}, percentile"
        return ScoredPairs(
            left,
            right,
            same,
            np.concatenate([impostor.scores, -genuine.scores, np.full(len(lost[0]), -np.inf)]),
            weigh,
            totals,
            lambda groups, number: group_trials(counts, groups, number),
            "person",
            lambda: draw_identities(len(counts.sizes), self.resamples, self.seed),
            self.resamples,
            method,
            lowest,
            highest,
        )


@BENCHMARKS.register
def all_pairs(
    root: Path,
    aligned: str | None = None,
    landmarks: Path | Literal["auto"] | None = None,
    equal: Equal = "pairs",
    keep: int = KEEP,
    state: Path | None = None,
    p_target: float = 0.01,
    miss: float = 1.0,
    false_alarm: float = 1.0,
    groups: str | None = None,
    quality: Path | None = None,
    discard: Discard = "images",
    edc: EdcRule = "fixed",
    resamples: int = 1000,
    seed: int = 0,
) -> AllPairs:
    """All pairs of the photos of a folder with one folder for each person: FMR down to 1e-8.

    Args:
        root: folder of the people.
        aligned, landmarks, groups, resamples: as for lfw.
        quality, discard, edc: as for lfw; every pair must be held, so `keep` limits the folder, to 2,048 photos unless
            given.
        equal: every pair counts alike, or every identity (genuine) and pair of identities (impostor).
        keep: impostor scores held singly, 12 bytes each.
        state: file from which an interrupted count goes on, written every 20 seconds; removed at the end.
        p_target: share of genuine attempts that is expected in use, for the detection cost.
        miss, false_alarm: cost of a false non-match and of a false match.
        seed: of the bootstrap.
    """
    photos, identity, left_out = people(root, aligned, landmarks)
    if quality is not None:
        check_held(root, identity, equal, keep)
    notes = {"photos in no person's folder": f"left out: {left_out}"} if left_out else {}
    return AllPairs(
        root.name,
        photos,
        identity,
        aligned,
        equal,
        FARS,
        keep,
        state,
        p_target,
        miss,
        false_alarm,
        resamples,
        seed,
        notes,
        columns([photo.name for photo in photos], groups, quality, discard, edc),
    )
