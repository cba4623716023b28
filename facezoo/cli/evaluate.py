"""The command that scores a model on benchmarks."""

from __future__ import annotations

from pathlib import Path
from facezoo.cli.app import app, print_json
from facezoo.cli.models import model_digest
from facezoo.types import InputError

NOTES = (
    "pair list",
    "pairs dropped",
    "pairs without a comparison",
    "accuracy without a model",
    "at the model's threshold",
)
"""Words of a protocol that are printed below the table: they say what a number means."""


@app.command
def evaluate(
    model: str,
    benchmarks: list[str],
    /,
    *,
    out: Path | None = None,
    html: Path | None = None,
    contract: Path | None = None,
    flip: bool | None = None,
    batch_size: int = 32,
    device: str = "cpu",
    detector: str = "yunet:threads=1",
    features: Path | None = None,
    json: bool = False,
) -> None:
    """Score a model on benchmarks and print one row for each.

    Benchmarks: lfw:root=..., pairs:path=...,root=..., bin:path=..., folder:root=...; photos that are crops already
    say so (aligned=arcface), raw ones are aligned as the model's contract says.

    Args:
        model: name such as dlib-resnet29, .onnx or .safetensors file, or run folder.
        benchmarks: names with options, such as lfw:root=data/lfw.
        out: also write the reports here, as JSON.
        html: also write one page with the figures and the worst mistakes here.
        contract: TOML file of the model's contract, for a file that carries none.
        flip: add the embedding of the mirror image, or do not, whatever the contract says.
        batch_size: crops per forward pass.
        device: of a torch model.
        detector: finds landmarks in raw photos that come without; it runs beside the model, so one thread is enough.
        features: folder in which embeddings are kept, and found again in the next run.
        json: print the reports as JSON.
    """
    from facezoo import evaluation
    from facezoo.contract import read_contract
    from facezoo.embedder import load_embedder
    from facezoo.evaluation.features import Features
    from facezoo.evaluation.html import write_html
    from facezoo.registry import BENCHMARKS
    from facezoo.sdk import FaceAnalyzer

    if batch_size < 1:
        raise InputError(f"--batch-size is {batch_size}, it must be 1 or more")
    made = [BENCHMARKS.create(spec) for spec in benchmarks]
    stated = read_contract(contract) if contract else None
    embed = load_embedder(model, contract=stated, batch_size=batch_size, device=device, flip=flip)
    locate = FaceAnalyzer(detector).locate if any(evaluation.needs_locate(benchmark) for benchmark in made) else None
    embeddings_of = Features(features, model_digest(model, embed), detector) if features else evaluation.embed_photos
    reports = [evaluation.evaluate(benchmark, embed, locate, embeddings_of=embeddings_of) for benchmark in made]
    if out:
        evaluation.write_json(reports, out)
    if html:
        write_html(reports, html, made)
    if json:
        print_json([report.to_dict() for report in reports])
        return
    print(evaluation.table(reports))
    for report in reports:
        for note in NOTES:
            if note in report.protocol:
                print(f"{report.name}: {note}: {report.protocol[note]}")
