"""The group `facezoo mask`: masks and other things put on faces."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter

from facezoo.cli.app import app, print_json
from facezoo.types import InputError

if TYPE_CHECKING:
    from facezoo.data.dataset import Dataset
    from facezoo.mask.finder import Finder
    from facezoo.mask.meshes import Found
    from facezoo.mask.outfit import Outfit

commands = App(name="mask", help="Put masks and other things on faces.")
app.command(commands)

LIST = "list.txt"

PART = 128
"""Masked images that one process writes at a time."""

Several = Annotated[list[str] | None, Parameter(consume_multiple=True)]


@commands.default
def mask(
    source: str,
    out: Path,
    /,
    *,
    templates: Several = None,
    variants: int = 1,
    pieces: int = 16,
    seed: int = 0,
    aligned: str | None = None,
    mesh: Literal["network", "landmarks"] = "network",
    meshes: Path | None = None,
    detector: str | None = None,
    workers: int = 1,
    force: bool = False,
    json: bool = False,
) -> None:
    """Put masks on all faces of a photo, of a folder of photos, or of a dataset.

    A photo becomes a photo. Of data the meshes are found first and kept, then the masked images are written as a new
    dataset with its list; images without a face are left out and listed in failures.csv beside the meshes. Killed and
    started again with the same options it goes on where it stopped, and ends with the same bytes.

    Args:
        source: a photo, a folder, or a dataset's path or spec such as rec:path=train.rec.
        out: the photo, a folder (images and list.txt), or a path or format that `facezoo convert` knows.
        templates: what is worn, drawn anew for each face: surgical, n95, cloth, gaiter, glasses, sunglasses, hat,
            headscarf, hand, with options such as surgical:color=blue, or PNG files in the layout.
        variants: so many masked copies of each image.
        pieces: different pieces drawn of each template.
        seed: other seeds draw otherwise.
        aligned: the images are crops of one face, aligned to this template (arcface).
        mesh: network, or landmarks: the mean face fitted to five points; faster, and blind to the expression.
        meshes: folder of the meshes of data; by default OUT.meshes.
        detector: finds the faces, of images that are no crops; yunet by default.
        workers: processes for data.
        force: replace what is there, and begin anew where other data or options were interrupted.
        json: print what was written as JSON.
    """
    from facezoo.mask.outfit import TEMPLATES, Outfit

    finder = opened_finder(aligned, mesh, detector)
    outfit = Outfit(tuple(templates or TEMPLATES), pieces)  # before any face is looked for
    if variants < 1 or seed < 0:
        raise InputError(f"--variants is {variants} (1 or more), --seed {seed} (0 or more)")
    if is_photo(source):
        if meshes or workers != 1:
            idle = "--meshes" if meshes else "--workers"
            raise InputError(f"{idle}: is for data, and {source} is one photo; leave it out")
        photo(Path(source), out, finder, outfit, variants, seed, force, json)
        return
    from facezoo.data import convert as engine
    from facezoo.data.masked import Masked
    from facezoo.data.opening import open_writer
    from facezoo.mask.meshes import find_meshes

    data, spec = open_images(source)
    writer = open_writer(str(out) if out.suffix or ":" in str(out) else f"list:path={quoted(out / LIST)}")
    target = writer.target.resolve()
    folder = meshes or target.with_name(f"{target.name}.meshes")
    found = find_meshes(data, folder, finder, workers=workers, force=force)
    masked = Masked(spec, folder, outfit.templates, 1.0, variants, pieces, "drop", seed)
    done = engine.convert(masked, writer, engine.Options(PART, check=False), workers=workers, force=force)
    if json:
        facts = {"path": str(done.path), "images": done.manifest.images, "classes": done.manifest.classes}
        print_json({**facts, "meshes": str(folder), **searched(found)})
        return
    print(
        f"{done.path}: {done.manifest.images:,} masked images of {done.manifest.classes:,} classes from {len(data):,}; "
        f"{left_out(found)}"
    )


@commands.command
def meshes(
    data: str,
    out: Path,
    /,
    *,
    aligned: str | None = None,
    mesh: Literal["network", "landmarks"] = "network",
    detector: str | None = None,
    workers: int = 1,
    force: bool = False,
    json: bool = False,
) -> None:
    """Find the meshes of all faces of a dataset once, for `masked:data=DATA,meshes=OUT` and for `facezoo mask`.

    Args:
        data: a folder, or a dataset's path or spec.
        out: folder; meshes.npy (M, 468, 3), images.npy, landmarks.csv and failures.csv are written.
        aligned: the images are crops of one face, aligned to this template (arcface).
        mesh: network, or landmarks: the mean face fitted to five points.
        detector: finds the faces, of images that are no crops; yunet by default.
        workers: processes.
        force: replace meshes of other data.
        json: print what was found as JSON.
    """
    from facezoo.mask.meshes import find_meshes

    source, _ = open_images(data)
    found = find_meshes(source, out, opened_finder(aligned, mesh, detector), workers=workers, force=force)
    if json:
        print_json({"path": str(out), **searched(found)})
        return
    print(f"{out}: {left_out(found)}")


@commands.command
def template(
    photo: Path,
    out: Path,
    /,
    *,
    detector: str = "yunet:threads=1",
    force: bool = False,
) -> None:
    """Take the mask off a photo of somebody who wears one, as a template for `--templates OUT.png`.

    Args:
        photo: with a face from the front, 80 pixels wide or more; of several faces the largest with a mask is taken.
        out: PNG in the layout, to be corrected in any editor; `facezoo mask guide` shows where the face lies.
        detector: finds the faces.
        force: replace a file that is there.
    """
    from facezoo.image import read_image
    from facezoo.mask.take import taken
    from facezoo.mask.wearables.image_file import write_texture

    _check_png(out, force, photo)
    write_texture(out, taken(read_image(photo), str(photo), detector))
    print(f"{out}: put it on with --templates {out}")


@commands.command
def sheet(out: Path, /, *, templates: Several = None, pieces: int = 2, size: int = 160, force: bool = False) -> None:
    """Draw templates on a grey head from four sides.

    Args:
        out: the picture, .png or .jpg.
        templates: spec strings or PNG files; all there are unless given.
        pieces: rows of each template.
        size: height and width of a head, pixels.
        force: replace a file that is there.
    """
    from facezoo.image import write_image
    from facezoo.mask.mannequin import contact_sheet
    from facezoo.registry import WEARABLES

    _check_image(out, force)
    specs = templates or [name for name in WEARABLES.names() if name != "png"]
    write_image(out, contact_sheet(specs, pieces, size))
    print(f"{out}: {len(specs)} templates, {pieces} pieces of each")


@commands.command
def guide(out: Path, /, *, force: bool = False) -> None:
    """Draw the layout that templates are painted in: where eyes, nose, mouth and chin lie.

    Args:
        out: the picture, 512 x 512.
        force: replace a file that is there.
    """
    from facezoo.image import write_image
    from facezoo.mask.mannequin import guide as drawn

    _check_image(out, force)
    write_image(out, drawn())
    print(out)


def _check_image(out: Path, force: bool) -> None:
    from facezoo.image import SUFFIXES

    if out.suffix.lower() not in SUFFIXES:
        raise InputError(f"{out}: name an image, such as {out}.png")
    if out.exists() and not force:
        raise InputError(f"{out}: is there already; name another place, or replace it with --force")


def _check_png(out: Path, force: bool, photo: Path) -> None:
    if out.suffix.lower() != ".png":
        raise InputError(f"{out}: a template is a .png file")
    if out.resolve() == photo.resolve():
        raise InputError(f"{out}: is the photo that is read; name another place")
    _check_image(out, force)


def opened_finder(aligned: str | None, mesh: Literal["network", "landmarks"], detector: str | None) -> Finder:
    from facezoo.mask.finder import Finder

    if aligned and detector:
        raise InputError(f"--detector {detector}: does nothing with --aligned {aligned}; leave one of them out")
    return Finder(aligned, mesh, detector or Finder.detector)


def is_photo(source: str) -> bool:
    from facezoo.image import SUFFIXES

    return Path(source).suffix.lower() in SUFFIXES and Path(source).is_file()


def quoted(path: Path) -> str:
    from facezoo.data.subset import spec_text

    return spec_text("x", path=path).partition("=")[2]


def open_images(source: str) -> tuple[Dataset, str]:
    """The dataset at a path, or all photos of a folder that has none, and its spec."""
    from facezoo.data.opening import open_dataset
    from facezoo.data.subset import spec_text
    from facezoo.image import image_names

    path = Path(source)
    if path.is_dir() and not any(entry.is_file() for entry in path.glob("*.txt")):
        direct = next((name for name in image_names(path) if "/" not in name), None)
        if direct is not None:
            source = spec_text("photos", path=path)
    return open_dataset(source), source


def searched(found: Found) -> dict[str, Any]:
    return {
        "faces": found.faces,
        "without_face": found.without_face,
        "unreadable": found.unreadable,
        "resumed": found.resumed,
        "failures": str(found.meshes.folder / "failures.csv"),
    }


def left_out(found: Found) -> str:
    from facezoo.mask.meshes import FAILURES

    words = f"{found.faces:,} faces"
    if found.resumed:
        words += f", {found.resumed:,} images had been looked at"
    if found.without_face or found.unreadable:
        words += f"; {found.without_face:,} images without a face and {found.unreadable:,} unreadable ones: see "
        words += str(found.meshes.folder / FAILURES)
    return words


def photo(
    source: Path,
    out: Path,
    finder: Finder,
    outfit: Outfit,
    variants: int,
    seed: int,
    force: bool,
    json: bool,
) -> None:
    """One photo, or several variants of it."""
    import numpy as np

    from facezoo.image import SUFFIXES, read_image, write_image

    if out.suffix.lower() not in SUFFIXES:
        raise InputError(f"{out}: name an image, such as {out}.jpg")
    targets = [out] if variants == 1 else [out.with_name(f"{out.stem}_{k + 1}{out.suffix}") for k in range(variants)]
    for target in targets:
        if target.resolve() == source.resolve():
            raise InputError(f"{target}: is the photo that is read; name another place")
        if target.exists() and not force:
            raise InputError(f"{target}: is there already; name another place, or replace it with --force")
    image = read_image(source)
    found = finder(image)
    if not len(found):
        raise InputError(f"{source}: no face was found")
    worn: list[dict[str, Any]] = []
    for variant, target in enumerate(targets):
        masked, names = outfit.put_on(image, found, np.random.default_rng([seed, 0, variant]))
        write_image(target, masked)
        worn.append({"image": str(target), "faces": names})
    if json:
        print_json(worn)
        return
    for each in worn:
        print(f"{each['image']}: {', '.join(each['faces'])}")
