"""What a report draws of the scores of a list of pairs: the ROC, and how the scores are spread."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from facezoo.evaluation.metrics import Tally, roc
from facezoo.types import FloatArray

BINS = 100


def roc_corners(tallied: Tally) -> dict[str, list[float]]:
    """The corners of the ROC: points between two others on one line are left out."""
    points = roc(tallied)
    steps = np.stack([np.diff(points.fmr) > 0, np.diff(points.fnmr) < 0], axis=1)
    corner = np.ones(len(points.fmr), bool)
    corner[1:-1] = (steps[1:] != steps[:-1]).any(axis=1) | steps[1:].all(axis=1)
    return {
        "threshold": points.threshold[corner].tolist(),
        "fmr": points.fmr[corner].tolist(),
        "fnmr": points.fnmr[corner].tolist(),
    }


def score_histogram(scores: FloatArray, same: NDArray[np.bool_]) -> dict[str, list[float]]:
    """Share of genuine and impostor pairs in each of 100 bins over the range of the scores."""
    compared = np.isfinite(scores)
    edges = np.histogram_bin_edges(scores[compared], BINS)
    counts = {
        kind: np.histogram(scores[compared & mask], edges)[0] / mask.sum()
        for kind, mask in (("genuine", same), ("impostor", ~same))
    }
    return {"edges": edges.tolist(), **{kind: share.tolist() for kind, share in counts.items()}}


def weight_histogram(tallied: Tally) -> dict[str, list[float]]:
    """Share of genuine and impostor weight in each of 100 bins over the range of the scores."""
    edges = np.histogram_bin_edges(tallied.scores[[0, -1]], BINS)
    kinds = {
        "genuine": (tallied.genuine, tallied.genuine_total),
        "impostor": (tallied.impostor, tallied.impostor_total),
    }
    shares = {
        kind: (np.histogram(tallied.scores, edges, weights=weights)[0] / total).tolist()
        for kind, (weights, total) in kinds.items()
    }
    return {"edges": edges.tolist(), **shares}
