"""Any dataset written in any format: streamed, in parallel, and going on where it was killed."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Literal

import numpy as np

from facezoo import progress
from facezoo.data.classes import check_names
from facezoo.data.convert_parts import PartWriter, Scan, Source
from facezoo.data.dataset import Dataset
from facezoo.data.folder import Folder, folder_name
from facezoo.data.manifest import (
    SKIPPED,
    Digest,
    Manifest,
    digest_of,
    file_contents,
    foreign,
    manifest_file,
    read_manifest,
)
from facezoo.data.opening import open_dataset
from facezoo.data.pairs import write_pairs
from facezoo.data.recode import Recoding
from facezoo.data.staging import READY, SCANNED, Staging, occupied
from facezoo.data.workers import check_workers, spread
from facezoo.data.writer import Writer
from facezoo.files import TEMPORARY, write_text
from facezoo.registry import WRITERS
from facezoo.types import InputError
from facezoo.zoo.cache import lock

log = logging.getLogger(__name__)

PART_SIZE = 10_000
SAMPLED = 256
"""Images that are looked at to tell one source from another and to estimate the size of the result."""

FRAME = 1024
"""Bytes a sample takes besides its image, at most about: headers, names, rounding up to blocks."""


@dataclass(frozen=True)
class Converted:
    """What a conversion did.

    Attributes:
        path: the dataset.
        manifest: what it holds.
        resumed: images that an earlier, interrupted run had written.
        skipped: the list of unreadable images that were left out; None if there are none.
        left_out: other images of the source that are not in it: of a pack those in no pair, and copies.
    """

    path: Path
    manifest: Manifest
    resumed: int
    skipped: Path | None
    left_out: int = 0


@dataclass(frozen=True)
class Options:
    """What a conversion is to do besides copying.

    Attributes:
        part_size: samples of a part; what a kill loses is the parts that were being written.
        unreadable: fail on an image that cannot be read, or leave it out and list it in skipped.txt.
        check: decode every image once, so that a damaged one is noticed now; else bytes are copied unseen.
        recoding: encode images anew; without it their bytes are copied.
    """

    part_size: int = PART_SIZE
    unreadable: Literal["fail", "skip"] = "fail"
    check: bool = True
    recoding: Recoding | None = None

    def __post_init__(self) -> None:
        if self.part_size < 1:
            raise InputError(f"part_size is {self.part_size}, it must be 1 or more")
        if self.unreadable == "skip" and not self.check:
            raise InputError("unreadable=skip looks at every image: leave check on")


def convert(
    data: Dataset, writer: Writer, options: Options | None = None, *, workers: int = 1, force: bool = False
) -> Converted:
    """Write a dataset in another format, with a manifest beside it.

    Killed at any moment and called again with the same data and options it goes on, and ends with the same bytes. The
    result appears at once when all of it is there.

    Args:
        workers: processes.
        force: replace what is there; of folders only empty ones and results of an earlier conversion. Also begin anew
            where an interrupted conversion had other data or options.

    Raises:
        InputError: no room, something is there already, an unreadable image, or other options than before.
    """
    options = options or Options()
    check_workers(workers)
    target = writer.target.resolve()
    staging = Staging(target)
    try:
        with lock(staging.folder):
            digest, size = _look_at(data, options)
            journal = {
                "labels": data.digest(),
                "images": digest,
                "files": data.stamp(),
                "format": _format(writer, target),
                **asdict(options),
            }
            ready = staging.read(READY) is not None and staging.holds(journal)
            if not ready or (staging.result / target.name).exists():
                _check_target(writer.path.resolve(), target, force)
                _check_alone(writer.alone, target)
                if taken := [name for name in data.classes if folder_name(name) in writer.own]:
                    raise InputError(
                        f"{target}: the identity {taken[0]!r} has the name of one of its own files; rename it"
                    )
                if isinstance(data, Folder) and target.is_relative_to(data.root.resolve()):
                    raise InputError(f"{target}: lies in {data.root}, whose images it would become; name another place")
            staging.begin(journal, anew=force, may_change=("images", "files"))
            resumed = 0 if ready else _fill(data, writer, options, staging, workers, size, digest)
            staging.publish(force)
            manifest, skipped = read_manifest(writer.path), beside(writer.path, SKIPPED)
            there = manifest.images if ready else resumed
            left_out = len(data) - manifest.skipped - manifest.images
            return Converted(writer.path, manifest, there, skipped if manifest.skipped else None, left_out)
    except OSError as error:
        raise InputError(
            f"{error.filename or target}: cannot be written: {error.strerror or error}; once that is put right the "
            "same command goes on"
        ) from None


def beside(path: Path, name: str) -> Path:
    """Where a file about a dataset lies: in its folder, or beside its file under its name."""
    return path / name if path.is_dir() else path.with_name(f"{path.name}.{name}")


def _format(writer: Writer, target: Path) -> str:
    """The writer with its options, the same wherever it writes to."""
    return repr(_at(writer, Path(), target))


def _at(writer: Writer, folder: Path, target: Path) -> Writer:
    """The writer of the same dataset in another folder."""
    return replace(writer, path=folder / writer.path.resolve().relative_to(target.parent))  # type: ignore[type-var]


def _look_at(data: Dataset, options: Options) -> tuple[str, float]:
    """A digest of the source, by its labels and some of its images, and the mean size of an image as it is written."""
    digest, sizes = sha256(data.digest().encode()), []
    source = Source.of(data, [], options.recoding, check=False)
    for number in np.unique(np.linspace(0, len(data) - 1, SAMPLED).astype(int)).tolist():
        digest.update(data.path(number).encode())
        try:
            image = source.image(number)
        except InputError:  # told when it is written
            continue
        digest.update(sha256(image).digest())
        sizes.append(len(image))
    return digest.hexdigest(), float(np.mean(sizes)) if sizes else 0.0


def _check_target(path: Path, target: Path, force: bool) -> None:
    if not occupied(target):
        return
    if not force:
        raise InputError(f"{target}: is there already; name another place, or replace it with --force")
    if not target.is_dir():
        return
    if not manifest_file(path).is_file():
        raise InputError(
            f"{target}: holds other files than a converted {path.name}; remove it yourself or name another"
        )
    if (other := foreign(path, target)) is not None:
        raise InputError(f"{other}: is not of the dataset that would be replaced; move it away or name another place")


def _check_alone(alone: str | None, target: Path) -> None:
    others = [path.name for path in target.parent.glob(alone) if path != target] if alone else []
    if others:
        raise InputError(f"{target.parent}: holds {others[0]}, and such files need a folder each; name another folder")


def _fill(
    data: Dataset, writer: Writer, options: Options, staging: Staging, workers: int, size: float, digest: str
) -> int:
    """Make the whole result in the staging folder; gives how many images an earlier run had written."""
    if data.weights is not None or data.spaces is not None:
        log.warning("%s: weights and label spaces of the source are left out: no format holds them", staging.target)
    skipped = _skipped(data, options, staging, workers)
    check = options.check and options.unreadable == "fail"  # else the scan has decoded them
    source = Source.of(data, [index for index, _ in skipped], options.recoding, check)
    if writer.complete:
        check_names(writer.path, source.classes)
    work = PartWriter(source, writer, staging, options.part_size)
    there = {part.number: part.samples for part in staging.parts(work.parts, writer.suffix)}
    resumed = sum(there.values())
    _check_room(staging, (size + FRAME) * (len(source) - resumed + writer.copies * len(source)))
    left = [part for part in range(work.parts) if part not in there]
    with progress.bar(len(source), "convert", "img", resumed) as bar:
        for _, samples in spread(work, left, workers):
            bar.update(samples)
    result = _at(writer, staging.result, staging.target)
    result.path.parent.mkdir(parents=True, exist_ok=True)
    files = result.finish(staging.parts(work.parts, writer.suffix), source.classes)
    _remove_temporaries(staging.result)
    if skipped:
        files.append(beside(result.path, SKIPPED))
        write_text(files[-1], "".join(f"{data.path(index)}\t{why}\n" for index, why in skipped))
    pairs = data.pairs()
    if result.pairs_file is not None and pairs is not None:
        files.append(result.pairs_file)
        write_pairs(result.pairs_file, pairs.among(source.kept, len(data)), lambda number: source.sample(number).path)
    manifest = _manifest(result, work, files, digest, len(skipped), workers)
    write_text(manifest_file(result.path), json.dumps(asdict(manifest), indent=1) + "\n")
    staging.record(READY, {"names": sorted(entry.name for entry in staging.result.iterdir())})
    return resumed


def _remove_temporaries(result: Path) -> None:
    """Remove what an earlier run was writing when it was killed."""
    for pattern in (".*", "*/.*"):
        for path in result.glob(pattern):
            if TEMPORARY.match(path.name):
                path.unlink()


def _skipped(data: Dataset, options: Options, staging: Staging, workers: int) -> list[tuple[int, str]]:
    """The unreadable images of the source and why, if they are to be left out; looked for once."""
    if options.unreadable == "fail":
        return []
    found = staging.read(SCANNED)
    if found is None:
        scan = Scan(Source.of(data, [], None, check=True), options.part_size)
        broken: list[tuple[int, str]] = []
        with progress.bar(len(data), "check", "img") as bar:
            for number, some in spread(scan, range(scan.pieces), workers):
                bar.update(len(scan.numbers(number)))
                broken += some
        found = {"skipped": sorted(broken)}
        staging.record(SCANNED, found)
    return [(index, why) for index, why in found["skipped"]]


def _check_room(staging: Staging, needed: float) -> None:
    free = shutil.disk_usage(staging.folder).free
    if needed > free:
        raise InputError(
            f"{staging.target.parent}: about {needed / 1e9:,.1f} GB are needed while converting, {free / 1e9:,.1f} GB "
            "are free; make room or name another disk"
        )


def _manifest(
    result: Writer, work: PartWriter, files: Sequence[Path], source: str, skipped: int, workers: int
) -> Manifest:
    """What the finished result holds, by the digests that were taken while it was written."""
    digest, classes = Digest(), len(work.source.classes)
    for part in range(work.parts):
        digest.update(work.staging.digests(part).read_bytes())
    if result.complete and digest.count != len(work.source):
        raise InputError(
            f"{result.path.name}: {digest.count:,} of {len(work.source):,} images were written; begin anew with --force"
        )
    if not result.complete:
        data = open_dataset(str(result.path))
        digest, classes = digest_of(data, workers), len(data.classes)
    folder, recoding = manifest_file(result.path).parent, work.source.recoding
    return Manifest(
        format=next(name for name in WRITERS.names() if WRITERS.factory(name) is type(result)),
        images=digest.count,
        classes=classes,
        digest=digest.any_order,
        order=digest.in_order if result.ordered else None,
        source=source,
        encoding=None if recoding is None else asdict(recoding),
        skipped=skipped,
        part_size=work.part_size,
        files={file.relative_to(folder).as_posix(): found for file, found in zip(files, file_contents(files))},
    )
