"""What a model did in each trial of a benchmark, so that models can be compared trial by trial."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import singledispatch
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facezoo.evaluation.folds import fold_of
from facezoo.evaluation.identification import Identification
from facezoo.evaluation.intervals import identity_weights
from facezoo.evaluation.metrics import Sorted
from facezoo.evaluation.open_set import identification_rates, search_measure
from facezoo.evaluation.report import Mistake
from facezoo.evaluation.run import Embedded
from facezoo.evaluation.verification import FARS, RULES, Verification, pair_measure
from facezoo.types import FloatArray


@dataclass(frozen=True, eq=False)
class Outcome:
    """What one model did.

    Attributes:
        metric: the share of the trials that are right, by its name in the report.
        right: (T,).
        margin: how far a trial lies on the right side, (T,), in deviations of the model's scores; negative on the
            wrong one. An infinite one has had no comparison.
        measure: metrics for the weights of a resample.
        weights: those of each resample; the same for all models.
        method: how they are drawn, in words.
        shown: a trial's photos with the model's score.
    """

    metric: str
    right: NDArray[np.bool_]
    margin: FloatArray
    measure: Callable[[FloatArray], Mapping[str, float | None]]
    weights: Callable[[], Iterator[FloatArray]]
    method: str
    shown: Callable[[int], Mistake]


@singledispatch
def outcome(benchmark: Any, embedded: Embedded) -> Outcome | None:
    """The outcome of a benchmark; None of a kind whose trials are not told apart, such as all pairs."""
    return None


@outcome.register
def _of_pairs(benchmark: Verification, embedded: Embedded) -> Outcome:
    """Right is a pair on the right side of the threshold of its fold, which comes from the other folds."""
    scores, same = benchmark.scores(embedded.embeddings, embedded.failed), np.asarray(benchmark.same, bool)
    ordered, fold = Sorted(scores, same), fold_of(benchmark.folds, len(same))
    border = RULES[benchmark.rule](scores, same, fold).thresholds[fold]
    compared = np.isfinite(scores)
    away = (scores - border) / (scores[compared].std() or 1.0)
    impostors = int((~same).sum())

    def shown(trial: int) -> Mistake:
        left, right = (benchmark.photos[side[trial]].name for side in (benchmark.left, benchmark.right))
        return Mistake(left, right, bool(same[trial]), float(scores[trial]) if compared[trial] else None)

    return Outcome(
        "accuracy",
        (scores >= border) == same,
        np.where(same, away, -away),
        pair_measure(ordered, fold, [far for far in FARS if far * impostors >= 1], benchmark.rule == "exact"),
        benchmark.weights,
        benchmark.interval_method(),
        shown,
    )


@outcome.register
def _of_searches(benchmark: Identification, embedded: Embedded) -> Outcome:
    """Right is a mated probe whose identity comes first."""
    searches, ids, kept, _ = benchmark.searches(embedded.embeddings, embedded.failed)
    mated = np.flatnonzero(searches.mated)
    compared = np.isfinite(searches.mate[mated]) & np.isfinite(searches.best[mated])
    gap = np.full(len(mated), -np.inf)
    gap[compared] = searches.mate[mated][compared] - searches.best[mated][compared]
    metrics = identification_rates([searches], benchmark.rule, benchmark.probe_identity)[0]
    identity = benchmark.probe_identity

    def shown(trial: int) -> Mistake:
        probe = int(mated[trial])
        if not np.isfinite(searches.best[probe]):
            name = benchmark.photos[benchmark.probes[probe]].name
            return Mistake(name, name, False, None, True)
        return benchmark.wrong_first(probe, searches, ids, kept, embedded.embeddings)

    return Outcome(
        "rank1",
        searches.rank[mated] == 1,
        gap / ((gap[compared].std() if compared.any() else 0.0) or 1.0),
        search_measure([searches], metrics, benchmark.rule),
        lambda: identity_weights(identity, identity, benchmark.resamples, benchmark.seed),
        f"bootstrap over identities of the probes, {benchmark.resamples} resamples, seed {benchmark.seed}, percentile",
        shown,
    )
