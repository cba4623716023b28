"""The page of a model's reports: figures, metrics with intervals, tables, protocol, worst mistakes, contract."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TypeAlias

from markupsafe import Markup

from facezoo.evaluation.html import Section, breakable, facts, figure_svg, figures, grid, page, picture, render
from facezoo.evaluation.photos import Crops, Locate
from facezoo.evaluation.plots import overlaid_figures, report_figures
from facezoo.evaluation.report import (
    COLUMNS,
    RECOMMENDED,
    Mistake,
    Report,
    Table,
    show,
    show_interval,
    shown_cosine,
    shown_table,
    table_rows,
)
from facezoo.evaluation.run import Benchmark
from facezoo.files import write_text
from facezoo.types import Contract, InputError

Pictures: TypeAlias = Callable[[str], Markup | None]
"""The face in a photo, by the photo's name; None where it cannot be shown."""

HEADLINE = (
    "accuracy",
    "tar@far=1e-3",
    "tar@far=1e-4",
    "tar@far=1e-6",
    "eer",
    "rank1",
    "rank10",
    "tpir@fpir=1e-1",
    "tpir@fpir=1e-2",
    "fdr@far=1e-3",
    "garbe@far=1e-3",
)
"""Metrics shown large, as far as they were measured."""

GALLERIES: tuple[tuple[str, Callable[[Mistake], bool]], ...] = (
    ("Worst false matches: two people taken for one", lambda mistake: not mistake.same and not mistake.search),
    ("Worst false non-matches: one person taken for two", lambda mistake: mistake.same),
    ("Worst searches: a probe beside the wrong identity that came first", lambda mistake: mistake.search),
)


def write_html(
    reports: Sequence[Report], path: Path, benchmarks: Sequence[Benchmark] = (), locate: Locate | None = None
) -> None:
    """Write `report_page` to one file."""
    write_text(path, report_page(reports, benchmarks, locate))


def report_page(reports: Sequence[Report], benchmarks: Sequence[Benchmark] = (), locate: Locate | None = None) -> str:
    """The page of one model's reports.

    Args:
        reports: of one model.
        benchmarks: those that were scored, in the same order: their photos illustrate the mistakes.
        locate: finds the face in the photos of a benchmark without landmarks, as for the embedding; without it such
            photos are shown as a whole.
    """
    sections = []
    if len(reports) > 1:
        both = [figure_svg(figure, alt) for figure, alt in overlaid_figures(reports, "all benchmarks")]
        sections.append(Section("All benchmarks", grid(overview(reports)) + figures(both)))
    contract = next((report.contract for report in reports if report.contract), None)
    for k, report in enumerate(reports):
        pictures = crops_of(benchmarks[k], report.contract, locate) if benchmarks else _no_picture
        sections.append(Section(report.name, report_body(report, pictures)))
    if contract is not None:
        sections.append(Section("Model contract", contract_facts(contract)))
    model = contract.name if contract is not None else "embeddings"
    names = ", ".join(f"{report.name} ({size_words(report)})" for report in reports)
    return page(f"{_task(reports)}: {model}", sections, lead=f"Scored on {names}.")


def overview(reports: Sequence[Report]) -> list[list[str]]:
    """`table_rows` with the names of metrics as words."""
    head, *cells = table_rows(reports)
    return [[metric_words(name) if name in COLUMNS else name for name in head], *cells]


def _task(reports: Sequence[Report]) -> str:
    compared = ["rank1" not in report.metrics for report in reports]
    if all(compared):
        return "Face verification"
    return "Face recognition" if any("eer" in report.metrics for report in reports) else "Face identification"


def size_words(report: Report) -> str:
    """`3,000 pairs`, or how many probes or trials."""
    for what in ("pairs", "trials", "probes"):
        count = report.protocol.get(what)
        if isinstance(count, int):
            return f"{count:,} {what}"
    return "size not stated"


def contract_facts(contract: Contract) -> Markup:
    """The contract as a table of words."""
    values = {word.replace("_", " "): value for word, value in asdict(contract).items()}
    return facts({word: "not stated" if value in (None, "") else value for word, value in values.items()})


def _no_picture(name: str) -> None:
    return None


def crops_of(benchmark: Benchmark, contract: Contract | None, locate: Locate | None = None) -> Pictures:
    """Gives the crop that the model saw of each photo; the whole photo where no face is known.

    Without a contract the crops of the default one. Photos that are not there any more or cannot be read are not shown.
    """
    photos = {photo.name: photo for photo in reversed(benchmark.photos)}  # the first of a name
    crops = Crops((), contract or Contract(template=benchmark.aligned or "arcface"), benchmark.aligned, locate)

    def shown(name: str) -> Markup | None:
        photo = photos.get(name)
        if photo is None or (isinstance(photo.source, Path) and not photo.source.is_file()):
            return None
        try:
            crop = crops.crop(photo)
            return picture(photo.read() if crop is None else crop, name)
        except InputError:  # it cannot be read: the protocol counts such photos
            return None

    return shown


