"""Any benchmark with masked faces, beside the plain one, on the same trials."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from facezoo.evaluation.by_group import ByGroup
from facezoo.evaluation.masked_photos import Drawing, masked_photos
from facezoo.evaluation.masked_trials import Placed, Places, on_all, on_probes
from facezoo.evaluation.outcomes import Outcome, outcome
from facezoo.evaluation.paired import DIFFERENCE, PLAIN, Measured, difference_tables, differences, measured
from facezoo.evaluation.photos import Photo
from facezoo.evaluation.quality_curves import QualityPart
from facezoo.evaluation.report import Report
from facezoo.evaluation.run import Embedded, at_threshold
from facezoo.mask.finder import Finder
from facezoo.mask.outfit import TEMPLATES, Outfit
from facezoo.registry import BENCHMARKS
from facezoo.types import FloatArray, InputError

Faces: TypeAlias = Literal["probe", "both"]

TITLE = "with and without masks"


@dataclass(frozen=True, eq=False)
class MaskedBenchmark:
    """A benchmark twice: as it is, and with masks on the probes or on all faces.

    Metrics are those with masks; `plain/accuracy` is that without, and `difference/accuracy` the masked one less the
    plain one, its interval from the same resamples.

    Attributes:
        name: in the report.
        photos: the plain ones, then the masked ones.
        plain: the benchmark without masks, of the first photos.
        masked: the same trials with masks.
        places: where the photos of `masked` are among all.
        notes: what a reader of the report should know, by word.
        resamples, seed: of the intervals, in place of the benchmark's own.
    """

    name: str
    photos: Sequence[Photo]
    plain: Any
    masked: Any
    places: Places
    notes: dict[str, str | int]
    resamples: int | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        changes: dict[str, Any] = {"resamples": self.resamples, "seed": self.seed}
        changes = {key: value for key, value in changes.items() if value is not None}
        object.__setattr__(self, "plain", replace(self.plain, **changes))
        object.__setattr__(self, "masked", replace(self.masked, name=self.name, **changes))
        object.__setattr__(self, "resamples", self.masked.resamples)
        object.__setattr__(self, "seed", self.masked.seed)

    @property
    def aligned(self) -> str | None:
        return None if self.plain.aligned is None else str(self.plain.aligned)

    @property
    def flip(self) -> str | None:
        """As benchmarks have it that take photos alone or apart from their mirror images."""
        return getattr(self.plain, "flip", None)

    def halves(self, embedded: Embedded) -> tuple[Embedded, Embedded]:
        """The embeddings with masks and those without."""
        rows, lost, count, places = embedded.embeddings, embedded.failed, len(self.plain.photos), self.places
        if len(rows) < len(self.photos):  # with those of the mirror images beside them
            count = sum(not photo.mirrored for photo in self.plain.photos)
            places = slice(count, None) if isinstance(places, slice) else slice(None)
        own: Any = rows[places] if isinstance(places, slice) else Placed(rows, places)
        return Embedded(own, lost[places]), Embedded(rows[:count], lost[:count])

    def score(self, embeddings: FloatArray, failed: NDArray[np.bool_] | None = None) -> Report:
        """The report for embeddings (N, D) of all photos and those without a face (N,)."""
        if len(embeddings) not in (len(self.photos), sum(not photo.mirrored for photo in self.photos)):
            raise InputError(f"{self.name}: embeddings of shape {embeddings.shape} for {len(self.photos)} photos")
        lost = np.zeros(len(embeddings), bool) if failed is None else failed
        with_masks, without = self.halves(Embedded(embeddings, lost))
        return self._together(measured(self.masked, with_masks), measured(self.plain, without))

    def _together(self, masked: Measured, plain: Measured) -> Report:
        report, other = masked.report, plain.report
        values, drawn = differences(masked, plain, bool(self.resamples))
        report = replace(
            report,
            metrics={
                **report.metrics,
                **{PLAIN + name: value for name, value in other.metrics.items()},
                **{DIFFERENCE + name: value for name, value in values.items()},
            },
            intervals={
                **report.intervals,
                **{PLAIN + name: interval for name, interval in other.intervals.items()},
                **{DIFFERENCE + name: interval for name, interval in drawn.items()},
            },
            protocol={**report.protocol, **self.notes},
        )
        return replace(
            report,
            tables={
                **difference_tables(TITLE, report),
                **report.tables,
                **{f"plain: {title}": table for title, table in other.tables.items()},
            },
        )


@outcome.register
def _of_masked(benchmark: MaskedBenchmark, embedded: Embedded) -> Outcome | None:
    return outcome(benchmark.masked, benchmark.halves(embedded)[0])


@at_threshold.register
def _of_both(benchmark: MaskedBenchmark, threshold: float, embedded: Embedded) -> str | None:
    masked, plain = (
        at_threshold(each, threshold, part)
        for each, part in zip((benchmark.masked, benchmark.plain), benchmark.halves(embedded))
    )
    return masked and f"with masks {masked}; without {plain}"


@BENCHMARKS.change
def masked_benchmark(
    plain: Any,
    masked: Faces | None = None,
    mask_templates: tuple[str, ...] = TEMPLATES,
    mask_pieces: int = 16,
    mask_seed: int = 0,
    mask_mesh: Literal["network", "landmarks"] = "network",
    mask_detector: str | None = None,
    mask_folder: Path | None = None,
    mask_workers: int | None = None,
) -> MaskedBenchmark:
    """With masked=probe or masked=both also the report with masks and the difference; masks are drawn once.

    Masked photos are kept, with what each face wears. The probe of a pair is its second photo, or template. Masked
    photos are aligned by the landmarks of the plain ones where those come with the benchmark.

    Args:
        masked: masks on the probes alone, or on all faces.
        mask_templates: spec strings of what is worn, each as likely.
        mask_pieces: different pieces drawn of each.
        mask_seed: other seeds draw otherwise.
        mask_mesh: network, or landmarks: the mean face fitted to five points.
        mask_detector: finds the faces to be masked in raw photos without landmarks; yunet unless given.
        mask_folder: of the masked photos; in the cache unless given.
        mask_workers: processes that draw; as many as there are processors unless given.
    """
    listed = plain.groups.values() if isinstance(plain, ByGroup) else [plain]
    if any(isinstance(part, QualityPart) for each in listed for part in getattr(each, "parts", ())):
        raise InputError(f"{plain.name}: quality= scores the plain photos alone; leave it out, or masked={masked}")
    if getattr(plain, "state", None) is not None:
        raise InputError(f"{plain.name}: state= keeps one count, with masks there are two; leave it out")
    if mask_detector and (plain.aligned is not None or all(photo.landmarks is not None for photo in plain.photos)):
        raise InputError(
            f"{plain.name}: mask_detector={mask_detector} does nothing, for the faces of crops, and of photos with "
            "landmarks, are not looked for; leave it out"
        )
    masking = on_probes(plain) if masked == "probe" else on_all(plain)
    drawing = Drawing(
        Outfit(tuple(mask_templates), mask_pieces),
        Finder(plain.aligned, mask_mesh, mask_detector or Finder.detector),
        mask_seed,
    )
    made = masked_photos(plain.name, plain.photos, masking.chosen, drawing, mask_folder, mask_workers)
    trials = masking.trials(made.photos)
    notes: dict[str, str | int] = {
        "masks": f"on {'the probes' if masked == 'probe' else 'all faces'}: {', '.join(mask_templates)}; {mask_pieces} "
        f"pieces of each, seed {mask_seed}",
        "photos that could not be masked": made.bare,
    }
    return MaskedBenchmark(f"{plain.name}_masked", trials.photos, plain, trials.benchmark, trials.places, notes)
