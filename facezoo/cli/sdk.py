"""Commands on photos: find faces, align, embed, compare, and what there is to choose from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from facezoo.cli.app import app, print_json
from facezoo.cli.models import load_analyzer
from facezoo.cli.photos import end, file_names, find_photos, readable, refused_values
from facezoo.types import Contract, Face, FloatArray, Image, InputError

if TYPE_CHECKING:
    from facezoo.sdk import FaceAnalyzer


@app.command
def detect(images: list[Path], /, *, detector: str = "yunet", out: Path | None = None, json: bool = False) -> None:
    """Find the faces in photos.

    Args:
        images: photos, or folders of photos.
        detector: name with options, such as yunet:score=0.7,max_side=2000.
        out: folder for copies with boxes and points drawn.
        json: print a list of {image, width, height, faces: [{box, score, landmarks}]}, or {image, error}.
    """
    from facezoo.image import write_image
    from facezoo.registry import DETECTORS
    from facezoo.sdk import draw, face_values

    find = DETECTORS.create(detector)
    paths = find_photos(images)
    drawn = file_names(paths) if out else {}
    refused: dict[Path, str] = {}
    results = []
    for path, image in readable(paths, refused):
        faces = find(image)
        if out:
            write_image(out / drawn[path], draw(image, faces))
        height, width = image.shape[:2]
        values = [face_values(face) for face in faces]
        results.append({"image": str(path), "width": width, "height": height, "faces": values})
        if not json:
            print(f"{path}: {_count(len(faces), 'face')}")
            for face in faces:
                print(f"  {_place(face)}, score {face.score:.2f}")
    if json:
        print_json(results + refused_values(refused))
    end(refused)


@app.command
def align(
    source: Path,
    out: Path,
    /,
    *,
    faces: Literal["main", "all"] = "main",
    template: str | None = None,
    size: tuple[int, int] | None = None,
    model: str | None = None,
    contract: Path | None = None,
    format: Literal["jpg", "png"] = "jpg",
    detector: str = "yunet:threads=1",
    workers: int = 2,
    json: bool = False,
) -> None:
    """Turn a folder of photos into a folder of aligned crops with the same sub-folders.

    An interrupted run goes on where it stopped. OUT/align.jsonl notes each photo's crops, boxes and landmarks;
    OUT/report.json lists the photos without a face and those that could not be read. The exit code is 2 if there
    is no crop in the end.

    Args:
        source: folder of photos.
        out: folder for the crops.
        faces: the main face of each photo (large and near the centre), or all.
        template: alignment template; by default the model's, else arcface.
        size: height and width of the crops; by default the model's, else 112 112.
        model: take template and size from this model's contract.
        contract: TOML file of a contract, in place of --model.
        format: of the crops; png is lossless.
        detector: name with options.
        workers: photos worked on at once.
        json: print the report as JSON.
    """
    from facezoo.registry import DETECTORS
    from facezoo.sdk import align_folder
    from facezoo.sdk.folder import REPORT

    if workers < 1:
        raise InputError(f"--workers is {workers}, it must be 1 or more")
    if size and not all(16 <= side <= 2048 for side in size):
        raise InputError(f"--size is {size[0]} {size[1]}, each must lie between 16 and 2048")
    asked = _contract(model, contract)
    report = align_folder(
        source,
        out,
        DETECTORS.create(detector),
        template=template or asked.template,
        size=size or asked.input_size,
        faces=faces,
        format=format,
        workers=workers,
    )
    if json:
        print_json(asdict(report))
    else:
        print(
            f"{_count(report.images, 'photo')}: {_count(report.crops, 'crop')} in {out}, {len(report.without_face):,} "
            f"without a face, {len(report.unreadable):,} unreadable (see {out / REPORT})"
        )
    if not report.crops:
        raise InputError(f"{source}: no photo in it gave a crop, {out / REPORT} says why; give a folder of faces")


@app.command
def embed(
    images: list[Path],
    /,
    *,
    model: str = "dlib-resnet29",
    contract: Path | None = None,
    detector: str = "yunet",
    out: Path | None = None,
    json: bool = False,
) -> None:
    """Embed all faces of photos.

    Args:
        images: photos, or folders of photos.
        model: zoo name, .onnx or .safetensors file, or run folder.
        contract: TOML file of the model's contract, for a file that carries none.
        detector: name with options.
        out: write image (N,), box (N, 4), score (N,), landmarks (N, 5, 2), embedding (N, D) and contract, one
            row per face, to this .npz file; embeddings are not normalised.
        json: print a list of {image, faces: [{box, score, landmarks, embedding}]}, or {image, error}.
    """
    from facezoo.sdk import face_values, write_faces

    if out and out.suffix != ".npz":
        raise InputError(f"{out}: --out writes a .npz file, name it so")
    analyzer = load_analyzer(model, contract, detector)
    refused: dict[Path, str] = {}
    names: list[str] = []

    def read() -> Iterator[Image]:
        for path, image in readable(find_photos(images), refused):
            names.append(str(path))
            yield image

    found = list(zip(names, list(analyzer.many(read())), strict=True))
    if json:
        values = [
            {"image": name, "faces": [{**face_values(face), "embedding": _embedding(face)} for face in faces]}
            for name, faces in found
        ]
        print_json(values + refused_values(refused))
    else:
        for name, faces in found:
            print(f"{name}: {_count(len(faces), 'face')}")
            for face in faces:
                embedding = _embedding(face)
                head = " ".join(f"{value:.3f}" for value in embedding[:4])
                norm = sum(value * value for value in embedding) ** 0.5
                print(f"  {_place(face)}, score {face.score:.2f}: {len(embedding)}-d, norm {norm:.3f}, {head} ...")
    if out:
        count = write_faces(out, found, analyzer.contract)
        if not json:
            print(f"{_count(count, 'embedding')} in {out}")
    end(refused)


@app.command
def compare(
    left: Path,
    right: Path,
    /,
    *,
    model: str = "dlib-resnet29",
    contract: Path | None = None,
    threshold: float | None = None,
    detector: str = "yunet",
    json: bool = False,
) -> None:
    """Do two photos show one person? Compares the main face of each.

    Args:
        left: a photo.
        right: a photo.
        model: zoo name, .onnx or .safetensors file, or run folder.
        contract: TOML file of the model's contract, for a file that carries none.
        threshold: cosine from which two faces are one person; by default the model's.
        detector: name with options.
        json: print {left, right, model, cosine, threshold, same}; threshold and same are null for a model without.
    """
    from facezoo.sdk import compare as compare_embeddings

    analyzer = load_analyzer(model, contract, detector)
    a, b = (_main_embedding(analyzer, path) for path in (left, right))
    result = compare_embeddings(a, b, analyzer.contract.threshold if threshold is None else threshold)
    if json:
        print_json({"left": str(left), "right": str(right), "model": analyzer.contract.name, **asdict(result)})
        return
    if result.threshold is None:
        print(
            f"cosine {result.cosine:.3f}; {analyzer.contract.name} states no threshold, give --threshold for a verdict"
        )
        return
    verdict = "one person" if result.same else "different people"
    whose = f"{analyzer.contract.name}'s" if threshold is None else "the given"
    print(f"{verdict}: cosine {result.cosine:.3f}, {whose} threshold is {result.threshold:.3f}")


def _contract(model: str | None, contract: Path | None) -> Contract:
    from facezoo.contract import read_contract
    from facezoo.embedder import load_embedder

    if model and contract:
        raise InputError("--model and --contract both state template and size; give one")
    if contract:
        return read_contract(contract)
    return load_embedder(model).contract if model else Contract()


def _main_embedding(analyzer: FaceAnalyzer, path: Path) -> FloatArray:
    from facezoo.image import read_image

    face = analyzer.main(read_image(path))
    if face is None or face.embedding is None:
        raise InputError(f"{path}: no face found")
    return face.embedding


def _embedding(face: Face) -> list[float]:
    return [] if face.embedding is None else [float(value) for value in face.embedding]


def _place(face: Face) -> str:
    x0, y0, x1, y1 = (round(float(value)) for value in face.box)
    return f"({x0}, {y0}) to ({x1}, {y1})"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