def report_body(report: Report, pictures: Pictures = _no_picture) -> Markup:
    """One report without its heading; mistakes are shown with the pictures that are given."""
    leading = [name for name in HEADLINE if report.metrics.get(name) is not None]
    levels = {f"{100 * interval.level:g} %" for interval in report.intervals.values()}
    methods = sorted({interval.method for interval in report.intervals.values()})
    found = [(title, [mistake for mistake in report.mistakes if of(mistake)]) for title, of in GALLERIES]
    return Markup(
        render(
            "report.html",
            recommended=report.protocol.get(RECOMMENDED, ""),
            headline=_recommended(report) + [_metric_row(report, name) for name in leading],
            figures=[figure_svg(figure, alt) for figure, alt in report_figures(report)],
            metrics=[_metric_row(report, name) for name in report.metrics] + _extra_intervals(report),
            unmeasured=None in report.metrics.values(),
            level=" / ".join(sorted(levels)),
            methods="; ".join(methods),
            tables=[(title, grid(worded_table(title, rows))) for title, rows in report.tables.items()],
            protocol=facts(_protocol(report)),
            galleries=[(title, [_shown(m, pictures) for m in mistakes]) for title, mistakes in found if mistakes],
        )
    )


def worded_table(title: str, rows: Table) -> list[list[str]]:
    """`shown_table` with the names of metrics in its head as words."""
    head, *cells = shown_table(title, rows)
    return [[metric_words(name) for name in head], *cells]


def _protocol(report: Report) -> Mapping[str, str | int | float]:
    words = {**report.protocol, "facezoo": report.version}
    if report.speed is not None:
        speed = report.speed
        words["speed"] = f"{speed.photos:,} photos in {speed.seconds:.1f} s, {speed.photos_per_second:.1f} photos/s"
    return protocol_words(words)


def protocol_words(words: Mapping[str, str | int | float]) -> dict[str, str | int | float]:
    """The protocol as people read it; what is the same of several FARs or FPIRs is said once."""
    found: dict[str, str | int | float] = {}
    told: dict[object, str] = {}
    for word, value in words.items():
        kind, _, rate = word.rpartition("=")
        if "@" in kind and (kind, value) in told:
            before = told[kind, value]
            told[kind, value] = f"{before}, {rate}"
            found = {told[kind, value] if name == before else name: text for name, text in found.items()}
            continue
        name = metric_words(word) if "@" in word else word
        if "@" in kind:
            told[kind, value] = name
        found[name] = f"{value:,}" if isinstance(value, int) else value
    return found


def _metric_row(report: Report, name: str) -> tuple[str, str, str]:
    return metric_words(name), show(name, report.metrics[name]), show_interval(name, report.intervals.get(name))


def _recommended(report: Report) -> list[tuple[str, str, str]]:
    """The threshold that is recommended, before all metrics."""
    threshold = report.metrics.get("threshold")
    if RECOMMENDED not in report.protocol or threshold is None:
        return []
    shown = shown_cosine(threshold)
    return [("recommended threshold, cosine", shown, show_interval("threshold", report.intervals.get("threshold")))]


def _extra_intervals(report: Report) -> list[tuple[str, str, str]]:
    """Second intervals of a metric, such as that over folds beside the bootstrap."""
    extra = [name for name in report.intervals if name not in report.metrics]
    return [(metric_words(name), "", show_interval(name, report.intervals[name])) for name in extra]


ABBREVIATIONS = ("tar", "fmr", "fnmr", "eer", "auc", "tpir", "fpir", "fdr", "garbe")
NAMES = {"min_dcf": "min DCF", "d_prime": "d'"}
AREA = re.compile(r"(relative_)?pauc@([^/]+)/(.+)@far=([^@]+)")
AT = {"far": "FAR", "fpir": "FPIR", "fmr": "FMR"}


def metric_words(metric: str) -> str:
    """`African/tar@far=1e-3` as African: TAR at FAR 1e-3."""
    if area := AREA.fullmatch(metric):
        relative, share, quality, far = area.groups()
        return f"{'relative ' if relative else ''}pAUC to {share} of {quality} at FAR {far}"
    group, _, name = metric.rpartition("/")
    kind, at, rest = name.partition("@")
    kind = kind.upper() if kind in ABBREVIATIONS else NAMES.get(kind, kind.replace("_", " "))
    if kind.startswith("rank") and kind[4:].isdecimal():
        kind = f"rank {kind[4:]}"
    rate, equals, value = rest.partition("=")
    words = f"{kind} at {AT.get(rate, rate)} {value}" if equals else f"{kind}{at}{rest}"
    return f"{group}: {words}" if group else words


def _shown(mistake: Mistake, pictures: Pictures) -> dict[str, object]:
    shown = [found for name in (mistake.left, mistake.right) if (found := pictures(name)) is not None]
    score = "no face" if mistake.score is None else f"{mistake.score:.3f}"
    left, right = mistake_words(mistake)
    return {"pictures": shown, "score": score, "left": left, "right": right}


def mistake_words(mistake: Mistake) -> tuple[Markup, Markup]:
    """What is on the left and on the right: the photos, and what they stand for where that is more."""
    photos = breakable(mistake.left), breakable(mistake.right)
    if mistake.of is None:
        return photos
    left, right = (Markup("{}: {}").format(word, photo) for word, photo in zip(mistake.of, photos))
    return left, right
