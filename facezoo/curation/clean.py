"""A training set looked through: outliers of identities, identities that are one person, photos that come twice."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facezoo.curation.calibrate import Threshold
from facezoo.curation.decisions import Applied, Decisions, apply
from facezoo.curation.duplicates import Alike, Duplicate, duplicates, measure_copies
from facezoo.curation.embeddings import embed_dataset
from facezoo.curation.merges import Merge, centres_of, merges, nearest
from facezoo.curation.outliers import fits
from facezoo.data.dataset import Dataset
from facezoo.evaluation.run import Embed
from facezoo.files import write_text
from facezoo.types import FloatArray

AS_NEAR = 0.01
"""Share of images that may be as near to another identity as half of all are to their own, without a warning."""


@dataclass(frozen=True)
class Outlier:
    """An image that does not fit its identity.

    Attributes:
        score: cosine to its identity's centre.
        other: the label whose centre is the nearest of all others; None if there is no other.
        other_score: the cosine to that one.
    """

    sample: int
    score: float
    other: int | None
    other_score: float


@dataclass(frozen=True)
class Limits:
    """Where the lines are drawn; None lets the data tell.

    Attributes:
        outlier_precision, merge_precision: the share of what is found that is to be right, as far as the scores tell.
        outlier_cosine: images at or below it are outliers.
        merge_cosine: centres at least so close are one person's.
        copy_cosine, copy_likeness: embeddings and pixels of copies are at least so alike.
    """

    outlier_precision: float = 0.8
    merge_precision: float = 0.8
    outlier_cosine: float | None = None
    merge_cosine: float | None = None
    copy_cosine: float | None = None
    copy_likeness: float | None = None


@dataclass(frozen=True, eq=False)
class Findings:
    """What was found, the strongest evidence first, and what is proposed.

    Attributes:
        scores: (N,) cosine of each image to its identity's centre without it; nan where it is alone or unreadable.
        foreign: (M,) the same against other identities.
        unreadable: images without an embedding.
    """

    outliers: list[Outlier]
    merges: list[Merge]
    duplicates: list[Duplicate]
    outlier_limit: Threshold
    merge_limit: Threshold
    alike: Alike
    scores: FloatArray
    foreign: FloatArray
    unreadable: int

    @property
    def as_near(self) -> float:
        """Share of cosines to other identities that reach the median of those to the own one: near 0 for a model that
        tells these people apart, whatever the share of wrong labels."""
        own = self.scores[np.isfinite(self.scores)]
        return float((self.foreign >= np.median(own)).mean()) if len(own) and len(self.foreign) else 0.0

    def warning(self) -> str:
        """A sentence where the model hardly tells these people apart; else nothing."""
        if self.as_near <= AS_NEAR:
            return ""
        return (
            f"This model hardly tells these people apart: {self.as_near:.0%} of the images are as near to another "
            "identity as half of them are to their own. Do not go by what was found; look at the model, its contract "
            "and how the crops are aligned."
        )

    def decisions(self, data: Dataset) -> Decisions:
        """Outliers and all copies but one go; identities of one person become that with the most images."""
        drop = [found.sample for found in self.outliers] + [
            other for group in self.duplicates for other in group.others
        ]
        images = np.bincount(data.labels, minlength=len(data.classes))
        merge = []
        for group in self.merges:
            into = max(group.labels, key=lambda label: (images[label], -label))
            merge += [(data.classes[label], data.classes[into]) for label in group.labels if label != into]
        return Decisions({sample: data.path(sample) for sample in drop}, tuple(merge))

    def to_dict(self) -> dict[str, Any]:
        """Numbers and thresholds, ready for JSON."""
        return {
            "outliers": len(self.outliers),
            "outlier_threshold": vars(self.outlier_limit),
            "merges": len(self.merges),
            "merge_threshold": vars(self.merge_limit),
            "duplicate_groups": len(self.duplicates),
            "duplicates": sum(len(group.others) for group in self.duplicates),
            "duplicates_across_identities": sum(group.across for group in self.duplicates),
            "copy_cosine": self.alike.cosine,
            "copy_likeness": self.alike.likeness,
            "unreadable": self.unreadable,
            "as_near_to_others": self.as_near,
            "warning": self.warning(),
        }


def find(data: Dataset, embed: Embed, model: str, folder: Path, limits: Limits = Limits(), seed: int = 0) -> Findings:
    """Look through a dataset; embeddings are kept in a folder and found again.

    Args:
        data: crops as the model wants them.
        embed: the model.
        model: digest of its weights.
        folder: of the embeddings; it belongs to these images and this model, labels may change.
        limits: thresholds.
        seed: of what is drawn to find thresholds.

    Raises:
        InputError: no image can be read, the folder holds other embeddings, or there is too little to find a
            threshold by.
    """
    embeddings = embed_dataset(data, embed, model, folder)
    judged = fits(embeddings, data.labels, seed)
    samples, outlier_limit = judged.outliers(limits.outlier_precision, limits.outlier_cosine)
    outliers = []
    for sample, near in zip(samples.tolist(), nearest(judged.centres, embeddings[samples], 2)):
        other = next(((label, score) for label, score in near if label != data.labels[sample]), (None, float("nan")))
        outliers.append(Outlier(sample, float(judged.scores[sample]), *other))
    kept = np.ones(len(data), bool)
    kept[samples] = False
    centres = centres_of(embeddings, data.labels, kept, seed)
    merged, merge_limit = merges(centres, limits.merge_precision, limits.merge_cosine)
    alike = Alike(limits.copy_cosine or 0.0, limits.copy_likeness or 0.0)
    if limits.copy_cosine is None or limits.copy_likeness is None:
        made = measure_copies(data, embeddings, embed, seed)
        given = limits.copy_cosine, limits.copy_likeness
        alike = Alike(*(own if stated is None else stated for own, stated in zip(made, given)))
    copies = duplicates(data, embeddings, alike, judged.scores, seed)
    unreadable = int(embeddings.failed.sum())
    return Findings(
        outliers, merged, copies, outlier_limit, merge_limit, alike, judged.scores, judged.foreign, unreadable
    )


def write_findings(found: Findings, data: Dataset, of: str, out: Path) -> Applied:
    """Write outliers.csv, merges.csv, duplicates.csv, the proposal decisions.json and the list kept.txt it leads to."""
    names = data.classes
    _write_csv(
        out / "outliers.csv",
        ("sample", "path", "identity", "cosine", "nearest_other", "other_cosine"),
        (
            (o.sample, data.path(o.sample), names[data.labels[o.sample]], f"{o.score:.4f}", *_other(o, names))
            for o in found.outliers
        ),
    )
    _write_csv(
        out / "merges.csv",
        ("group", "identity", "cosine"),
        ((k, names[label], f"{m.score:.4f}") for k, m in enumerate(found.merges, 1) for label in m.labels),
    )
    _write_csv(
        out / "duplicates.csv",
        ("group", "sample", "path", "identity", "likeness", "mirrored", "kept"),
        (
            (k, s, data.path(s), names[data.labels[s]], f"{g.likeness:.4f}", int(g.mirrored), int(s == g.keep))
            for k, g in enumerate(found.duplicates, 1)
            for s in (g.keep, *g.others)
        ),
    )
    decisions = found.decisions(data)
    decisions.write(out / "decisions.json")
    return apply(data, of, decisions, out / "kept.txt")


def _other(outlier: Outlier, names: Sequence[str]) -> tuple[str, str]:
    return ("", "") if outlier.other is None else (names[outlier.other], f"{outlier.other_score:.4f}")


def _write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    write_text(path, text.getvalue())
