"""Synthetic identities."""

from __future__ import annotations

from pathlib import Path

from facezoo.cli.app import app


@app.command
def synth(
    out: Path,
    /,
    *,
    identities: int = 200,
    images: int = 10,
    seed: int = 0,
    size: int = 112,
    raw: bool = False,
    workers: int = 1,
) -> None:
    """Render invented people into a folder: photos, exact landmarks, a training list and LFW-style pairs.

    Interrupted and started again with the same options it goes on where it stopped, and ends with the same bytes.
    The folder is an identity folder for training and a benchmark: lfw:root=OUT.

    Args:
        out: folder to write; new, empty, or left by an earlier run of the same options.
        identities: number of people.
        images: photos of each.
        seed: other seeds give other people.
        size: height and width of a photo, pixels.
        raw: photos with the face somewhere in a scene, instead of aligned crops.
        workers: processes.
    """
    from facezoo.data.synthetic import write_faces

    rendered = write_faces(out, identities, images, seed=seed, size=size, raw=raw, workers=workers)
    total = identities * images
    kept = f" ({total - rendered:,} were there)" if rendered < total else ""
    print(f"{out}: {identities:,} people, {total:,} photos{kept}; look at {out / 'sheet.jpg'}")
