"""Do two templates show one person? Error rates of millions of pairs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from facezoo.evaluation.intervals import MATCHED, independent_trials
from facezoo.evaluation.metrics import auc, eer, min_dcf
from facezoo.evaluation.rate_tables import rate_table
from facezoo.evaluation.report import LISTED_AGAIN, Interval, Mistake, Report
from facezoo.evaluation.scored_pairs import again_words, thinned_roc
from facezoo.evaluation.template_pairs import (
    TemplatePairs,
    listed_again,
    nearest_points,
    score_templates,
    sorted_histogram,
)
from facezoo.evaluation.template_resampling import levels, template_intervals
from facezoo.evaluation.verification import MISTAKES, far_name, operating_metrics
from facezoo.types import FloatArray, InputError

FprRule: TypeAlias = Literal["conservative", "nearest"]

FARS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)

FPR_WORDS = {
    "conservative": "at most floor(FAR N) of the N impostor pairs reach the threshold",
    "nearest": "IJB scripts: the ROC point with the nearest FPR, which may exceed the target",
}


def verify_templates(
    vectors: FloatArray,
    gone: NDArray[np.bool_],
    left: NDArray[np.integer],
    right: NDArray[np.integer],
    same: NDArray[np.bool_],
    names: list[str],
    rule: FprRule = "conservative",
    resamples: int = 1000,
    seed: int = 0,
    templates: Sequence[str] = (),
    fars: Sequence[float] = FARS,
    shows: NDArray[np.intp] | None = None,
) -> Report:
    """TAR at FAR of template pairs.

    Args:
        vectors: unit vectors of the templates (T, D).
        gone: templates without a vector (T,): their pairs are never accepted.
        left, right: rows of the templates of each pair (P,).
        same: whether a pair is genuine (P,).
        names: photos (T,) by which templates are shown among the mistakes; empty leaves those out.
        rule: how the threshold for a FAR is chosen.
        resamples, seed: of the bootstrap over identities, which are the templates that genuine pairs connect.
        templates: what those that have `names` are called themselves, (T,).
        fars: targets, falling.
        shows: see `score_templates`.
    """
    pairs = score_templates(vectors, gone, left, right, same, shows)
    genuine, impostor, totals = pairs.genuine, pairs.impostor, pairs.totals
    if not len(genuine) or not len(impostor):
        raise InputError("templates: no pair of one kind could be compared")
    tallied = pairs.tally(fars)
    metrics: dict[str, float | None] = {"auc": auc(tallied), "eer": eer(tallied), "min_dcf": min_dcf(tallied)}
    words: dict[str, str | int] = {
        "pairs": len(same),
        "genuine pairs": totals[0],
        "impostor pairs": totals[1],
        "threshold rule": FPR_WORDS[rule],
    }
    if again := listed_again(left, right, len(vectors)):
        words[LISTED_AGAIN] = again_words(again)
    if rule == "nearest":
        for far, (tpr, fpr) in zip(fars, nearest_points(genuine, impostor, totals, fars)):
            metrics |= {f"tar@far={far_name(far)}": tpr, f"fmr@far={far_name(far)}": fpr}
    else:
        points, unmeasurable = operating_metrics(tallied, fars, _impostor_trials(pairs), "person")
        metrics, words = metrics | points, words | unmeasurable
    curves = {
        "roc": thinned_roc(tallied),
        "histogram": sorted_histogram(genuine, impostor),
    }
    intervals = _intervals(pairs, metrics, resamples, seed, fars)
    mistakes: tuple[Mistake, ...] = ()
    threshold = next(
        (t for far in fars[::-1] if (t := metrics.get(f"threshold@far={far_name(far)}")) is not None), None
    )
    if names and threshold is not None:
        chosen = _worst(pairs)
        chosen = chosen[(pairs.scores[chosen] >= threshold) != same[chosen]]
        words["mistakes shown"] = f"at the threshold {threshold:.4g}, of the strictest FAR measured"
        mistakes = tuple(
            Mistake(
                names[left[k]],
                names[right[k]],
                bool(same[k]),
                float(pairs.scores[k]),
                of=(templates[left[k]], templates[right[k]]),
            )
            for k in chosen
        )
    tables = {"TAR at FAR": rate_table(metrics, intervals, fars, "tar")}
    return Report("templates", metrics, intervals, curves, words, mistakes, tables=tables)


def _intervals(
    pairs: TemplatePairs, metrics: dict[str, float | None], resamples: int, seed: int, targets: Sequence[float]
) -> dict[str, Interval]:
    """Of TAR and threshold at the FARs measured."""
    fars = [far for far in targets if metrics.get(f"threshold@far={far_name(far)}") is not None]
    if not fars or not resamples:
        return {}
    found = levels(pairs, max(fars))
    people = int((found.genuine_of > 0).sum())
    return template_intervals(found, metrics, fars, people, resamples, seed)


def _impostor_trials(pairs: TemplatePairs) -> int:
    """How many impostor pairs share no person; of millions of pairs a part is looked at."""
    impostor = np.flatnonzero(~pairs.same)
    some = impostor[:: -(-len(impostor) // MATCHED)]
    return independent_trials(pairs.left[some], pairs.right[some], pairs.identity)


def _worst(pairs: TemplatePairs) -> NDArray[np.intp]:
    """Impostor pairs with the highest scores, then genuine ones with the lowest."""
    scores, same = pairs.scores, pairs.same
    highest = pairs.impostor[-min(MISTAKES, len(pairs.impostor))]
    impostors, genuine = np.flatnonzero(~same & (scores >= highest)), np.flatnonzero(same & np.isfinite(scores))
    return np.concatenate(
        [
            impostors[np.argsort(-scores[impostors], kind="stable")][:MISTAKES],
            genuine[np.argsort(scores[genuine], kind="stable")][:MISTAKES],
        ]
    )
