"""What a model did in each trial of a benchmark, so that models can be compared trial by trial."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import singledispatch
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facezoo.evaluation.by_group import ByGroup
from facezoo.evaluation.folds import fold_of
from facezoo.evaluation.identification import Identification
from facezoo.evaluation.ijb import IJB
from facezoo.evaluation.intervals import identity_weights, trial_measure
from facezoo.evaluation.megaface import MegaFace
from facezoo.evaluation.metrics import Sorted, tar_at_far
from facezoo.evaluation.open_set import identification_rates, search_measure
from facezoo.evaluation.pair_resampling import draw_identities
from facezoo.evaluation.report import Mistake
from facezoo.evaluation.run import Embedded
from facezoo.evaluation.template_pairs import score_templates
from facezoo.evaluation.template_resampling import levels
from facezoo.evaluation.template_verification import FARS as TEMPLATE_FARS
from facezoo.evaluation.verification import FARS, RULES, Verification, far_name, pair_measure
from facezoo.types import FloatArray

MAIN_FAR = 1e-4
"""At which trials of IJB are told right from wrong, where it can be measured."""


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
        independent: whether single trials are nearly so; else only the resamples say how sure a difference is.
    """

    metric: str
    right: NDArray[np.bool_]
    margin: FloatArray
    measure: Callable[[FloatArray], Mapping[str, float | None]]
    weights: Callable[[], Iterator[FloatArray]]
    method: str
    shown: Callable[[int], Mistake]
    independent: bool = True


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
def _of_groups(benchmark: ByGroup, embedded: Embedded) -> Outcome:
    """The pairs of all groups, each by its own thresholds; a resample draws within each group."""
    parts, scores = [], []
    for _, group, start, stop in benchmark.each():
        own = Embedded(embedded.embeddings[start:stop], embedded.failed[start:stop])
        parts.append(_of_pairs(group, own))
        scores.append(group.scores(own.embeddings, own.failed))
    same = np.concatenate([np.asarray(each.same, bool) for each in benchmark.groups.values()])
    fars = [far for far in FARS if far * (~same).sum() >= 1]
    at_once = pair_measure(Sorted(np.concatenate(scores), same), np.zeros(len(same), np.intp), fars, False)
    cuts = np.cumsum([0, *(len(each.same) for each in benchmark.groups.values())])

    def measure(weights: FloatArray) -> dict[str, float | None]:
        found = dict(at_once(weights))
        for name, part, first, last in zip(benchmark.groups, parts, cuts, cuts[1:]):
            found |= {f"{name}/{metric}": value for metric, value in part.measure(weights[first:last]).items()}
        accuracies = [found.get(f"{name}/accuracy") for name in benchmark.groups]
        known = [accuracy for accuracy in accuracies if accuracy is not None]
        return {"accuracy": float(np.mean(known)), **found} if len(known) == len(accuracies) else found

    def shown(trial: int) -> Mistake:
        place = int(np.searchsorted(cuts, trial, side="right")) - 1
        mistake, group = parts[place].shown(trial - int(cuts[place])), list(benchmark.groups)[place]
        return replace(mistake, left=f"{group}/{mistake.left}", right=f"{group}/{mistake.right}")

    right, margin = (np.concatenate([getattr(part, name) for part in parts]) for name in ("right", "margin"))
    return Outcome("accuracy", right, margin, measure, benchmark.weights, benchmark.interval_method(), shown)


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


@outcome.register
def _of_distractors(benchmark: MegaFace, embedded: Embedded) -> Outcome:
    """Right is a trial whose mate scores above all distractors."""
    found = benchmark.ranked(embedded.embeddings, embedded.failed)
    nearest = found.tops[-1].scores[found.probe, 0]
    compared = np.isfinite(found.score)
    gap = np.where(compared, found.score, 0) - nearest
    away = np.where(compared, gap / ((gap[compared].std() if compared.any() else 0.0) or 1.0), -np.inf)
    measure, people = trial_measure(benchmark.hits(found.ranks), benchmark.identity[found.probe])
    return Outcome(
        "rank1",
        found.ranks == 1,
        away,
        measure,
        lambda: identity_weights(people, people, benchmark.resamples, benchmark.seed),
        f"bootstrap over identities, {benchmark.resamples} resamples, seed {benchmark.seed}, percentile",
        lambda trial: benchmark.nearest(found, int(found.probe[trial])),
        independent=False,
    )


@outcome.register
def _of_templates(benchmark: IJB, embedded: Embedded) -> Outcome | None:
    """Right is a genuine pair of templates that is accepted at the model's own threshold for an FAR of 1e-4, or for the
    strictest that can be measured. None without pairs, and by the scripts' rule, which has no threshold."""
    if benchmark.pairs is None or benchmark.fpr_rule == "nearest":
        return None
    left, right, same = benchmark.pairs
    impostors = int((~same).sum())
    fars = [far for far in TEMPLATE_FARS if far * impostors >= 1]
    if not fars:
        return None
    far = MAIN_FAR if MAIN_FAR in fars else fars[-1]
    vectors, gone = benchmark.vectors(embedded.embeddings, embedded.failed)
    pairs = score_templates(vectors, gone, left, right, same, benchmark.shows)
    theirs = pairs.scores[same].astype(np.float64)
    compared = np.isfinite(theirs)
    threshold = tar_at_far(pairs.tally([far]), far).threshold
    found = levels(pairs, fars[0])
    names, templates = benchmark.names()
    sides = left[same], right[same]

    def measure(drawn: FloatArray) -> dict[str, float | None]:
        rates = found.rates(drawn[None])
        return {f"tar@far={far_name(far)}": float(found.points(*rates, far)[0][0]) for far in fars}

    def shown(trial: int) -> Mistake:
        a, b = (int(side[trial]) for side in sides)
        score = float(theirs[trial]) if compared[trial] else None
        return Mistake(names[a], names[b], True, score, of=(templates[a], templates[b]))

    return Outcome(
        f"tar@far={far_name(far)}",
        theirs >= threshold,
        (theirs - threshold) / (theirs[compared].std() or 1.0),
        measure,
        lambda: draw_identities(len(found.impostor_of), benchmark.resamples, benchmark.seed),
        f"bootstrap over identities with their impostors, {benchmark.resamples} resamples, seed {benchmark.seed}, "
        "percentile",
        shown,
        independent=False,
    )
