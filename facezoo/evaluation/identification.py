"""Who is it? Probes searched in a gallery, closed and open set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from facezoo.data.pairs import inside, pair_lines
from facezoo.evaluation.intervals import check_draws
from facezoo.evaluation.open_set import (
    FPIR_WORDS,
    TIE_WORDS,
    FpirRule,
    Searches,
    Ties,
    growth_table,
    identification_curves,
    identification_intervals,
    identification_rates,
)
from facezoo.evaluation.photos import Photo, read_landmarks
from facezoo.evaluation.ranks import search
from facezoo.evaluation.report import NO_FACE, Mistake, Report
from facezoo.evaluation.score_curves import score_histogram
from facezoo.evaluation.vectors import Vectors
from facezoo.evaluation.verification import MISTAKES
from facezoo.image import find_images
from facezoo.registry import BENCHMARKS
from facezoo.types import FloatArray, InputError, unit

Several: TypeAlias = Literal["mean", "max"]

SEVERAL_WORDS = {
    "mean": "the mean of an identity's normalised embeddings, normalised",
    "max": "each photo on its own; an identity has the score of its best photo",
}


@dataclass(frozen=True, eq=False)
class Identification:
    """Rank-k rates and TPIR at FPIR of probes searched in a gallery; ISO/IEC 19795-1.

    Probes of identities that the gallery lacks are the non-mated searches. A probe without a face is a miss at every
    rank, and no false positive. A gallery photo without a face is left out; an identity that has no other cannot be
    found, and its probes are misses.

    Attributes:
        name: of the benchmark.
        photos: in the order of the embeddings.
        gallery, probes: photos, (G,) and (P,); no photo in both.
        gallery_identity, probe_identity: whom they show, (G,) and (P,).
        aligned: alignment template of photos that are crops already; None for raw photos.
        several: what stands for an identity with several gallery photos.
        ties: whether a mate that shares its score with another identity is found.
        rule: how the threshold for an FPIR is chosen; `index` is that of the IJB scripts.
        resamples: of the bootstrap; 0 leaves it out.
        seed: of the bootstrap.
        notes: what a reader of the report should know, by word.
    """

    name: str
    photos: Sequence[Photo]
    gallery: NDArray[np.intp]
    probes: NDArray[np.intp]
    gallery_identity: NDArray[np.intp]
    probe_identity: NDArray[np.intp]
    aligned: str | None = None
    several: Several = "mean"
    ties: Ties = "miss"
    rule: FpirRule = "conservative"
    resamples: int = 1000
    seed: int = 0
    notes: Mapping[str, str | int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not len(self.gallery) or not len(self.probes):
            raise InputError(
                f"{self.name}: the gallery has {len(self.gallery)} photos and there are {len(self.probes)} probes"
            )
        if len(self.gallery) != len(self.gallery_identity) or len(self.probes) != len(self.probe_identity):
            raise InputError(f"{self.name}: photos and identities differ in number")
        if common := len(np.intersect1d(self.gallery, self.probes)):
            raise InputError(
                f"{self.name}: {common} photos are in the gallery and among the probes: they find themselves"
            )
        check_draws(self.name, self.resamples, self.seed)

    def score(self, embeddings: FloatArray, failed: NDArray[np.bool_] | None = None) -> Report:
        """The report for embeddings (N, D), normalised or not, and the photos without a face (N,)."""
        searches, ids, kept, lost = self.searches(embeddings, failed)
        metrics, unmeasurable = identification_rates([searches], self.rule, self.probe_identity)
        mated, present = searches.mated, ~lost[self.probes]
        if metrics and not present.all() and (mated & present).any():
            metrics["rank1_without_failures"] = float((searches.rank[mated & present] == 1).mean())
        curves = identification_curves([searches], [self.name])
        if len(ids) > 1 and np.isfinite(searches.mate).any() and np.isfinite(searches.best).any():
            scores = np.concatenate([searches.mate[mated], searches.best])
            curves["histogram"] = score_histogram(scores, np.arange(len(scores)) < mated.sum())
        return Report(
            self.name,
            metrics,
            identification_intervals([searches], self.probe_identity, metrics, self.rule, self.resamples, self.seed),
            curves,
            self._protocol(searches, ids, kept, lost) | unmeasurable,
            self._mistakes(searches, ids, kept, embeddings),
            tables=growth_table(curves["growth"], "identities") if "growth" in curves else {},
        )

    def searches(
        self, embeddings: FloatArray, failed: NDArray[np.bool_] | None = None
    ) -> tuple[Searches, NDArray[np.intp], NDArray[np.bool_], NDArray[np.bool_]]:
        """What the probes met; the identities searched (I,), gallery photos with a face (G,), photos without (N,)."""
        if embeddings.ndim != 2 or len(embeddings) <= max(self.gallery.max(), self.probes.max()):
            raise InputError(f"{self.name}: embeddings of shape {embeddings.shape} for {len(self.photos)} photos")
        lost = np.zeros(len(embeddings), bool) if failed is None else failed
        kept = ~lost[self.gallery]
        if not kept.any():
            raise InputError(f"{self.name}: no photo of the gallery has a face")
        ids, vectors = self._vectors(embeddings, kept)
        place = np.searchsorted(ids, self.probe_identity).clip(max=len(ids) - 1)
        mates = np.where(ids[place] == self.probe_identity, place, -1)
        mated = np.isin(self.probe_identity, self.gallery_identity)
        found = search(Vectors(embeddings, self.probes), vectors, mates)
        return Searches.of(found, len(ids), mated, lost[self.probes], self.ties), ids, kept, lost

    def _vectors(self, embeddings: FloatArray, kept: NDArray[np.bool_]) -> tuple[NDArray[np.intp], Vectors]:
        """Identities of the gallery, rising, and the vectors that stand for them."""
        identity, photos = self.gallery_identity[kept], self.gallery[kept]
        ids, group = np.unique(identity, return_inverse=True)
        order = np.argsort(group, kind="stable")
        return ids, Vectors(embeddings, photos[order], group[order], mean=self.several == "mean")

    def _protocol(
        self, searches: Searches, ids: NDArray[np.intp], kept: NDArray[np.bool_], lost: NDArray[np.bool_]
    ) -> dict[str, str | int]:
        enrolled = len(np.unique(self.gallery_identity))
        used = np.union1d(self.gallery, self.probes)  # where probes are masked, the plain ones are neither
        words: dict[str, str | int] = {
            "gallery": f"{enrolled:,} identities, {len(self.gallery):,} photos",
            "probes": len(self.probes),
            "mated probes": int(searches.mated.sum()),
            "non-mated probes": int((~searches.mated).sum()),
            "photos": len(used),
            "score": "cosine",
            "several photos of an identity": SEVERAL_WORDS[self.several],
            "ties": TIE_WORDS[self.ties],
            "threshold rule": FPIR_WORDS[self.rule],
            "growth": "mean rank-1 rate over all galleries of that size that hold the mate",
            NO_FACE: int(lost[used].sum()),
        }
        if lost[used].any():
            words["failures"] = (
                f"{int(lost[self.probes].sum())} probes are misses at every rank; {int((~kept).sum())} gallery photos "
                f"are left out, and the probes of {enrolled - len(ids)} identities without another are misses"
            )
        return {**words, **self.notes}

    def _mistakes(
        self, searches: Searches, ids: NDArray[np.intp], kept: NDArray[np.bool_], embeddings: FloatArray
    ) -> tuple[Mistake, ...]:
        """Probes for which a wrong identity comes first, the highest scores first, with its most alike photo."""
        if not len(self.photos):
            return ()
        wrong = np.flatnonzero((searches.rank != 1) | ~searches.mated)
        wrong = wrong[np.isfinite(searches.best[wrong])]
        worst = wrong[np.argsort(-searches.best[wrong], kind="stable")][:MISTAKES]
        return tuple(self.wrong_first(int(probe), searches, ids, kept, embeddings) for probe in worst)

    def wrong_first(
        self,
        probe: int,
        searches: Searches,
        ids: NDArray[np.intp],
        kept: NDArray[np.bool_],
        embeddings: FloatArray,
    ) -> Mistake:
        """A probe beside the wrong identity with the highest score, of which the photo most alike is shown."""
        theirs = self.gallery[kept & (self.gallery_identity == ids[searches.place[probe]])]
        cosine = unit(embeddings[theirs].astype(np.float64)) @ embeddings[self.probes[probe]].astype(np.float64)
        shown = self.photos[theirs[cosine.argmax()]].name
        return Mistake(self.photos[self.probes[probe]].name, shown, False, float(searches.best[probe]), True)


@BENCHMARKS.register
def identify(
    root: Path,
    gallery: Path | None = None,
    probes: Path | None = None,
    enrolled: int = 1,
    unknown: float = 0.2,
    landmarks: Path | None = None,
    aligned: str | None = None,
    several: Several = "mean",
    ties: Ties = "miss",
    rule: FpirRule = "conservative",
    resamples: int = 1000,
    seed: int = 0,
    name: str = "identify",
) -> Identification:
    """Probes searched in a gallery: of two lists, or of a folder of people that is split by the seed.

    Args:
        root: folder of the photos; without lists one folder in it for each person.
        gallery, probes: lists of `path identity` lines, paths relative to root, parted by tabs where a line has some.
            Probes of people who are not in the gallery are the non-mated searches.
        enrolled: without lists: photos of a person in the gallery; all others are probes.
        unknown: without lists: share of the people who are left out of the gallery.
        landmarks: CSV of five points for each photo instead of asking the detector.
        aligned: the photos are crops, aligned to this template (`arcface`).
        several: what stands for a person with several gallery photos: their mean, or the best of them.
        ties: a mate that shares its score with another identity is a miss, or a hit.
        rule: threshold for an FPIR: conservative, or the index of the IJB scripts.
        resamples, seed: of the bootstrap; the seed also splits a folder.
        name: in the report.
    """
    if not root.is_dir():
        raise InputError(f"{root}: no such folder")
    if (gallery is None) != (probes is None):
        raise InputError(f"{name}: give both lists, gallery and probes, or neither")
    notes: dict[str, str | int] = {}
    if gallery is not None and probes is not None:
        first, second = read_identity_list(gallery), read_identity_list(probes)
    else:
        first, second = split_people(root, enrolled, unknown, seed)
        notes["split"] = f"{enrolled} photos a person enrolled, {unknown:.0%} of the people left out, seed {seed}"
    names = list(dict.fromkeys(photo for photo, _ in [*first, *second]))
    if gone := [photo for photo in names if not (root / photo).is_file()]:
        raise InputError(f"{root}: {len(gone)} of {len(names)} photos are not there, the first: {', '.join(gone[:3])}")
    if landmarks and aligned:
        raise InputError(f"{name}: landmarks={landmarks} and aligned={aligned} exclude each other")
    points = read_landmarks(landmarks) if landmarks else {}
    if landmarks and not any(photo in points for photo in names):
        raise InputError(f"{landmarks}: names none of the photos of {root}; its paths must be relative to that folder")
    if len({*first, *second}) > len(names):
        raise InputError(f"{name}: a photo of the lists has two identities")
    where = {photo: k for k, photo in enumerate(names)}
    who = {person: k for k, person in enumerate(sorted({person for _, person in [*first, *second]}))}
    return Identification(
        name,
        [Photo(photo, root / photo, points.get(photo)) for photo in names],
        np.array([where[photo] for photo, _ in first], np.intp),
        np.array([where[photo] for photo, _ in second], np.intp),
        np.array([who[person] for _, person in first], np.intp),
        np.array([who[person] for _, person in second], np.intp),
        aligned,
        several,
        ties,
        rule,
        resamples,
        seed,
        notes,
    )


def read_identity_list(path: Path) -> list[tuple[str, str]]:
    """Photo and identity of each line `path identity`; blank lines are skipped.

    Raises:
        InputError: unreadable, empty, or a line of another form; the line is named.
    """
    entries = []
    for number, fields in pair_lines(path):
        if len(fields) != 2:
            raise InputError(f"{path}: line {number}: {len(fields)} fields, 'path identity' was expected")
        entries.append((inside(path, number, fields[0]), fields[1]))
    if not entries:
        raise InputError(f"{path}: there are no photos in it")
    return entries


def split_people(
    root: Path, enrolled: int, unknown: float, seed: int
) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Gallery and probes of a folder of people, as photo and person, drawn by the seed."""
    if enrolled < 1 or not 0 <= unknown < 1:
        raise InputError(f"{root}: enrolled={enrolled} must be 1 or more, unknown={unknown} at least 0 and below 1")
    check_draws(str(root), 0, seed)
    people: dict[str, list[str]] = {}
    for path in find_images(root):
        photo = path.relative_to(root).as_posix()
        if "/" in photo:
            people.setdefault(photo.partition("/")[0], []).append(photo)
    generator = np.random.default_rng(seed)
    order = [sorted(people)[k] for k in generator.permutation(len(people))]
    left_out = set(order[: round(unknown * len(order))])
    gallery, probes = [], []
    for person in sorted(people):
        photos = [people[person][k] for k in generator.permutation(len(people[person]))]
        cut = 0 if person in left_out else enrolled
        gallery += [(photo, person) for photo in photos[:cut]]
        probes += [(photo, person) for photo in photos[cut:]]
    if not gallery or not probes:
        raise InputError(f"{root}: the split leaves {len(gallery)} gallery photos and {len(probes)} probes; add photos")
    return gallery, probes
