"""Commands of `facezoo data` that look at images through a model."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from facezoo.cli.app import print_json
from facezoo.cli.data import commands
from facezoo.cli.outputs import check_folder, check_list
from facezoo.types import InputError


@commands.command
def clean(
    data: str,
    model: str,
    out: Path,
    /,
    *,
    contract: Path | None = None,
    outlier_precision: float = 0.8,
    merge_precision: float = 0.8,
    outlier_cosine: float | None = None,
    merge_cosine: float | None = None,
    copy_cosine: float | None = None,
    copy_likeness: float | None = None,
    shown: int = 200,
    batch_size: int = 32,
    device: str = "cpu",
    seed: int = 0,
    force: bool = False,
    json: bool = False,
) -> None:
    """Look for images of other people, identities that are one person, and photos that are there twice.

    Nothing is deleted: OUT gets review.html, the lists outliers.csv, merges.csv and duplicates.csv, the proposal
    decisions.json and kept.txt, the list that it leads to. On the page findings are unticked and decisions saved, for
    `facezoo data apply`. Embeddings are kept in OUT: killed and started again it goes on, and with other options it
    does not embed again. Thresholds follow from the data unless they are given.

    Args:
        data: path of a dataset, or its spec; crops as the model wants them.
        model: name such as dlib-resnet29, .onnx or .safetensors file, or run folder.
        out: folder.
        contract: TOML file of the model's contract, for a file that carries none.
        outlier_precision: share of the outliers that is to be right, as far as the scores tell.
        merge_precision: the same for identities that are one person.
        outlier_cosine: images at or below this cosine to their identity are outliers.
        merge_cosine: identities whose centres are at least so close are one person.
        copy_cosine: embeddings of copies are at least so close.
        copy_likeness: pixels of copies are at least so alike.
        shown: findings of each kind on the page.
        batch_size: crops per forward pass.
        device: of a torch model.
        seed: of what is drawn to find thresholds.
        force: write into a folder that holds other files.
        json: print as JSON.
    """
    from facezoo.cli.models import load_model
    from facezoo.curation.clean import Limits, find, write_findings
    from facezoo.curation.page import clean_page
    from facezoo.data.opening import open_dataset
    from facezoo.files import write_text

    if shown < 0:
        raise InputError(f"--shown is {shown}, it must be 0 or more")
    limits = Limits(outlier_precision, merge_precision, outlier_cosine, merge_cosine, copy_cosine, copy_likeness)
    check_folder(out, force, "embeddings")
    source = open_dataset(data)
    embed, digest = load_model(model, contract, batch_size, device)
    found = find(source, embed, digest, out / "embeddings", limits, seed)
    kept = write_findings(found, source, data, out)
    write_text(out / "review.html", clean_page(found, source, f"Review of {data}", shown))
    if json:
        print_json({**found.to_dict(), "kept": kept.kept, "train": kept.spec})
        return
    if found.warning():
        print(found.warning(), file=sys.stderr)
    copies = sum(len(group.others) for group in found.duplicates)
    print(
        f"outliers: {len(found.outliers):,}; groups of identities to merge: {len(found.merges):,}; copies: {copies:,}; "
        f"look at {out / 'review.html'}"
    )
    print(f"as proposed: {kept.sentence()}")


@commands.command
def apply(data: str, decisions: Path, out: Path, /, *, force: bool = False, json: bool = False) -> None:
    """Write the list that decisions of a review lead to; the data stay as they are.

    Args:
        data: the dataset that was reviewed.
        decisions: decisions.json or decisions.csv, as the review page saves it.
        out: the list.
        force: replace a list that is there.
        json: print as JSON.
    """
    from facezoo.curation.decisions import apply as write
    from facezoo.curation.decisions import read_decisions
    from facezoo.data.opening import open_dataset

    source = open_dataset(data)
    check_list(out, force, source, data)
    done = write(source, data, read_decisions(decisions), out)
    if json:
        print_json(vars(done))
        return
    print(f"{out}: {done.sentence()}")


@commands.command
def audit(
    train: str,
    test: str,
    model: str,
    out: Path,
    /,
    *,
    contract: Path | None = None,
    false_alarms: float = 1.0,
    detector: str = "yunet:threads=1",
    shown: int = 200,
    batch_size: int = 32,
    device: str = "cpu",
    seed: int = 0,
    force: bool = False,
    json: bool = False,
) -> None:
    """Tell which identities of a benchmark are in a training set.

    OUT gets evidence.html, matches.csv with the nearest training identity of each test identity, and leave_out.txt,
    the training identities to drop: facezoo data filter TRAIN OUT/clean.txt --drop OUT/leave_out.txt. Embeddings are
    kept in OUT.

    Args:
        train: path of the training set, or its spec; crops as the model wants them.
        test: path of a dataset, its spec, or a benchmark such as lfw:root=data/lfw.
        model: name such as dlib-resnet29, .onnx or .safetensors file, or run folder.
        out: folder.
        contract: TOML file of the model's contract, for a file that carries none.
        false_alarms: pairs of strangers that may be taken for one person, in the whole audit.
        detector: finds landmarks in raw photos of a benchmark that come without.
        shown: matches on the page.
        batch_size: crops per forward pass.
        device: of a torch model.
        seed: of test identities that are drawn to tell what strangers reach, if there are very many.
        force: write into a folder that holds other files.
        json: print as JSON.
    """
    from facezoo.cli.models import load_model
    from facezoo.curation.embeddings import embed_dataset
    from facezoo.curation.outliers import fits
    from facezoo.curation.overlap import audit as compare
    from facezoo.curation.overlap import write_overlap
    from facezoo.curation.overlap_page import overlap_page
    from facezoo.curation.probes import open_probes
    from facezoo.data.opening import open_dataset
    from facezoo.files import write_text
    from facezoo.sdk import FaceAnalyzer

    if shown < 0:
        raise InputError(f"--shown is {shown}, it must be 0 or more")
    check_folder(out, force, "test")
    source = open_dataset(train)
    embed, digest = load_model(model, contract, batch_size, device)
    photos = open_probes(test, embed, digest, out / "test", lambda: FaceAnalyzer(detector).locate, detector)
    judged = fits(embed_dataset(source, embed, digest, out / "train"), source.labels, seed)
    found = compare(judged.centres, photos, false_alarms, seed)
    write_overlap(found, photos, source.classes, out)
    title = f"Overlap of {train} with {test}"
    write_text(out / "evidence.html", overlap_page(found, photos, source, judged.scores, title, shown))
    if json:
        print_json(found.to_dict())
        return
    facts = found.to_dict()
    without = ["facezoo", "data", "filter", train, str(out / "train.txt"), "--drop", str(out / "leave_out.txt")]
    print(
        f"{facts['overlapping']:,} of {facts['test_identities']:,} test identities ({facts['share']:.1%}) are among "
        f"the {facts['train_identities']:,} of the training set, with at most {false_alarms:g} false alarms expected; "
        f"look at {out / 'evidence.html'}; without them: {shlex.join(without)}"
    )
