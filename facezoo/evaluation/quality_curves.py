"""Does a quality score foretell errors? False non-matches against the share of photos that it turns away."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facezoo.evaluation.metrics import Sorted, check_scores, tar_at_far
from facezoo.evaluation.report import Report
from facezoo.evaluation.scored_pairs import ScoredPairs
from facezoo.types import FloatArray, InputError

Discard: TypeAlias = Literal["images", "pairs"]
EdcRule: TypeAlias = Literal["fixed", "recompute", "magface"]

STEPS = np.arange(0, 0.98, 0.05)
"""Shares turned away, as in MagFace's and CR-FIQA's evaluation."""


AREAS = (0.2, 0.3)
"""Shares up to which the area under a curve is given."""


@dataclass(frozen=True, eq=False)
class Discarding:
    """FNMR after the worst have been turned away.

    Attributes:
        discarded: shares of the images or pairs, ascending from 0, (R,).
        fnmr: of the genuine pairs that are left, (R,); NaN where none is left.
        fmr: of the impostor pairs that are left, (R,).
        threshold: at each share, (R,).
    """

    discarded: FloatArray
    fnmr: FloatArray
    fmr: FloatArray
    threshold: FloatArray

    def area(self, up_to: float) -> float:
        """Area under the curve from 0 to a share (pAUC), by the trapezoid rule; FNMR at its end is interpolated."""
        there = np.isfinite(self.fnmr)
        discarded, fnmr = self.discarded[there], self.fnmr[there]
        if not 0 < up_to <= discarded[-1] + 1e-12:
            raise InputError(f"edc: up_to is {up_to}, the curve reaches from 0 to {discarded[-1]:g}")
        inside = discarded < up_to
        x = np.append(discarded[inside], up_to)
        y = np.append(fnmr[inside], np.interp(up_to, discarded, fnmr))
        return float(((y[1:] + y[:-1]) / 2 * np.diff(x)).sum())

    def relative_area(self, up_to: float) -> float | None:
        """`area` by that of a quality score that foretells nothing, which is the FNMR at the start times the share.

        1 is useless, 0 ideal; None if there is no error at the start.
        """
        return self.area(up_to) / float(self.fnmr[0] * up_to) if self.fnmr[0] > 0 else None


def error_versus_discard(
    scores: ArrayLike,
    same: ArrayLike,
    left: NDArray[np.integer],
    right: NDArray[np.integer],
    quality: FloatArray,
    fmr: float,
    *,
    discard: Discard = "images",
    rule: EdcRule = "fixed",
    steps: FloatArray = STEPS,
) -> Discarding:
    """The error-versus-discard curve (EDC, also ERC); https://arxiv.org/abs/2303.13294.

    Args:
        scores, same: of the pairs, (P,).
        left, right: photos of the pairs, (P,).
        quality: of each photo (N,), larger is better; of a pair the smaller one counts.
        fmr: target that sets the threshold.
        discard: turn away photos with all their pairs, or pairs. Of N the floor(share N) worst go. Where the border
            parts equals, a pair counts by the chance that it stays when those that go are drawn among them.
        rule: threshold fixed on all pairs; recomputed on the pairs that are left, as in CR-FIQA; or so by MagFace's
            index: the impostor score at place floor((n - 1) fmr), counted from the highest.
        steps: shares, ascending from 0.
    """
    values, labels = check_scores(scores, same)
    if discard not in ("images", "pairs") or rule not in ("fixed", "recompute", "magface"):
        raise InputError(f"edc: discard {discard!r} must be images or pairs, rule {rule!r} fixed, recompute or magface")
    if len(steps) < 2 or steps[0] != 0 or (np.diff(steps) <= 0).any() or steps[-1] >= 1:
        raise InputError("edc: steps must rise from 0 and end below 1")
    if not np.isfinite(quality).all():
        raise InputError("edc: some quality scores are not finite")
    if discard == "images":
        used = np.unique(np.concatenate([left, right]))
        first, second, items = quality[left], quality[right], np.sort(quality[used])
    else:
        first = second = np.minimum(quality[left], quality[right])
        items = np.sort(first)
    alone = (left == right) if discard == "images" else np.ones(len(values), bool)
    ordered = Sorted(values, labels)
    fixed = tar_at_far(ordered.tally(), fmr).threshold
    rows = []
    for share in steps:
        # 0.15 * 20 is a little less than 3
        weight = _staying(first, second, alone, items, int(share * len(items) + 1e-9))
        genuine, impostor = (float(weight[kind].sum()) for kind in (labels, ~labels))
        if genuine <= 0 or impostor <= 0:
            rows.append((np.nan, np.nan, np.nan))
            continue
        threshold = fixed
        if rule == "recompute":
            threshold = tar_at_far(ordered.tally(weight), fmr).threshold
        elif rule == "magface":
            threshold = _score_at(values[~labels], weight[~labels], int(max(0.0, impostor - 1) * fmr + 1e-9))
        accepted = values >= threshold
        fnmr = float(weight[labels & ~accepted].sum()) / genuine
        rows.append((fnmr, float(weight[~labels & accepted].sum()) / impostor, threshold))
    fnmrs, found, thresholds = np.array(rows).T
    return Discarding(np.asarray(steps, np.float64), fnmrs, found, thresholds)


def _staying(
    first: FloatArray, second: FloatArray, alone: NDArray[np.bool_], items: FloatArray, gone: int
) -> FloatArray:
    """The chance of each pair (P,) that it stays, when of the ordered items `gone` go, drawn among equals.

    Args:
        first, second: quality of either side.
        alone: whether both sides are one item.
    """
    border = items[gone]
    below, upto = np.searchsorted(items, border), np.searchsorted(items, border, side="right")
    equal, kept = int(upto - below), int(upto - gone)
    sides = (first == border).astype(np.intp) + (second == border)
    one, both = kept / equal, kept * (kept - 1) / (equal * max(1, equal - 1))
    chance = np.array([1.0, one, both])[sides]
    chance[alone & (sides == 2)] = one
    chance[np.minimum(first, second) < border] = 0
    return chance


def _score_at(scores: FloatArray, weights: FloatArray, place: int) -> float:
    """The score at a place counted by weight from the highest, 0 being that itself."""
    order = np.argsort(-scores, kind="stable")
    # Chances that add up to a whole number miss it by a rounding.
    reached = np.cumsum(weights[order]) > place + 1e-9
    return float(scores[order][int(np.argmax(reached))])


@dataclass(frozen=True, eq=False)
class QualityPart:
    """Error-versus-discard curves of one quality score."""

    name: str
    quality: FloatArray
    discard: Discard
    rule: EdcRule

    def __call__(self, report: Report, pairs: ScoredPairs) -> Report:
        metrics, curves, protocol = dict(report.metrics), dict(report.curves), dict(report.protocol)
        rows: list[tuple[str | float | None, ...]] = []
        fars = [key.removeprefix("threshold@far=") for key in report.metrics if key.startswith("threshold@far=")]
        for far in fars:
            found = error_versus_discard(
                pairs.scores, pairs.same, pairs.left, pairs.right, self.quality, float(far),
                discard=self.discard, rule=self.rule,
            )  # fmt: skip
            there = np.isfinite(found.fnmr)
            curves[f"edc/{self.name} at {far}"] = {
                "discarded": found.discarded[there].tolist(),
                "fnmr": found.fnmr[there].tolist(),
            }
            if not rows:
                rows.append(("FMR", *(f"{share:.0%} discarded" for share in found.discarded[[0, 1, 2, 4, 6]])))
            rows.append((far, *(float(v) if np.isfinite(v) else None for v in found.fnmr[[0, 1, 2, 4, 6]])))
            for up_to in AREAS:
                if found.discarded[there][-1] >= up_to:
                    metrics[f"pauc@{up_to:g}/{self.name}@far={far}"] = found.area(up_to)
                    metrics[f"relative_pauc@{up_to:g}/{self.name}@far={far}"] = found.relative_area(up_to)
        protocol["quality"] = (
            f"{self.name}; the worst {self.discard} are discarded, a pair counting as its worse photo; threshold "
            + {
                "fixed": "fixed on all pairs",
                "recompute": "recomputed on the pairs that are left",
                "magface": "recomputed on the pairs that are left, by MagFace's index",
            }[self.rule]
        )
        tables = {**report.tables, f"FNMR after discarding by {self.name}": tuple(rows)} if rows else report.tables
        return replace(report, metrics=metrics, curves=curves, protocol=protocol, tables=tables)
