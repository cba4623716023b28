"""Rates of 1:N identification: ranks, TPIR at FPIR, growth with the gallery; ISO/IEC 19795-1, NIST's FRTE 1:N."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from facezoo.evaluation.intervals import error_bound, identity_intervals
from facezoo.evaluation.metrics import OperatingPoint, Sorted, Tally, tar_at_far
from facezoo.evaluation.ranks import Found
from facezoo.evaluation.report import Interval
from facezoo.evaluation.scored_pairs import thinned_roc
from facezoo.evaluation.verification import far_name
from facezoo.types import FloatArray

Ties: TypeAlias = Literal["miss", "hit"]
FpirRule: TypeAlias = Literal["conservative", "index"]

RANKS = (1, 5, 10, 20)
FPIRS = (1e-1, 1e-2, 1e-3)
CURVE = 100
"""Longest CMC curve."""

FPIR_WORDS = {
    "conservative": "at most floor(FPIR n) of the n non-mated searches reach the threshold",
    "index": "IJB scripts: above the non-mated search of index max(int(FPIR n) - 1, 0), largest score first",
}
TIE_WORDS = {
    "miss": "a tie with another identity counts as a miss",
    "hit": "a tie with another identity counts as a hit",
}


@dataclass(frozen=True, eq=False)
class Searches:
    """What the probes (P,) met in one gallery.

    Attributes:
        mated: whether the gallery should have the probe's identity.
        rank: of that identity, from 1; meaningless where there is none.
        mate: its score; -inf if it could not be compared.
        best: the highest score of another identity; -inf if there is none.
        place: whose that is.
        size: identities in the gallery.
    """

    mated: NDArray[np.bool_]
    rank: NDArray[np.intp]
    mate: FloatArray
    best: FloatArray
    place: NDArray[np.intp]
    size: int

    @classmethod
    def of(cls, found: Found, size: int, mated: NDArray[np.bool_], failed: NDArray[np.bool_], ties: Ties) -> Searches:
        """A failed probe (P,) is a miss at every rank and threshold, and no false positive."""
        mate, best = np.where(failed, -np.inf, found.mate), np.where(failed, -np.inf, found.best)
        rank = 1 + found.above + (found.tied if ties == "miss" else 0)
        return cls(mated, np.where(np.isfinite(mate), rank, size + 1), mate, best, found.place, size)

    def hits(self, rank: int) -> NDArray[np.bool_]:
        """Mated probes (M,) found within the first `rank` identities."""
        return self.rank[self.mated] <= rank

    def decisions(self) -> Sorted | None:
        """Scores on which a threshold decides: of mated probes found at rank 1 the mate's, of non-mated ones the best.

        With them TAR is TPIR (DIR) and FMR is FPIR. None without both kinds of probes, or if nothing was compared.
        """
        scores = np.where(self.mated, np.where(self.rank == 1, self.mate, -np.inf), self.best)
        if self.mated.all() or not self.mated.any() or not np.isfinite(scores).any():
            return None
        return Sorted(scores, self.mated)

    def sizes(self) -> list[int]:
        """1, 2, 5, 10, 20, .. up to the gallery's size, that included."""
        steps = [step * 10**power for power in range(len(str(self.size))) for step in (1, 2, 5)]
        return [*(size for size in steps if size < self.size), self.size]

    def growth(self, size: int) -> float:
        """Rank-1 rate in a gallery of `size` identities: the mate's and others drawn at random.

        The mean over all such galleries: with a others ahead of the mate, C(N - 1 - a, n - 1) / C(N - 1, n - 1) of
        them leave those out.
        """
        from scipy.special import gammaln

        others, drawn = self.size - 1, size - 1
        compared = np.isfinite(self.mate[self.mated])
        left = others - (self.rank[self.mated] - 1)
        possible = compared & (left >= drawn)
        kept = left[possible]
        chance = gammaln(kept + 1) - gammaln(kept - drawn + 1) - gammaln(others + 1) + gammaln(others - drawn + 1)
        chance[kept == others] = 0  # nobody is ahead: not the rounding of four large numbers
        return float(np.exp(chance).sum() / max(1, self.mated.sum()))


def rates(searches: Sequence[Searches], weights: FloatArray | None = None) -> dict[str, float | None]:
    """rank-k rates: over all mated probes of all galleries, each probe (P,) with its weight."""
    counted = np.concatenate([(np.ones(len(s.mated)) if weights is None else weights)[s.mated] for s in searches])
    if not counted.sum() > 0:
        return {}
    largest = min(s.size for s in searches)
    return {
        f"rank{rank}": float((counted * np.concatenate([s.hits(rank) for s in searches])).sum() / counted.sum())
        for rank in RANKS
        if rank == 1 or rank <= largest
    }


def operating_points(decisions: Sequence[Tally], fpir: float) -> list[OperatingPoint]:
    """TPIR at an FPIR that is never exceeded, in each gallery; `tar` is the TPIR, `fmr` the FPIR really met."""
    return [tar_at_far(tallied, fpir) for tallied in decisions]


def index_threshold(searches: Searches, fpir: float) -> tuple[float, float, float]:
    """TPIR, FPIR and threshold by the rule of the IJB scripts: above it, not at it."""
    others = np.sort(searches.best[~searches.mated])[::-1]
    threshold = float(others[min(len(others) - 1, max(int(len(others) * fpir) - 1, 0))])
    accepted = searches.mated & (searches.rank == 1) & (searches.mate > threshold)
    return float(accepted.sum() / searches.mated.sum()), float((others > threshold).mean()), threshold


