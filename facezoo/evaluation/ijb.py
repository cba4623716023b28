"""IJB-B and IJB-C: templates of many photos, compared in pairs (1:1) and searched in two galleries (1:N)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from facezoo.evaluation.aggregation import Mirrored, Norm, Rows, aggregate, halves
from facezoo.evaluation.intervals import check_draws
from facezoo.evaluation.open_set import (
    FPIR_WORDS,
    TIE_WORDS,
    FpirRule,
    Searches,
    Ties,
    identification_curves,
    identification_intervals,
    identification_rates,
    identification_tables,
)
from facezoo.evaluation.photos import Photo
from facezoo.evaluation.ranks import search
from facezoo.evaluation.report import NO_FACE, Mistake, Report
from facezoo.evaluation.template_verification import FprRule, verify_templates
from facezoo.evaluation.vectors import Vectors
from facezoo.evaluation.verification import MISTAKES
from facezoo.types import FloatArray, InputError

Flip: TypeAlias = Literal["model", "alone", "off", "add", "concat"]

FLIP_WORDS = {
    "model": "as the model's contract says",
    "alone": "photos alone, without their mirror images",
    "off": "of photo and mirror image, embedded apart, only the photo counts",
    "add": "photo and mirror image, embedded apart, are added",
    "concat": "photo and mirror image, embedded apart, stand side by side",
}
NORM_WORDS = {"keep": "embeddings keep their length", "unit": "each embedding is normalised"}


class Gallery(NamedTuple):
    """Templates to be searched and their subjects, (K,) each; templates as positions among all, rising ids."""

    name: str
    templates: NDArray[np.intp]
    subjects: NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class IJB:
    """TAR at FAR of template pairs, and rank-k and TPIR at FPIR of templates in galleries.

    A template's vector is the normalised sum of its media, a medium the mean of its photos; IJB-B
    https://doi.org/10.1109/CVPRW.2017.87, IJB-C https://doi.org/10.1109/ICB2018.2018.00033. Photos without a face are
    left out of their template. A template without any other is never accepted and never found.

    Attributes:
        name: of the benchmark.
        photos: in the order of the embeddings; all of them a second time, mirrored, unless flip is `model`.
        entries: photo of each line of the template list (M,), one photo may be in several templates.
        template, media: of each entry, (M,).
        detector: score of each photo's detection, (N,).
        pairs: left and right template and whether they are genuine, (P,) each; templates as positions among all ids,
            rising. None leaves 1:1 out.
        galleries: for 1:N; empty leaves it out.
        probes: the templates searched for in every gallery, and their subjects.
        aligned: alignment template of photos that are crops already; None for raw photos.
        norm: whether embeddings are normalised before they are averaged.
        detector_score: whether a photo counts by its detector score.
        flip: `model` takes embeddings as they come, `alone` only those of a model that adds no mirror image. The others
            take photo and mirror image apart: 2 N rows, or N rows of twice the width, so that one set of embeddings of
            a model without its own flip serves all three.
        fpr_rule: how the threshold for a FAR is chosen; `nearest` is that of the IJB scripts.
        fpir_rule: how the threshold for an FPIR is chosen; `index` is that of the IJB scripts.
        ties: whether a mate that shares its score with another subject is found.
        resamples: of the bootstrap; 0 leaves it out.
        seed: of the bootstrap.
        notes: what a reader of the report should know, by word.
        shows: of each template (T,) the first that shows the same, where some are copies of others, as masked ones are.
    """

    name: str
    photos: Sequence[Photo]
    entries: NDArray[np.intp]
    template: NDArray[np.integer]
    media: NDArray[np.integer]
    detector: FloatArray
    pairs: tuple[NDArray[np.integer], NDArray[np.integer], NDArray[np.bool_]] | None = None
    galleries: Sequence[Gallery] = ()
    probes: Gallery | None = None
    aligned: str | None = None
    norm: Norm = "keep"
    detector_score: Literal["on", "off"] = "on"
    flip: Flip = "model"
    fpr_rule: FprRule = "conservative"
    fpir_rule: FpirRule = "conservative"
    ties: Ties = "miss"
    resamples: int = 1000
    seed: int = 0
    notes: Mapping[str, str | int] = field(default_factory=dict)
    shows: NDArray[np.intp] | None = None

    def __post_init__(self) -> None:
        if not len(self.entries) == len(self.template) == len(self.media):
            raise InputError(f"{self.name}: entries, template and media differ in length")
        if self.pairs is None and not self.galleries:
            raise InputError(f"{self.name}: neither pairs nor galleries are given")
        if self.pairs is not None and (self.pairs[2].all() or not self.pairs[2].any()):
            raise InputError(f"{self.name}: the pairs are all of one kind; error rates need both")
        if bool(self.galleries) != (self.probes is not None):
            raise InputError(f"{self.name}: galleries and probes are given together or not at all")
        if self.pairs is not None and len(own := np.flatnonzero(self.pairs[0] == self.pairs[1])):
            ident = np.unique(self.template)[self.pairs[0][own[0]]]
            raise InputError(
                f"{self.name}: {len(own)} pairs compare a template with itself, the first is {ident}; leave them out"
            )
        check_draws(self.name, self.resamples, self.seed)

    def score(self, embeddings: FloatArray, failed: NDArray[np.bool_] | None = None) -> Report:
        """The report for embeddings, not normalised, and the photos without a face; a memory map is read in blocks."""
        rows, lost = self._of_photos(embeddings, failed)
        vectors, gone = self.templates(rows, lost)
        names, words = self.names()
        reports = []
        if self.pairs is not None:
            reports.append(
                verify_templates(
                    vectors, gone, *self.pairs, names, self.fpr_rule, self.resamples, self.seed, words, shows=self.shows
                )
            )
        if self.probes is not None:
            reports.append(self._identify(vectors, gone, self.probes, names, words))
        return Report(
            self.name,
            {key: value for report in reports for key, value in report.metrics.items()},
            {key: value for report in reports for key, value in report.intervals.items()},
            {key: value for report in reports for key, value in report.curves.items()},
            self._protocol(lost, gone) | {key: value for report in reports for key, value in report.protocol.items()},
            tuple(mistake for report in reports for mistake in report.mistakes),
            tables={title: rows for report in reports for title, rows in report.tables.items()},
        )

    def vectors(
        self, embeddings: FloatArray, failed: NDArray[np.bool_] | None = None
    ) -> tuple[FloatArray, NDArray[np.bool_]]:
        """As `templates`, for what `score` takes."""
        return self.templates(*self._of_photos(embeddings, failed))

    def names(self) -> tuple[list[str], list[str]]:
        """The first photo of each template (T,), by which it is shown, none without photos; and what it is called."""
        ids, first = np.unique(self.template, return_index=True)
        names = [self.photos[photo].name for photo in self.entries[first]] if len(self.photos) else []
        of = np.arange(len(ids)) if self.shows is None else self.shows
        return names, [
            f"template {ids[k]}" if k == place else f"copy of template {ids[k]}" for place, k in enumerate(of)
        ]

    def templates(self, embeddings: Rows, lost: NDArray[np.bool_]) -> tuple[FloatArray, NDArray[np.bool_]]:
        """Unit vectors (T, D) of all templates, by rising id, and which have no photo with a face, (T,)."""
        kept = ~lost[self.entries]
        if not kept.any():
            raise InputError(f"{self.name}: no photo has a face")
        photo = self.entries[kept]
        weight = self.detector[photo] if self.detector_score == "on" else None
        ids, found = aggregate(embeddings, self.template[kept], self.media[kept], photo, weight, self.norm)
        everyone = np.unique(self.template)
        there = np.isin(everyone, ids)
        if there.all():
            return found, ~there
        vectors = np.zeros((len(everyone), found.shape[1]))
        vectors[there] = found
        return vectors, ~there

    def _of_photos(self, embeddings: FloatArray, failed: NDArray[np.bool_] | None) -> tuple[Rows, NDArray[np.bool_]]:
        """One row for each photo, and those without a face, (N,)."""
        size = len(self.detector)
        lost = np.zeros(len(embeddings), bool) if failed is None else failed
        if self.flip == "model" or self.flip == "alone":
            due = f"{size} rows are due"
        elif embeddings.ndim == 2 and len(embeddings) == 2 * size:
            apart = np.flatnonzero(~lost[:size] & ~lost[size:])[:16]
            if len(apart) and np.allclose(embeddings[apart], embeddings[size + apart], rtol=1e-4, atol=1e-5):
                raise InputError(
                    f"{self.name}: flip={self.flip}, but photos and their mirror images have the same embeddings: "
                    "the model adds the mirror image itself; turn that off (--no-flip)"
                )
            return Mirrored(embeddings[:size], embeddings[size:], self.flip), lost[:size] | lost[size:]
        else:
            due = f"{2 * size} rows, or {size} of twice the width, are due with flip={self.flip}"
        if embeddings.ndim != 2 or len(embeddings) != size:
            raise InputError(f"{self.name}: embeddings of shape {embeddings.shape}, {due}")
        if self.flip == "model" or self.flip == "alone":
            return embeddings, lost
        return halves(embeddings, self.flip), lost

    def _identify(
        self, vectors: FloatArray, gone: NDArray[np.bool_], probes: Gallery, names: list[str], templates: list[str]
    ) -> Report:
        """1:N; rank-k over the probes of all galleries, TPIR the galleries' mean."""
        searches, mistakes = [], []
        for found, theirs in self.searches(vectors, gone, probes):
            searches.append(found)
            mistakes += _worst(found, theirs, probes, names, templates)
        metrics, unmeasurable = identification_rates(searches, self.fpir_rule, probes.subjects)
        words: dict[str, str | int] = {
            "galleries": ", ".join(f"{gallery.name} {found.size}" for gallery, found in zip(self.galleries, searches)),
            "probes": len(probes.templates),
            "mated probes": int(sum(found.mated.sum() for found in searches)),
            "ties": TIE_WORDS[self.ties],
            "1:N threshold rule": f"{FPIR_WORDS[self.fpir_rule]}; the mean over the galleries",
        }
        intervals = identification_intervals(
            searches, probes.subjects, metrics, self.fpir_rule, self.resamples, self.seed
        )
        galleries = [gallery.name for gallery in self.galleries]
        return Report(
            self.name,
            metrics,
            intervals,
            identification_curves(searches, galleries),
            words | unmeasurable,
            tuple(mistakes),
            tables=identification_tables(searches, galleries, self.fpir_rule, probes.subjects),
        )

    def searches(
        self, vectors: FloatArray, gone: NDArray[np.bool_], probes: Gallery
    ) -> Iterator[tuple[Searches, NDArray[np.intp]]]:
        """Of each gallery what the probes met, and the template by which each of its subjects is shown."""
        for gallery in self.galleries:
            kept = ~gone[gallery.templates]
            ids, group = np.unique(gallery.subjects[kept], return_inverse=True)
            if not len(ids):
                raise InputError(f"{self.name}: gallery {gallery.name} has no template with a face")
            order = np.argsort(group, kind="stable")
            place = np.searchsorted(ids, probes.subjects).clip(max=len(ids) - 1)
            found = search(
                Vectors(vectors, probes.templates),
                Vectors(vectors, gallery.templates[kept][order], group[order]),
                np.where(ids[place] == probes.subjects, place, -1),
            )
            mated = np.isin(probes.subjects, gallery.subjects)
            theirs = gallery.templates[kept][order][np.flatnonzero(np.diff(group[order], prepend=-1))]
            yield Searches.of(found, len(ids), mated, gone[probes.templates], self.ties), theirs

    def _compared(self) -> NDArray[np.bool_]:
        """Which templates (T,) are in a pair, in a gallery or among the probes."""
        sides = [*(self.pairs or ())[:2], *(each.templates for each in self.galleries)]
        sides += [] if self.probes is None else [self.probes.templates]
        size = len(np.unique(self.template))
        return np.add.reduce([np.bincount(side, minlength=size) for side in sides]) > 0

    def _protocol(self, lost: NDArray[np.bool_], gone: NDArray[np.bool_]) -> dict[str, str | int]:
        if self.shows is not None:  # the plain templates of probes that are masked copies are not compared
            compared = self._compared()
            entries = compared[np.unique(self.template, return_inverse=True)[1]]
            lost, gone = lost[np.unique(self.entries[entries])], gone[compared]
        words: dict[str, str | int] = {
            "photos": len(lost),
            "templates": len(gone),
            "score": "cosine of templates",
            "aggregation": "mean of a medium's photos, sum of a template's media, normalised; "
            f"{NORM_WORDS[self.norm]}, detector score {self.detector_score}",
            "mirror images": FLIP_WORDS[self.flip],
            NO_FACE: int(lost.sum()),
        }
        if lost.any():
            words["failures"] = (
                f"such photos are left out of their templates; {int(gone.sum())} templates have no other and are "
                "neither accepted nor found"
            )
        return {**words, **self.notes}


def _worst(
    found: Searches, theirs: NDArray[np.intp], probes: Gallery, names: list[str], templates: list[str]
) -> list[Mistake]:
    """Mated probes that a wrong subject outranks, the highest scores first, by a photo of each template."""
    if not names:
        return []
    wrong = np.flatnonzero(found.mated & (found.rank > 1) & np.isfinite(found.best))
    mistakes = []
    for k in wrong[np.argsort(-found.best[wrong], kind="stable")][:MISTAKES]:
        probe, other = probes.templates[k], theirs[found.place[k]]
        words = (templates[probe], templates[other])
        mistakes.append(Mistake(names[probe], names[other], False, float(found.best[k]), True, words))
    return mistakes
