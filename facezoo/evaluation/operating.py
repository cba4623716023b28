"""Operating points for people who run a system: a threshold for an FMR, how sure it is, and what makes it doubtful."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from facezoo.evaluation.intervals import error_bound, independent_trials, none_seen, trial_words
from facezoo.evaluation.metrics import OperatingPoint, Tally, tar_at_far
from facezoo.evaluation.pair_counts import PairCounts
from facezoo.evaluation.pair_resampling import pair_intervals
from facezoo.evaluation.report import Interval
from facezoo.evaluation.verification import far_name
from facezoo.types import InputError

RULE_OF_THIRTY = 30
"""So many errors must be seen for a rate to be known to a third of itself with 90 % confidence."""


MARGIN = 1e-6
"""So far a recommended threshold lies above the highest impostor that it must reject, at least: a cosine that is
computed again, in float32 or in a batch of another size, differs by less."""

FEW, MANY = 4, 6
"""Decimals of a threshold."""

LOSS = 0.01
"""A threshold of four decimals may cost so much of the false matches that are allowed, and add so much to the FNMR."""


@dataclass(frozen=True)
class Point:
    """A threshold for an FMR, from all pairs of some photos.

    Attributes:
        target: the FMR that must not be exceeded.
        threshold: the smallest cosine of four decimals, or six, that keeps it with a margin of 1e-6. Whoever reads it
            from a table, a file or a contract has the very number whose rates are stated.
        fmr, fnmr: what was seen at the threshold.
        false_matches: weight of the impostor pairs accepted.
        measurable: whether there are at least 1 / target impostor pairs.
        intervals: of `threshold`, `fmr` and `fnmr`, as far as they are known: of the threshold as it is written, which
            is written anew in every resample.
        warnings: sentences on how far the numbers carry.
    """

    target: float
    threshold: float
    fmr: float
    fnmr: float
    false_matches: float
    measurable: bool
    intervals: Mapping[str, Interval]
    warnings: tuple[str, ...]


def operating_points(counts: PairCounts, targets: Sequence[float], resamples: int = 1000, seed: int = 0) -> list[Point]:
    """The conservative threshold of each target, with intervals by drawing identities.

    Args:
        counts: settled at the targets.
    """
    tallied = counts.tally()
    found = [tar_at_far(tallied, target) for target in targets]
    digits = [_decimals(tallied, point) for point in found]
    as_written = {far_name(target): partial(_written, digits=number) for target, number in zip(targets, digits)}
    intervals = pair_intervals(counts, tallied, targets, resamples, seed, as_written)
    points = []
    for target, point, number in zip(targets, found, digits, strict=True):
        key = far_name(target)
        threshold, fmr, fnmr = _recommended(tallied, point, number)
        matches = fmr * tallied.impostor_total
        own = {kind: intervals[f"{kind}@far={key}"] for kind in KINDS if f"{kind}@far={key}" in intervals}
        own |= without_error(counts, fmr, fnmr)
        words = sample_warnings(counts, target, threshold, matches)
        points.append(Point(target, threshold, fmr, fnmr, matches, point.measurable, own, words))
    return points


def _recommended(tallied: Tally, point: OperatingPoint, digits: int) -> tuple[float, float, float]:
    """The threshold in so many decimals, and FMR and FNMR there."""
    if not point.measurable:
        return point.threshold, point.fmr, 1 - point.tar
    threshold = _written(point.threshold, digits)
    cut = int(np.searchsorted(tallied.scores, threshold))
    return threshold, float(tallied.fmr[cut]), float(tallied.fnmr[cut])


def _decimals(tallied: Tally, point: OperatingPoint) -> int:
    """Four, or six where four would cost too much."""
    _, fmr, fnmr = _recommended(tallied, point, FEW)
    return FEW if fmr >= (1 - LOSS) * point.fmr and fnmr <= (1 + LOSS) * (1 - point.tar) else MANY


def _written(threshold: float, digits: int) -> float:
    """The smallest number of so many decimals that is a threshold at least so strict, with its margin."""
    return round(math.ceil((threshold + MARGIN) * 10**digits) / 10**digits, digits)


KINDS = ("threshold", "fmr", "fnmr")


def without_error(counts: PairCounts, fmr: float | None, fnmr: float | None) -> dict[str, Interval]:
    """Where no error was seen, or nothing else, every resample repeats it: the rule of three stands instead."""
    rates = (("fmr", fmr, counts.impostor_trials), ("fnmr", fnmr, counts.genuine_trials))
    return {
        kind: none_seen(rate == 1, trials, trial_words(trials, "person", success=rate == 1))
        for kind, rate, trials in rates
        if rate in (0, 1)
    }


def sample_warnings(counts: PairCounts, target: float, threshold: float, matches: float) -> tuple[str, ...]:
    """What the number of pairs and people forbids to conclude at a target FMR.

    Args:
        threshold: for the target, and the weight of the impostor pairs that it accepts.
    """
    pairs, people = round(counts.totals()[1]), len(counts.sizes)  # of identities, where those count alike
    words = []
    if pairs * target < 1:
        words.append(
            f"not measurable: {pairs:,} impostor pairs of {people:,} people show an FMR below "
            f"{error_bound(counts.impostor_trials):.1e} at best (95 %, rule of three, of "
            f"{counts.impostor_trials:,} pairs that share no person); {math.ceil(1 / target):,} pairs or more are "
            f"needed, such as of {_photos_for(1 / target / counts.times):,} photos"
        )
    elif pairs * target < RULE_OF_THIRTY:
        words.append(
            f"few errors: the threshold rests on {matches:.0f} false match{'' if round(matches) == 1 else 'es'}, "
            f"{RULE_OF_THIRTY} are needed to know the rate to a third (rule of thirty); "
            f"that takes {math.ceil(RULE_OF_THIRTY / target):,} impostor pairs, such "
            f"as of {_photos_for(RULE_OF_THIRTY / target / counts.times):,} photos"
        )
    else:
        accepted = slice(int(np.searchsorted(-counts.impostor.scores, -threshold, side="right")))
        apart = independent_trials(counts.impostor.left[accepted], counts.impostor.right[accepted], counts.identity)
        if apart < RULE_OF_THIRTY:
            words.append(
                f"few people behind the errors: of the {matches:,.0f} false matches {apart} share no person, "
                f"{RULE_OF_THIRTY} are needed to know the rate to a third (rule of thirty)"
            )
    if threshold > 1:
        words.append("copies under two names: no cosine is above theirs, so no pair is accepted; remove them")
    if people < RULE_OF_THIRTY:
        words.append(f"few people: {people} identities hardly stand for those the system will meet")
    return tuple(words)


def _photos_for(pairs: float) -> int:
    """Photos of different people that give so many pairs."""
    return math.ceil((1 + math.sqrt(1 + 8 * pairs)) / 2)


COLUMNS = (
    "FMR wanted", "threshold", "from", "to", "squared L2", "angle", "FMR", "from", "to", "FNMR", "from", "to",
    "false matches",
)  # fmt: skip


def point_rows(points: Sequence[Point]) -> tuple[tuple[str | int | float | None, ...], ...]:
    """The points as the table of a report; of a target that cannot be measured only the bound of the FMR is stated."""
    rows: list[tuple[str | int | float | None, ...]] = [COLUMNS]
    for point in points:
        cells: list[str | int | float | None] = [far_name(point.target)]
        for kind in KINDS:
            found = point.intervals.get(kind)
            shown = point.measurable or kind == "fmr"
            cells += [getattr(point, kind) if shown else None]
            cells += [found.low, found.high] if found and shown else [None, None]
            if kind == "threshold":
                cells += [squared_distance(point.threshold), strict_angle(point.threshold)] if shown else [None, None]
        rows.append((*cells, point.false_matches))
    return tuple(rows)


def squared_distance(cosine: float) -> float:
    """Squared L2 distance of two unit vectors, 0 .. 4: another project accepts below it."""
    return 2 - 2 * cosine


def angle(cosine: float) -> float:
    """Angle between two embeddings, degrees, 0 .. 180."""
    return math.degrees(math.acos(min(1.0, max(-1.0, cosine))))


def strict_angle(cosine: float) -> float:
    """`angle` in four decimals, rounded to the side on which fewer are accepted."""
    return math.floor(angle(cosine) * 1e4) / 1e4


def cosine_of(squared: float) -> float:
    """The cosine at a squared L2 distance of unit vectors."""
    if not 0 <= squared <= 4:
        raise InputError(f"distance: {squared} is no squared distance of unit vectors, which lies between 0 and 4")
    return 1 - squared / 2
