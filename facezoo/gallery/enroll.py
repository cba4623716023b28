"""A folder of people into a gallery."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from facezoo import progress
from facezoo.gallery.gallery import Gallery
from facezoo.image import decode_image, find_images, read_file
from facezoo.types import Face, Image, InputError


@dataclass
class Enrolled:
    """What became of the photos of a folder; paths are relative to it.

    Attributes:
        added: number of photos whose face is now in the gallery.
        already: number of photos that were in the gallery before, by the digest of the file.
        no_face: photos without a face.
        several: photos with more than one face, of which the main one was taken.
        refused: what was wrong with the photos that could not be used.
    """

    added: int = 0
    already: int = 0
    no_face: list[str] = field(default_factory=list)
    several: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


def enroll(
    gallery: Gallery,
    folder: Path,
    analyze: Callable[[Image], Sequence[Face]],
    main_face: Callable[[Sequence[Face], tuple[int, int]], Face | None],
) -> Enrolled:
    """Enroll `folder/PERSON/.../photo`, and photos directly in the folder under their own stem as name.

    Each photo is one commit: an interrupted run is continued by running it again.

    Args:
        analyze: gives the faces of a photo, with embeddings; a `facezoo.sdk.FaceAnalyzer`.
        main_face: chooses the face a photo of (height, width) is of; `facezoo.sdk.main_face`.

    Raises:
        InputError: no such folder, or no photo in it.
    """
    folder, done = Path(folder), Enrolled()
    photos = find_images(folder)
    if not photos:
        raise InputError(f"{folder}: no photo in it; expected {folder}/PERSON/PHOTO or {folder}/PERSON.jpg")
    for path in progress.track(photos, "enroll", "photos"):
        place = path.relative_to(folder)
        name = place.parts[0] if len(place.parts) > 1 else place.stem
        try:
            data = read_file(path)
            digest = sha256(data).hexdigest()
            if gallery.has(name, digest):
                done.already += 1
                continue
            image = decode_image(data, str(path))
            faces = analyze(image)
        except InputError as error:
            done.refused.append(str(error))
            continue
        face = main_face(faces, image.shape[:2])
        if face is None:
            done.no_face.append(place.as_posix())
            continue
        if len(faces) > 1:
            done.several.append(place.as_posix())
        if face.embedding is None:
            raise ValueError("enroll: the analyzer gives faces without embeddings")
        quality = None if face.quality is None else [face.quality]
        gallery.add(name, face.embedding, source=str(path.absolute()), digest=digest, quality=quality)
        done.added += 1
    return done
