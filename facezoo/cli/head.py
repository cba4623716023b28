"""Commands on heads: which people a head knows, and how to change them before fine-tuning."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from facezoo.cli.app import app, print_json
from facezoo.types import InputError

if TYPE_CHECKING:
    from facezoo.head_file import HeadFile

commands = App(name="head", help="Class centres: look at them, export, add, remove, merge classes, clean data.")
app.command(commands)

Names = Annotated[list[str] | None, Parameter(consume_multiple=True)]


@commands.command
def info(head: Path, /, *, names: bool = False, json: bool = False) -> None:
    """Tell what a head knows.

    Args:
        head: head file or run folder.
        names: also print the classes' names, one a line, in the order of the centres.
        json: print as JSON, names included.
    """
    found = _read(head)
    facts = {
        "margin": found.spec,
        "classes": len(found.classes),
        "embedding_dim": found.embedding_dim,
        "sub_centres": found.sub_centres,
        "stored_as": str(found.weight.dtype).removeprefix("torch."),
        "state": sorted(found.margin),
    }
    if json:
        print_json({**facts, "names": found.classes})
        return
    for key, value in facts.items():
        print(f"{key:14}{', '.join(value) if isinstance(value, list) else value}")
    if names:
        print("\n".join(found.classes))


@commands.command
def export(run: Path, out: Path, /) -> None:
    """Write the head of a run, however many processes trained it, as one file.

    Args:
        run: run folder.
        out: the head file, .safetensors.
    """
    _write(_read(run), out)


@commands.command
def remove(head: Path, out: Path, /, *, classes: Names = None, listed: Path | None = None) -> None:
    """Write a head without some classes.

    Args:
        head: head file or run folder.
        out: the new head file.
        classes: names of the classes.
        listed: text file with one name a line.
    """
    _write(_read(head).remove(_named(classes, listed)), out)


@commands.command
def merge(head: Path, out: Path, /, *, into: str, classes: Names = None, listed: Path | None = None) -> None:
    """Write a head in which several classes are one, because they are one person.

    Args:
        head: head file or run folder.
        out: the new head file.
        into: the name of the one class; it may be one of them.
        classes: names of the classes.
        listed: text file with one name a line.
    """
    _write(_read(head).merge(_named(classes, listed), into), out)


@commands.command
def add(
    head: Path,
    out: Path,
    /,
    *,
    classes: Names = None,
    listed: Path | None = None,
    data: str | None = None,
    model: str | None = None,
) -> None:
    """Write a head with further classes.

    Given by name, their centres are drawn as in a new head. Given by data, each class of the data that the head does
    not know is added; with a model its centre points to the mean of its photos' embeddings.

    Args:
        head: head file or run folder.
        out: the new head file.
        classes: names of the classes.
        listed: text file with one name a line.
        data: dataset such as folder:root=mine, crops as the model wants them.
        model: the model that the head was trained with: file, run folder or name.
    """
    found = _read(head)
    if data is None:
        if model is not None:
            raise InputError("--model embeds the photos of --data, which is missing")
        _write(found.add(_named(classes, listed)), out)
        return
    if classes or listed:
        raise InputError("name the classes or give --data, not both")
    from facezoo.data.opening import open_dataset
    from facezoo.identities import class_means

    dataset = open_dataset(data)
    known = set(found.classes)
    fresh = [name for name in dataset.classes if name not in known]
    if not fresh:
        raise InputError(f"{data}: the head knows all its {len(dataset.classes)} classes")
    centres = None
    if model is not None:
        from facezoo.embedder import load_embedder
        from facezoo.head_file import warn_of_two_runs

        warn_of_two_runs(head, model)
        centres = class_means(dataset, fresh, load_embedder(model))
    _write(found.add(fresh, centres), out)


@commands.command
def clean(
    head: Path,
    model: str,
    data: str,
    out: Path,
    /,
    *,
    angle: float = 75.0,
    head_out: Path | None = None,
) -> None:
    """Write the list of the images that lie near their class's main centre; nothing is deleted.

    For a head with sub-centres: the main one is the nearest to most images of the class. Images farther than the angle
    from it are taken for another person's and left out of the list; ECCV 2020, sub-center ArcFace.

    Args:
        head: head file or run folder, trained with sub_centres above 1.
        model: the model that the head was trained with: file, run folder or name.
        data: the dataset it was trained on, such as list:path=train.txt,root=data.
        out: the list that is written, path and label a line; what is left out goes to OUT with .dropped before the
            ending, with its angle.
        angle: degrees.
        head_out: also write the head with the main centres alone.
    """
    from facezoo.data.opening import open_dataset
    from facezoo.embedder import load_embedder
    from facezoo.head_file import warn_of_two_runs
    from facezoo.identities import clean_list

    found = _read(head)
    warn_of_two_runs(head, model)
    result = clean_list(found, load_embedder(model), open_dataset(data), data, out, angle)
    print(result.sentence(out))
    if head_out is not None:
        _write(result.head, head_out)


@commands.command
def label(
    head: Path,
    model: str,
    data: str,
    out: Path,
    /,
    *,
    cosine: float = 0.5,
    margin: float = 0.1,
    counts: Path | None = None,
    batch_size: int = 32,
    device: str = "cpu",
    force: bool = False,
    json: bool = False,
) -> None:
    """Write the list of the images that lie near one class of a head, with that class: labels for self-training.

    For images without labels, or with doubtful ones, which are only counted against. Names of classes are the head's:
    multi:sets=[...],same=true trains on the list beside the data that the head was trained on.

    Args:
        head: head file or run folder.
        model: the model that the head was trained with: file, run folder or name.
        data: folder of images, or a dataset by path or spec; crops as the model wants them.
        out: the list; trained on with what is printed.
        cosine: an image has at least this cosine to the centre of its class.
        margin: and is nearer to it than to any other class by at least this.
        counts: also write how many images each class got, as CSV.
        batch_size: crops per forward pass.
        device: of a torch model.
        force: replace files that are there.
        json: print as JSON.
    """
    import shlex

    from facezoo.cli.outputs import check_list, check_output
    from facezoo.curation.labels import label as labelled
    from facezoo.curation.labels import open_images, write_counts
    from facezoo.data.subset import write_labelled
    from facezoo.embedder import load_embedder
    from facezoo.head_file import warn_of_two_runs

    found = _read(head)
    warn_of_two_runs(head, model)
    source = open_images(data)
    check_list(out, force, source, data)
    if counts:
        check_output(counts, force, source, data)
    embed = load_embedder(model, batch_size=batch_size, device=device)
    result = labelled(source, embed, found.weight.float().numpy(), found.classes, cosine, margin)
    spec = write_labelled(source, data, result.samples, result.labels, found.classes, out)
    if counts:
        write_counts(counts, result.labels, found.classes)
    if json:
        print_json({**result.counts, "list": str(out), "train": spec})
        return
    for words, number in result.counts.items():
        print(f"{words:32}{number:>10,}")
    print(f"{out}: train on {shlex.quote(spec)}")


def _read(path: Path) -> HeadFile:
    from facezoo.head_file import HeadFile

    return HeadFile.read(path)


def _write(head: HeadFile, out: Path) -> None:
    if out.suffix != ".safetensors":
        raise InputError(f"{out}: a head file ends in .safetensors")
    head.write(out)
    print(f"{out}: {len(head.classes):,} classes of {head.embedding_dim} dimensions")


def _named(classes: Sequence[str] | None, listed: Path | None) -> list[str]:
    names = list(classes or [])
    if listed is not None:
        if not listed.is_file():
            raise InputError(f"{listed}: no such file")
        names += [line for line in listed.read_text(encoding="utf-8").splitlines() if line.strip()]
    if not names:
        raise InputError("name the classes: --classes NAME ... or --listed FILE")
    return names
