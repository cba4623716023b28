"""Reports as Markdown: pipe tables, one section for each benchmark."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from facezoo.evaluation.pages import metric_words, overview, protocol_words, worded_table
from facezoo.evaluation.report import Report, numbers, show, show_interval
from facezoo.files import write_text


def write_markdown(reports: Sequence[Report], path: Path) -> None:
    """Write `to_markdown` to one file."""
    write_text(path, to_markdown(reports))


def to_markdown(reports: Sequence[Report]) -> str:
    """The reports of one model: an overview, then metrics, tables and protocol of each benchmark, then the contract."""
    contract = next((report.contract for report in reports if report.contract), None)
    parts = [f"# {escaped(contract.name if contract else 'Embeddings')}", pipe_table(overview(reports))]
    for report in reports:
        parts += [f"## {escaped(report.name)}", pipe_table(_metrics(report))]
        for title, rows in report.tables.items():
            parts += [f"### {escaped(title)}", pipe_table(worded_table(title, rows))]
        parts += ["### Protocol", pipe_table(_words(protocol_words({**report.protocol, "facezoo": report.version})))]
    if contract is not None:
        parts += ["## Model contract", pipe_table(_words(asdict(contract)))]
    return "\n\n".join(parts) + "\n"


def _metrics(report: Report) -> list[list[str]]:
    head = ["metric", "value", "interval", "by"]
    rows = []
    for name in dict.fromkeys([*report.metrics, *report.intervals]):
        found = report.intervals.get(name)
        value = show(name, report.metrics[name]) if name in report.metrics else ""
        by = f"{found.method}, {100 * found.level:g} %" if found else ""
        rows.append([metric_words(name), value, show_interval(name, found), by])
    return [head, *rows]


def _words(values: Mapping[str, object]) -> list[list[str]]:
    return [["", ""], *([word, str(value)] for word, value in values.items())]


def pipe_table(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells, the first of them the head; columns of numbers are flush right."""

    def line(cells: Iterable[str]) -> str:
        return f"| {' | '.join(cells)} |"

    columns = list(zip(*rows[1:])) or [()] * len(rows[0])
    rule = line("---:" if place and numbers(cells) else "---" for place, cells in enumerate(columns))
    lines = [line(map(escaped, row)) for row in rows]
    return "\n".join([lines[0], rule, *lines[1:]])


SPECIAL = str.maketrans({**{sign: f"\\{sign}" for sign in "\\`*_[]<>|#"}, "\n": " "})


def escaped(text: str) -> str:
    """Text that stays text in a cell or a heading."""
    return text.translate(SPECIAL)
