"""A comparison of models as one page, and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from markupsafe import Markup

from facezoo.evaluation.comparison import Comparison, Disagreement, difference_rows, side_by_side
from facezoo.evaluation.html import Section, faces, facts, figure_svg, figures, grid, page
from facezoo.evaluation.markdown import escaped, pipe_table
from facezoo.evaluation.pages import (
    Pictures,
    contract_facts,
    crops_of,
    metric_words,
    mistake_words,
    protocol_words,
    size_words,
)
from facezoo.evaluation.photos import Locate
from facezoo.evaluation.plots import overlaid_figures
from facezoo.evaluation.report import Report
from facezoo.evaluation.run import Benchmark
from facezoo.files import write_text

NOTE = (
    "Differences are the first model minus the second, of rates in percentage points; an interval is that of the "
    "difference on the same resamples. McNemar's exact test states the trials that only the first and only the second "
    "model has right. The second p is adjusted for the number of pairs of models (Holm), not for that of metrics and "
    "benchmarks; * marks differences below 0.05. By B resamples no p is below 2 / (B + 1)."
)


def write_comparison_html(
    comparison: Comparison, path: Path, benchmarks: Sequence[Benchmark] = (), locate: Locate | None = None
) -> None:
    """Write `comparison_page` to one file."""
    write_text(path, comparison_page(comparison, benchmarks, locate))


def comparison_page(comparison: Comparison, benchmarks: Sequence[Benchmark] = (), locate: Locate | None = None) -> str:
    """Models side by side: differences, curves in common figures, and the trials on which they part.

    Args:
        comparison: of the models.
        benchmarks: its benchmarks: their photos illustrate the disagreements.
        locate: see `pages.report_page`.
    """
    sections = []
    if comparison.differences:
        table = grid(_worded(difference_rows(comparison)))
        sections.append(Section("Differences", Markup('<p class="note">{}</p>').format(NOTE) + table))
    tables, photos = side_by_side(comparison), {benchmark.name: benchmark for benchmark in benchmarks}
    for name, reports in comparison.reports.items():
        renamed = [replace(report, name=model) for report, model in zip(reports, comparison.models)]
        drawn = [figure_svg(figure, alt) for figure, alt in overlaid_figures(renamed, f"all models on {name}")]
        body = Markup('<p class="note">{}; {}.</p>').format(size_words(reports[0]), comparison.notes.get(name, ""))
        body += figures(drawn) + grid(_worded(tables[name]))
        contract = reports[0].contract
        shown = crops_of(photos[name], contract, locate) if name in photos else None
        body += _disagreements([each for each in comparison.disagreements if each.benchmark == name], shown)
        body += Markup("<h3>Protocol</h3>{}").format(facts(_protocol(reports, comparison.models)))
        sections.append(Section(name, body))
    first = next(iter(comparison.reports.values()))
    for model, report in zip(comparison.models, first):
        if report.contract is not None:
            sections.append(Section(f"Model contract of {model}", contract_facts(report.contract)))
    return page(" / ".join(comparison.models), sections, lead="The same photos, pairs and resamples for every model.")


def _protocol(reports: Sequence[Report], models: Sequence[str]) -> dict[str, str]:
    """What is alike for all models once, and what is not for each of them."""
    every = [protocol_words({**report.protocol, "facezoo": report.version}) for report in reports]
    found = {}
    for word in dict.fromkeys(word for words in every for word in words):
        values = [str(words.get(word, "-")) for words in every]
        told = (f"{model}: {value}" for model, value in zip(models, values, strict=True))
        found[word] = values[0] if len(set(values)) == 1 else "; ".join(told)
    return found


def _worded(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """The names of metrics in the first column as words."""
    return [list(rows[0]), *([metric_words(row[0]), *row[1:]] for row in rows[1:])]


def _disagreements(found: Sequence[Disagreement], pictures: Pictures | None) -> Markup:
    kinds: dict[tuple[str, str], list[Disagreement]] = {}
    for each in found:
        kinds.setdefault((each.right, each.wrong), []).append(each)
    body = Markup()
    for (right, wrong), trials in kinds.items():
        title = Markup("<h3>{} is right, {} is wrong</h3>").format(right, wrong)
        body += title + faces(_framed(each, pictures) for each in trials)
    return body


def _framed(each: Disagreement, pictures: Pictures | None) -> tuple[list[Markup], Markup]:
    mistake, shown = each.mistake, []
    for name in dict.fromkeys((mistake.left, mistake.right)):
        if pictures is not None and (found := pictures(name)) is not None:
            shown.append(found)
    what = "searched, found by mistake" if mistake.search else "one person" if mistake.same else "two people"
    scores = " / ".join("no face" if score is None else f"{score:.3f}" for score in (each.score, mistake.score))
    caption = Markup("<b>{}</b> {}<br>{}<br>{}")
    return shown, caption.format(scores, what, *mistake_words(mistake))


def comparison_markdown(comparison: Comparison) -> str:
    """The tables of the page."""
    parts = [f"# {escaped(' / '.join(comparison.models))}"]
    if comparison.differences:
        parts += ["## Differences", escaped(NOTE), pipe_table(_worded(difference_rows(comparison)))]
    for name, rows in side_by_side(comparison).items():
        parts += [f"## {escaped(name)}", escaped(comparison.notes.get(name, "")), pipe_table(_worded(rows))]
    return "\n\n".join(part for part in parts if part) + "\n"