def identification_rates(
    searches: Sequence[Searches], rule: FpirRule, identity: NDArray[np.intp]
) -> tuple[dict[str, float | None], dict[str, str | int]]:
    """Metrics over one gallery or more (TPIR is the galleries' mean), and words on what cannot be measured.

    Args:
        identity: of the probes (P,): searches for one person are no independent evidence.
    """
    metrics: dict[str, float | None] = rates(searches)
    words: dict[str, str | int] = {}
    decisions = [s.decisions() for s in searches]
    if any(ordered is None for ordered in decisions):
        return metrics, {
            "open set": "not measured: it takes probes of people who are not in the gallery, and some who are"
        }
    tallies = [ordered.tally() for ordered in decisions if ordered is not None]
    for fpir in FPIRS:
        key = f"fpir={far_name(fpir)}"
        if rule == "index":
            found = np.array([index_threshold(s, fpir) for s in searches]).mean(axis=0).tolist()
            metrics |= {f"tpir@{key}": found[0], f"fpir@{key}": found[1], f"threshold@{key}": found[2]}
            continue
        points = operating_points(tallies, fpir)
        if all(point.measurable for point in points):
            metrics[f"tpir@{key}"] = float(np.mean([point.tar for point in points]))
            metrics[f"fpir@{key}"] = float(np.mean([point.fmr for point in points]))
            metrics[f"threshold@{key}"] = float(np.mean([point.threshold for point in points]))
        else:
            metrics[f"tpir@{key}"] = None
            fewest = min(int(tallied.impostor_total) for tallied in tallies)
            people = min(len(np.unique(identity[~s.mated])) for s in searches)
            words[f"tpir@{key}"] = (
                f"not measurable: {fewest} non-mated searches for {people} people show an FPIR below "
                f"{error_bound(people):.1e} at best (95 %, rule of three, people being the trials)"
            )
    return metrics, words


def search_measure(
    searches: Sequence[Searches], metrics: Mapping[str, float | None], rule: FpirRule
) -> Callable[[FloatArray], dict[str, float | None]]:
    """Gives the metrics of a resample, from a weight for each probe (P,); TPIR where `metrics` has it."""
    decisions = [s.decisions() for s in searches] if rule == "conservative" else []
    fpirs = [fpir for fpir in FPIRS if metrics.get(f"tpir@fpir={far_name(fpir)}") is not None]

    def measure(weights: FloatArray) -> dict[str, float | None]:
        found = rates(searches, weights)
        tallies = [ordered.tally(weights) for ordered in decisions if ordered is not None]
        if tallies and all(tallied.genuine_total and tallied.impostor_total for tallied in tallies):
            for fpir in fpirs:
                found[f"tpir@fpir={far_name(fpir)}"] = float(
                    np.mean([point.tar for point in operating_points(tallies, fpir)])
                )
        return found

    return measure


def identification_intervals(
    searches: Sequence[Searches],
    identity: NDArray[np.intp],
    metrics: Mapping[str, float | None],
    rule: FpirRule,
    resamples: int,
    seed: int,
) -> dict[str, Interval]:
    """Intervals by drawing the identities of the probes (P,); the gallery stays as it is."""
    measure = search_measure(searches, metrics, rule)
    people = len(np.unique(np.concatenate([identity[s.mated] for s in searches])))
    return identity_intervals(measure, identity, metrics, people, "identities of the probes", resamples, seed)


def identification_curves(searches: Sequence[Searches], names: Iterable[str]) -> dict[str, dict[str, list[float]]]:
    """CMC, growth and open set of each gallery; `names` follow a stroke where there are several."""
    curves: dict[str, dict[str, list[float]]] = {}
    for name, found in zip(names, searches):
        tail = f"/{name}" if len(searches) > 1 else ""
        if found.mated.any():
            ranks = list(range(1, min(found.size, CURVE) + 1))
            counts = np.bincount(found.rank[found.mated], minlength=found.size + 2)
            share = np.cumsum(counts) / found.mated.sum()
            curves[f"cmc{tail}"] = {"rank": [float(rank) for rank in ranks], "rate": share[ranks].tolist()}
            sizes = found.sizes()
            curves[f"growth{tail}"] = {
                "size": [float(size) for size in sizes],
                "rate": [found.growth(size) for size in sizes],
            }
        ordered = found.decisions()
        if ordered is not None:
            points = thinned_roc(ordered.tally())
            curves[f"open_set{tail}"] = {
                "threshold": points["threshold"],
                "fpir": points["fmr"],
                "fnir": points["fnmr"],
            }
    return curves


def identification_tables(
    searches: Sequence[Searches], names: Iterable[str], rule: FpirRule, identity: NDArray[np.intp]
) -> dict[str, tuple[tuple[str | int | float | None, ...], ...]]:
    """What was found in each gallery."""
    shown = ("rank1", "rank5", *(f"tpir@fpir={far_name(fpir)}" for fpir in FPIRS))
    rows: list[tuple[str | int | float | None, ...]] = [
        ("gallery", "identities", "mated probes", "non-mated probes", *shown)
    ]
    for name, found in zip(names, searches):
        metrics, mated = identification_rates([found], rule, identity)[0], int(found.mated.sum())
        rows.append((name, found.size, mated, len(found.mated) - mated, *(metrics.get(key) for key in shown)))
    return {"Galleries": tuple(rows)}


def growth_table(curve: Mapping[str, list[float]], what: str) -> dict[str, tuple[tuple[str | int | float, ...], ...]]:
    """Rank-1 rates by size as a table; `what` is counted."""
    rows = zip(map(int, curve["size"]), curve["rate"])
    return {f"Rank 1 by number of {what}": ((what, "rank1"), *rows)}
