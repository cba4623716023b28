"""The command that scores a model on benchmarks."""

from __future__ import annotations

from pathlib import Path

from facezoo.cli.app import app, print_json
from facezoo.cli.models import Extraction, check_fit, made_benchmarks
from facezoo.cli.outputs import check_reports

NOTES = (
    "masks",
    "pair list",
    "pairs dropped",
    "unreadable photos",
    "pairs of a photo with itself",
    "pairs listed again",
    "pairs listed as both",
    "open set",
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
    markdown: Path | None = None,
    contract: Path | None = None,
    flip: bool | None = None,
    batch_size: int = 32,
    device: str = "cpu",
    detector: str = "yunet:threads=1",
    features: Path | None = None,
    resamples: int | None = None,
    seed: int | None = None,
    json: bool = False,
) -> None:
    """Score a model on benchmarks and print one row for each.

    Benchmarks: lfw:root=..., pairs:path=...,root=..., bin:path=..., folder:root=...; photos that are crops already
    say so (aligned=arcface), raw ones are aligned as the model's contract says.

    Args:
        model: name such as dlib-resnet29, .onnx or .safetensors file, run folder, or folder of features.
        benchmarks: names with options, such as lfw:root=data/lfw.
        out: also write the reports here, as JSON.
        html: also write one page with the figures and the worst mistakes here.
        markdown: also write the reports here, as Markdown.
        contract: TOML file of the model's contract, for a file that carries none.
        flip: add the embedding of the mirror image, or do not, whatever the contract says.
        batch_size: crops per forward pass.
        device: of a torch model.
        detector: finds landmarks in raw photos that come without; it runs beside the model, so one thread is enough.
        features: folder in which embeddings are kept, and found again in the next run.
        resamples: of the intervals, in place of what the benchmarks say; 0 leaves them out.
        seed: of the intervals, in place of what the benchmarks say.
        json: print the reports as JSON.
    """
    from facezoo import evaluation
    from facezoo.evaluation.markdown import write_markdown
    from facezoo.evaluation.pages import write_html
    from facezoo.evaluation.report import aligned_columns, shown_table

    check_reports(out, html, markdown)
    how = Extraction(contract, flip, batch_size, device, detector, features)
    embed, embeddings_of = how.open(model)  # first, as masks of benchmarks may take hours to draw
    made = made_benchmarks(benchmarks, resamples, seed)
    check_fit(model, embed, made)
    locate = how.locate(made)
    reports = [evaluation.evaluate(benchmark, embed, locate, embeddings_of=embeddings_of) for benchmark in made]
    if out:
        evaluation.write_json(reports, out)
    if html:
        write_html(reports, html, made, locate)
    if markdown:
        write_markdown(reports, markdown)
    if json:
        print_json([report.to_dict() for report in reports])
        return
    print(evaluation.table(reports))
    for report in reports:
        for note, words in report.protocol.items():
            if note in NOTES or str(words).startswith("not measurable"):
                print(f"{report.name}: {note}: {words}")
        for title, rows in report.tables.items():
            print(f"\n{report.name}: {title}")
            print(aligned_columns(shown_table(title, rows)))
