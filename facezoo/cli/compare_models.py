"""The command that puts models side by side."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from facezoo.cli.app import app, print_json
from facezoo.cli.models import Extraction, check_fit, made_benchmarks
from facezoo.cli.outputs import check_reports
from facezoo.registry import EMBEDDERS
from facezoo.types import InputError

if TYPE_CHECKING:
    from facezoo.evaluation.report import Report
    from facezoo.evaluation.run import Embedded

SHOWN = (
    "accuracy", "eer", "tar@far=1e-3", "tar@far=1e-4", "tar@far=1e-6", "rank1", "rank10",
    "tpir@fpir=1e-1", "tpir@fpir=1e-2",
)  # fmt: skip
"""Metrics that are printed; files and pages have all."""


@app.command
def compare_models(
    models: list[str],
    /,
    *,
    benchmark: tuple[str, ...] = (),
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
    """Score models on the same benchmarks and say whether they really differ.

    Accuracy and rank-1 are tested with McNemar's exact test on the single trials, each model at its own thresholds;
    all other differences by a bootstrap that draws the same identities for every model. P-values are also given
    adjusted for their number (Holm).

    Args:
        models: names such as dlib-resnet29, .onnx or .safetensors files, run folders, folders of features.
        benchmark: name with options, such as lfw:root=data/lfw; give it again for more.
        out: also write the comparison with all reports here, as JSON.
        html: also write one page with common figures and the pairs on which the models disagree here.
        markdown: also write the tables here, as Markdown.
        contract: TOML file of the contract of .onnx files, in place of what they carry.
        flip: add the embedding of the mirror image, or do not, whatever the contracts say.
        batch_size: crops per forward pass.
        device: of torch models.
        detector: finds landmarks in raw photos that come without.
        features: folder in which embeddings are kept, and found again in the next run.
        resamples: of the intervals, in place of what the benchmarks say; 0 leaves them out.
        seed: of the intervals, in place of what the benchmarks say.
        json: print the comparison as JSON.
    """
    from facezoo.evaluation.comparison import compare, difference_rows, side_by_side, write_comparison
    from facezoo.evaluation.comparison_page import comparison_markdown, write_comparison_html
    from facezoo.evaluation.report import aligned_columns
    from facezoo.evaluation.run import told
    from facezoo.files import write_text

    if len(models) < 2:
        raise InputError("compare-models: two models or more are compared")
    if not benchmark:
        raise InputError("--benchmark: none is given, such as lfw:root=data/lfw")
    check_reports(out, html, markdown)
    how = Extraction(contract, flip, batch_size, device, detector, features)
    names = model_names(models)
    opened = [how_for(model, how).open(model) for model in models]  # all, before masks are drawn or photos embedded
    made = made_benchmarks(benchmark, resamples, seed)
    for model, (embed, _) in zip(models, opened):
        check_fit(model, embed, made)
    locate = how.locate(made)
    reports: list[list[Report]] = [[] for _ in made]
    embedded: list[list[Embedded]] = [[] for _ in made]
    for embed, embeddings_of in opened:
        for place, each in enumerate(made):
            found = embeddings_of(each, embed, locate)
            reports[place].append(told(each.score(found.embeddings, found.failed), each, embed.contract, found))
            embedded[place].append(found)
    comparison = compare(names, made, reports, embedded)
    if out:
        write_comparison(comparison, out)
    if html:
        write_comparison_html(comparison, html, made, locate)
    if markdown:
        write_text(markdown, comparison_markdown(comparison))
    if json:
        print_json(comparison.to_dict())
        return
    for name, rows in side_by_side(comparison, SHOWN).items():
        print(name)
        print(aligned_columns(rows))
        print()
    if comparison.differences:
        print(aligned_columns(difference_rows(comparison)))
    for name, note in comparison.notes.items():
        print(f"{name}: {note}")


def how_for(model: str, how: Extraction) -> Extraction:
    """The options as far as they concern this model: others have their own contract, or their embeddings already."""
    from facezoo.evaluation.feature_file import is_features

    if is_features(model):
        return replace(how, contract=None, features=None)
    return how if Path(model).suffix == ".onnx" else replace(how, contract=None)


def model_names(models: list[str]) -> list[str]:
    """The last part of each path, as much of it as tells them apart; named models and ensembles as they are."""
    parts = [(model,) if model.partition(":")[0] in EMBEDDERS else Path(model).parts for model in models]
    for length in range(1, max(map(len, parts)) + 1):
        names = ["/".join(part[-length:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    raise InputError(f"compare-models: a model is given twice: {', '.join(models)}")
