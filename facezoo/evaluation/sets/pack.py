"""insightface's verification packs."""

from __future__ import annotations

from pathlib import Path

from facezoo.data.pack import distinct, read_pack
from facezoo.evaluation.compat import ValPart
from facezoo.evaluation.folds import consecutive_folds
from facezoo.evaluation.photos import Photo
from facezoo.evaluation.sets.listed import FOLDS, zoom_words
from facezoo.evaluation.verification import ThresholdRule, Verification
from facezoo.registry import BENCHMARKS


@BENCHMARKS.register(name="bin")
def pack(
    path: Path,
    aligned: str | None = "arcface",
    folds: int = FOLDS,
    rule: ThresholdRule = "exact",
    val: float | None = None,
    zoom: int | None = None,
    resamples: int = 1000,
    seed: int = 0,
    name: str | None = None,
) -> Verification:
    """An insightface verification pack (`lfw.bin`, `cfp_fp.bin`, `agedb_30.bin`): crops with consecutive folds.

    Images that occur in many pairs are embedded once. Identities are not in the file: intervals resample pairs.

    Args:
        path: the pack.
        aligned: template of its crops; none if they are raw photos.
        folds, rule, val, zoom, resamples, seed: as for lfw.
        name: in the report; that of the file unless given.
    """
    images, same = read_pack(path)
    images, which, first = distinct(images)
    photos = [Photo(f"{path.stem} image {number}", image, zoom=zoom) for image, number in zip(images, first)]
    fold = consecutive_folds(len(same), folds)
    return Verification(
        name or path.stem,
        photos,
        which[::2],
        which[1::2],
        same,
        fold,
        aligned,
        rule=rule,
        resamples=resamples,
        seed=seed,
        notes={} if zoom is None else {"zoom": zoom_words(zoom)},
        parts=() if val is None else (ValPart(val, fold),),
    )


BENCHMARKS.preset("vgg2", "bin:name=vgg2_fp")
