"""Any verification or identification benchmark with masked faces, beside the plain one, on the same trials."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from facezoo import progress
from facezoo.evaluation.digests import photos_digest
from facezoo.evaluation.identification import Identification
from facezoo.evaluation.intervals import LEVEL
from facezoo.evaluation.outcomes import Outcome, outcome
from facezoo.evaluation.photos import Photo
from facezoo.evaluation.report import BOUNDS, Interval, Report
from facezoo.evaluation.run import Embedded
from facezoo.evaluation.significance import paired_bootstrap
from facezoo.evaluation.verification import Verification
from facezoo.files import write_text
from facezoo.image import write_image
from facezoo.mask.finder import Finder
from facezoo.mask.outfit import TEMPLATES, Outfit
from facezoo.registry import BENCHMARKS
from facezoo.types import FloatArray, InputError
from facezoo.zoo.cache import cache_dir, lock

Faces: TypeAlias = Literal["probe", "both"]

LISTED = "masked.json"
"""What each face wears, beside the masked photos."""

DIFFERENCE = "difference/"

TITLE = "with and without masks"

KEPT_AFTER = 200
"""Photos after which the list is written: what a kill loses."""


@dataclass(frozen=True, eq=False)
class MaskedBenchmark:
    """A benchmark twice: as it is, and with masks on the probes or on all faces.

    Metrics are those with masks; `plain/accuracy` is that without, and `difference/accuracy` the masked one less the
    plain one, its interval from the same resamples.

    Attributes:
        name: in the report.
        plain: the benchmark without masks.
        masked: the same trials; its photos are the plain ones and then the masked ones.
        notes: what a reader of the report should know, by word.
        resamples, seed: of the intervals, in place of the benchmark's own.
    """

    name: str
    plain: Verification | Identification
    masked: Verification | Identification
    notes: dict[str, str | int]
    resamples: int | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        changes: dict[str, Any] = {"resamples": self.resamples, "seed": self.seed}
        changes = {key: value for key, value in changes.items() if value is not None}
        object.__setattr__(self, "plain", replace(self.plain, **changes))
        object.__setattr__(self, "masked", replace(self.masked, name=self.name, **changes))

    @property
    def photos(self) -> Sequence[Photo]:
        return self.masked.photos

    @property
    def aligned(self) -> str | None:
        return self.masked.aligned

    def score(self, embeddings: FloatArray, failed: NDArray[np.bool_] | None = None) -> Report:
        """The report for embeddings (N, D) of all photos and those without a face (N,)."""
        lost = np.zeros(len(embeddings), bool) if failed is None else failed
        count = len(self.plain.photos)
        masked, plain = self.masked.score(embeddings, lost), self.plain.score(embeddings[:count], lost[:count])
        metrics, intervals = dict(masked.metrics), dict(masked.intervals)
        for name, value in plain.metrics.items():
            metrics[f"plain/{name}"] = value
        intervals |= {f"plain/{name}": interval for name, interval in plain.intervals.items()}
        outcomes = [self._outcome(self.masked, embeddings, lost), self._outcome(self.plain, embeddings, lost)]
        drawn = paired_bootstrap([each.measure for each in outcomes], outcomes[0].weights()) if self._draws else {}
        for name in dict.fromkeys([outcomes[0].metric, *(name for _, _, name in drawn)]):
            one, other = masked.metrics.get(name), plain.metrics.get(name)
            if one is None or other is None:
                continue
            metrics[f"{DIFFERENCE}{name}"] = one - other
            # Without an error in either they differ in no resample: that is no proof that masks change nothing.
            if (found := drawn.get((0, 1, name))) is not None and found.low < found.high:
                method = f"paired {outcomes[0].method}"
                intervals[f"{DIFFERENCE}{name}"] = Interval(found.low, found.high, LEVEL, method)
        return replace(
            masked,
            metrics=metrics,
            intervals=intervals,
            protocol={**masked.protocol, **self.notes},
            tables={**masked.tables, TITLE: _table(metrics, intervals)},
        )

    @property
    def _draws(self) -> int:
        return self.masked.resamples

    def _outcome(self, part: Any, embeddings: FloatArray, lost: NDArray[np.bool_]) -> Outcome:
        found = outcome(part, Embedded(embeddings[: len(part.photos)], lost[: len(part.photos)]))
        assert found is not None
        return found


def _table(
    metrics: Mapping[str, float | None], intervals: Mapping[str, Interval]
) -> tuple[tuple[str | int | float | None, ...], ...]:
    """Masked, plain and the difference, each metric with its interval."""
    names = [name.removeprefix(DIFFERENCE) for name in metrics if name.startswith(DIFFERENCE)]
    rows: list[tuple[str | int | float | None, ...]] = [("", *(word for name in names for word in (name, *BOUNDS)))]
    for word, prefix in (("masked", ""), ("plain", "plain/"), ("difference", DIFFERENCE)):
        row: list[str | int | float | None] = [word]
        for name in names:
            interval = intervals.get(prefix + name)
            ends = (None, None) if interval is None else (interval.low, interval.high)
            row += [metrics[prefix + name], *ends]
        rows.append(tuple(row))
    return tuple(rows)


@outcome.register
def _of_masked(benchmark: MaskedBenchmark, embedded: Embedded) -> Outcome | None:
    return outcome(benchmark.masked, embedded)


@BENCHMARKS.register(name="masked")
def masked_benchmark(
    benchmark: str,
    faces: Faces = "probe",
    templates: tuple[str, ...] = TEMPLATES,
    pieces: int = 16,
    mask_seed: int = 0,
    mesh: Literal["network", "landmarks"] = "network",
    detector: str = "yunet:threads=1",
    into: Path | None = None,
    name: str | None = None,
) -> MaskedBenchmark:
    """A benchmark with masks, made once and kept; what each face wears is listed beside the pictures.

    The probe of a pair is its second photo. Masked photos are aligned by the landmarks of the plain ones where those
    come with the benchmark.

    Args:
        benchmark: spec of a verification or identification benchmark, in quotes.
        faces: masks on the probes alone, or on all faces.
        templates: spec strings of what is worn, each as likely.
        pieces: different pieces drawn of each.
        mask_seed: other seeds draw otherwise.
        mesh: network, or landmarks: the mean face fitted to five points.
        detector: finds the faces of raw photos without landmarks.
        into: folder of the masked photos; in the cache unless given.
        name: in the report.
    """
    plain = BENCHMARKS.create(benchmark)
    if not isinstance(plain, (Verification, Identification)):
        raise InputError(f"masked: {benchmark} is neither a list of pairs nor a gallery with probes; masks need one")
    plain = replace(plain, parts=()) if isinstance(plain, Verification) else plain
    used = _used(plain, faces)
    outfit, finder = Outfit(tuple(templates), pieces), Finder(plain.aligned, mesh, detector)
    settings = {
        "photos": photos_digest(plain.photos),
        "templates": list(templates),
        "pieces": pieces,
        "drawn": outfit.digest(),
        "mesh": mesh,
        "detector": detector,
        "seed": mask_seed,
    }
    digest = sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]
    folder = into or cache_dir() / "masked" / digest
    photos, bare = _made(plain, used, folder, outfit, finder, mask_seed, settings)
    notes: dict[str, str | int] = {
        "masks": f"on {'the probes' if faces == 'probe' else 'all faces'}: {', '.join(templates)}; {pieces} pieces "
        f"of each, seed {mask_seed}",
        "photos that could not be masked": bare,
    }
    return MaskedBenchmark(name or f"{plain.name}_masked", plain, _with_masks(plain, used, photos, faces), notes)


def _used(plain: Verification | Identification, faces: Faces) -> NDArray[np.intp]:
    """The photos that are masked, rising."""
    probes, others = (plain.right, plain.left) if isinstance(plain, Verification) else (plain.probes, plain.gallery)
    return np.unique(np.concatenate([probes, others]) if faces == "both" else probes)


def _with_masks(
    plain: Verification | Identification, used: NDArray[np.intp], photos: list[Photo], faces: Faces
) -> Verification | Identification:
    """The trials with masked photos (U,) behind the plain ones."""
    place = np.arange(len(plain.photos))
    place[used] = len(plain.photos) + np.arange(len(used))
    every = [*plain.photos, *photos]
    if isinstance(plain, Identification):
        gallery = place[plain.gallery] if faces == "both" else plain.gallery
        return replace(plain, photos=every, probes=place[plain.probes], gallery=gallery)
    left = place[plain.left] if faces == "both" else plain.left
    identity = None if plain.identity is None else np.concatenate([plain.identity, plain.identity[used]])
    return replace(plain, photos=every, left=left, right=place[plain.right], identity=identity)


def _made(
    plain: Verification | Identification,
    used: NDArray[np.intp],
    folder: Path,
    outfit: Outfit,
    finder: Finder,
    seed: int,
    settings: dict[str, Any],
) -> tuple[list[Photo], int]:
    """The masked photos, those that are not there yet made now, and how many faces could not be masked."""
    worn: dict[str, list[str]] = {}
    photos = []
    with lock(folder / LISTED):
        if (folder / LISTED).is_file():
            kept = _read(folder / LISTED)
            if kept.get("settings") != settings:
                raise InputError(f"{folder}: holds masked photos of other data or settings; name another folder")
            worn = kept.get("worn", {})
        made = 0
        for number in progress.track(used.tolist(), "mask", "photo", len(used)):
            photo = plain.photos[number]
            target = folder / f"{number:07d}.png"
            if str(number) not in worn or not target.is_file():
                worn[str(number)] = _mask(photo, target, outfit, finder, [seed, number])
                made += 1
                if made % KEPT_AFTER == 0:
                    _write(folder / LISTED, settings, worn)
            photos.append(replace(photo, name=f"masked/{photo.name}", source=target))
        if made:
            _write(folder / LISTED, settings, worn)
    return photos, sum(not worn[str(number)] for number in used.tolist())


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error}); remove it, and the masks are made anew") from None
    return found if isinstance(found, dict) else {}


def _write(path: Path, settings: dict[str, Any], worn: dict[str, list[str]]) -> None:
    write_text(path, json.dumps({"settings": settings, "worn": worn}, indent=1) + "\n")


def _mask(photo: Photo, target: Path, outfit: Outfit, finder: Finder, seed: list[int]) -> list[str]:
    """Write a masked photo; gives what is worn, nothing where no face was found."""
    image = photo.read()
    if photo.landmarks is not None and finder.aligned is None:
        meshes = finder.around(image, np.asarray(photo.landmarks)[None], known=True)
    else:
        meshes = finder(image)
    masked, names = outfit.put_on(image, meshes, np.random.default_rng(seed))
    write_image(target, masked)
    return names
