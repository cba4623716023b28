"""Commands on galleries; in each the gallery comes first."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from cyclopts import App

from facezoo.cli.app import app, print_json
from facezoo.cli.models import load_analyzer
from facezoo.cli.photos import end, find_photos, readable, refused_values
from facezoo.types import Face, InputError

if TYPE_CHECKING:
    from facezoo.gallery import Enrolled, Gallery, Hit

DEFAULT_MODEL = "dlib-resnet29"

commands = App(name="gallery", help="Look into a gallery and remove people from it.")
app.command(commands)


@app.command
def enroll(
    gallery: Path,
    folder: Path,
    /,
    *,
    model: str | None = None,
    contract: Path | None = None,
    detector: str = "yunet",
    json: bool = False,
) -> None:
    """Put people's photos into a gallery.

    A sub-folder is a person, and so is a photo directly in the folder, under its own name. Of a photo with several
    faces the main one is taken, large and near the centre. Photos that are in the gallery already are skipped,
    so a run can be repeated. The exit code is 2 if no photo of the folder is in the gallery in the end.

    Args:
        gallery: the gallery's file; made if it does not exist.
        folder: the folder of people.
        model: name or file of the model that embeds; by default the gallery's, or dlib-resnet29 for a new one.
        contract: TOML file of the model's contract, for a file that carries none.
        detector: name with options.
        json: print the result as JSON.
    """
    from facezoo.gallery import Gallery, enroll
    from facezoo.image import find_images
    from facezoo.sdk import main_face

    if gallery.is_dir():
        raise InputError(f"{gallery}: is a folder; write facezoo enroll GALLERY FOLDER, the gallery first")
    if not find_images(folder):
        raise InputError(f"{folder}: no photo in it; expected {folder}/PERSON/PHOTO or {folder}/PERSON.jpg")
    if model is None:
        model = _remembered(gallery) if gallery.exists() else DEFAULT_MODEL
    if Path(model).exists():
        model = str(Path(model).resolve())  # what the gallery remembers holds in any folder
    analyzer = load_analyzer(model, contract, detector)
    with Gallery(gallery, analyzer.contract, model) as opened:
        result = enroll(opened, folder, analyzer, main_face)
        people, photos = len(opened), opened.photos
    if json:
        print_json({**asdict(result), "people": people, "photos": photos})
    else:
        _print_enrolled(result)
        print(f"{gallery}: {people:,} people, {photos:,} photos")
    if not result.added + result.already:
        raise InputError(
            f"{folder}: no photo in it could be enrolled, {len(result.no_face):,} are without a face and "
            f"{len(result.refused):,} could not be used; give a folder of faces"
        )


@app.command
def search(
    gallery: Path,
    photos: list[Path],
    /,
    *,
    k: int = 5,
    threshold: float | None = None,
    model: str | None = None,
    contract: Path | None = None,
    detector: str = "yunet",
    json: bool = False,
) -> None:
    """Say who is on photos: for each face the most similar people of a gallery.

    Args:
        gallery: the gallery's file.
        photos: photos, or folders of photos.
        k: people listed for each face.
        threshold: cosine from which a face is taken for known; by default the model's.
        model: name or file of the model; by default the one the gallery was made with.
        contract: TOML file of the model's contract, for a file that carries none.
        detector: name with options.
        json: print the result as JSON.
    """
    from facezoo.gallery import Gallery
    from facezoo.sdk import face_values

    analyzer = load_analyzer(model or _remembered(gallery), contract, detector)
    refused: dict[Path, str] = {}
    results = []
    with Gallery(gallery, analyzer.contract) as opened:
        for path, image in readable(find_photos(photos), refused):
            faces = analyzer(image)
            hits = [_search(opened, face, k, threshold) for face in faces]
            if not json:
                _print(path, faces, hits)
            found = zip(faces, hits, strict=True)
            values = [{**face_values(face), "hits": [asdict(hit) for hit in some]} for face, some in found]
            results.append({"image": str(path), "faces": values})
    if json:
        print_json(results + refused_values(refused))
    end(refused)


@commands.command
def info(gallery: Path, /, *, json: bool = False) -> None:
    """Show what a gallery holds and of which model.

    Args:
        gallery: the gallery's file.
        json: print as JSON.
    """
    from facezoo.gallery import Gallery

    with Gallery(gallery) as opened:
        contract = opened.contract
        facts = {
            "people": len(opened),
            "photos": opened.photos,
            "model": contract.name,
            "loaded from": opened.model or "not remembered",
            "embedding_dim": contract.embedding_dim,
            "threshold": contract.threshold,
            "weights_sha256": contract.weights_sha256 or None,
            "bytes": gallery.stat().st_size,
        }
    if json:
        print_json(facts)
    else:
        print(
            "\n".join(
                f"{key:15} {value:,}" if isinstance(value, int) else f"{key:15} {value}" for key, value in facts.items()
            )
        )


@commands.command
def names(gallery: Path, /, *, json: bool = False) -> None:
    """List the people of a gallery.

    Args:
        gallery: the gallery's file.
        json: print as JSON.
    """
    from facezoo.gallery import Gallery

    with Gallery(gallery) as opened:
        listed = opened.names()
    if json:
        print_json(listed)
    else:
        print("\n".join(listed))


@commands.command
def remove(gallery: Path, people: list[str], /, *, json: bool = False) -> None:
    """Remove people and all their embeddings; all of those named, or none.

    Args:
        gallery: the gallery's file.
        people: their names.
        json: print the result as JSON.
    """
    from facezoo.gallery import Gallery

    with Gallery(gallery) as opened:
        with opened.transaction():
            photos = {name: opened.remove(name) for name in people}
        left = len(opened)
    if json:
        print_json({"removed": photos, "people": left})
    else:
        print(f"people removed: {len(photos):,}, with {sum(photos.values()):,} photos; left: {left:,}")


def _remembered(gallery: Path) -> str:
    """The model an existing gallery was made with."""
    from facezoo.gallery import Gallery

    with Gallery(gallery) as opened:
        if not opened.model:
            raise InputError(f"{gallery}: does not say how to load its model {opened.contract.name}; give --model")
        return opened.model


def _print_enrolled(result: Enrolled) -> None:
    print(f"{result.added:,} photos enrolled, {result.already:,} were there already")
    for places, what in (
        (result.no_face, "photos without a face"),
        (result.several, "photos with several faces, of which the main one was taken"),
        (result.refused, "photos that could not be used"),
    ):
        if places:
            print(f"{what}: {len(places):,}")
            print("\n".join(f"  {place}" for place in places))


def _search(gallery: Gallery, face: Face, k: int, threshold: float | None) -> list[Hit]:
    if face.embedding is None:
        raise ValueError("search: the analyzer gives faces without embeddings")
    return gallery.search(face.embedding, k, threshold)[0]


def _print(photo: Path, faces: list[Face], hits: list[list[Hit]]) -> None:
    print(f"{photo}: {len(faces)} face{'' if len(faces) == 1 else 's'}")
    for face, found in zip(faces, hits):
        x0, y0, x1, y1 = (round(float(value)) for value in face.box)
        if not found:
            verdict = "nobody is enrolled"
        elif found[0].known is None:
            verdict = "the model has no threshold, give --threshold"
        else:
            verdict = found[0].name if found[0].known else "unknown"
        print(f"  ({x0}, {y0}) to ({x1}, {y1}): {verdict}")
        for hit in found:
            print(f"    {hit.score:6.3f}  {hit.name}" + (f"  {hit.source}" if hit.source else ""))
