"""Datasets from one format to another, and converted ones verified."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Literal

from facezoo.cli.app import app, print_json
from facezoo.cli.data import commands


@app.command
def convert(
    source: str,
    destination: str,
    /,
    *,
    workers: int = 1,
    part_size: int = 10_000,
    unreadable: Literal["fail", "skip"] = "fail",
    check: bool = True,
    encode: str | None = None,
    size: int | None = None,
    force: bool = False,
    verify: bool = False,
    json: bool = False,
) -> None:
    """Write a dataset in another format: folder, list, rec, bin, tfrecord, lmdb, webdataset or parquet.

    Images are copied byte for byte. The result appears when all of it is there, with a manifest facezoo.json beside
    it. Killed and started again with the same options it goes on where it stopped, and ends with the same bytes.

    Args:
        source: a path, recognised by its content, or a spec such as rec:path=train.rec.
        destination: a path whose ending names the format (OUT, OUT/train.txt, train.rec, lfw.bin, train.lmdb,
            train.parquet), or a spec such as tfrecord:path=OUT.
        workers: processes.
        part_size: images of a part, which one process writes at a time; a file of its own in formats of several files.
        unreadable: fail on an image that cannot be read, or leave it out and list it in skipped.txt.
        check: decode every image once; --no-check copies faster, and damaged images too.
        encode: encode images anew, as jpeg:quality=95 or png.
        size: scale images to this height and width, pixels; as jpeg:quality=95 unless encode says otherwise.
        force: replace a result that is there, and begin anew where an interrupted run had other data or options.
        verify: read the result again and compare it.
        json: print what was written as JSON.
    """
    from facezoo.data import convert as engine
    from facezoo.data.manifest import verify as compare
    from facezoo.data.opening import open_dataset, open_writer
    from facezoo.data.recode import parse_recoding

    options = engine.Options(part_size, unreadable, check, parse_recoding(encode, size))
    writer = open_writer(destination)
    done = engine.convert(open_dataset(source), writer, options, workers=workers, force=force)
    if verify:
        compare(done.path, workers)
    manifest = done.manifest
    if json:
        skipped = None if done.skipped is None else str(done.skipped)
        facts = {"path": str(done.path), "resumed": done.resumed, "skipped_list": skipped, "left_out": done.left_out}
        print_json(facts | asdict(manifest))
        return
    resumed = f" ({done.resumed:,} were there)" if done.resumed else ""
    left_out = f"; {manifest.skipped:,} unreadable ones left out, see {done.skipped}" if done.skipped else ""
    if done.left_out:
        left_out += f"; {done.left_out:,} images of the source are in no pair, or copies, and not in it"
    print(
        f"{done.path}: {manifest.images:,} images{resumed} of {manifest.classes:,} classes as {manifest.format}"
        f"{', read again and equal' if verify else ''}{left_out}"
    )


@commands.command(name="verify")
def verify_(path: Path, /, *, workers: int = 1, json: bool = False) -> None:
    """Read a converted dataset again, every file and image, and compare it with its manifest.

    Args:
        path: what `facezoo convert` wrote.
        workers: processes.
        json: print the manifest as JSON.
    """
    from facezoo.data.manifest import verify

    manifest = verify(path, workers)
    if json:
        print_json(asdict(manifest))
        return
    print(f"{path}: {manifest.images:,} images of {manifest.classes:,} classes as {manifest.format}: as it was written")
