"""The command that recommends a threshold from the user's own photos."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from facezoo.cli.app import app, print_json
from facezoo.cli.models import Extraction, check_fit
from facezoo.cli.outputs import check_reports
from facezoo.types import InputError

if TYPE_CHECKING:
    from facezoo.evaluation.all_pairs import AllPairs
    from facezoo.evaluation.calibration import Calibration, Method
    from facezoo.evaluation.operating import Point
    from facezoo.evaluation.pair_counts import PairCounts
    from facezoo.evaluation.report import Interval, Report
    from facezoo.evaluation.run import Embedded
    from facezoo.types import Contract


@app.command
def threshold(
    model: str,
    folder: Path,
    /,
    *,
    fmr: tuple[float, ...] = (1e-3,),
    aligned: str | None = None,
    landmarks: Path | None = None,
    equal: Literal["pairs", "identities"] = "pairs",
    groups: str | None = None,
    masked: Literal["probe", "both"] | None = None,
    write: Path | None = None,
    calibrate: Path | None = None,
    calibration: Literal["logistic", "isotonic"] = "logistic",
    contract: Path | None = None,
    flip: bool | None = None,
    batch_size: int = 32,
    device: str = "cpu",
    detector: str = "yunet:threads=1",
    features: Path | None = None,
    state: Path | None = None,
    resamples: int = 1000,
    seed: int = 0,
    html: Path | None = None,
    out: Path | None = None,
    json: bool = False,
) -> None:
    """Recommend a threshold for a false match rate, from your own photos.

    Every photo of the folder is compared with every other. The threshold is the smallest cosine at which no more
    than the wanted share of pairs of different people is accepted. An FMR that so few pairs cannot show is
    extrapolated, and said to be.

    Args:
        model: name such as dlib-resnet29, .onnx or .safetensors file, run folder, or folder of features.
        folder: one folder of photos for each person.
        fmr: false match rate that must not be exceeded; give it again for more rows, the first one is recommended.
        aligned: the photos are crops already, aligned to this template (arcface).
        landmarks: CSV of five points for each photo instead of asking the detector.
        equal: every pair counts alike, or every identity and pair of identities.
        groups: CSV with the columns path,group, or the level of folders that are groups: adds rates by group.
        masked: the threshold is that of faces with masks: of each photo against masked copies of the others (probe), or
            of masked copies alone (both).
        write: also write a copy of the model file whose contract states the threshold here.
        calibrate: also write a calibration of cosines to log-likelihood ratios here, as JSON.
        calibration: its kind.
        contract: TOML file of the model's contract, for a file that carries none.
        flip: add the embedding of the mirror image, or do not, whatever the contract says.
        batch_size: crops per forward pass.
        device: of a torch model.
        detector: finds landmarks in raw photos that come without.
        features: folder in which embeddings are kept, and found again in the next run.
        state: file from which an interrupted comparison of many photos goes on.
        resamples: of the intervals; identities are drawn.
        seed: of the intervals.
        html: also write a page with the curves here.
        out: also write the report here, as JSON.
        json: print the result as JSON.
    """
    from facezoo import evaluation
    from facezoo.contract import write_contract
    from facezoo.evaluation.all_pairs import FARS, all_pairs
    from facezoo.evaluation.masked import masked_benchmark
    from facezoo.evaluation.operating import operating_points, point_rows
    from facezoo.evaluation.pages import write_html
    from facezoo.evaluation.report import RECOMMENDED, shown_cosine
    from facezoo.evaluation.run import told
    from facezoo.evaluation.verification import far_name

    check_reports(html, out, write, calibrate)
    targets = tuple(dict.fromkeys(fmr))
    if not targets:
        raise InputError("--fmr: a false match rate is needed, such as 1e-3")
    made = all_pairs(folder, aligned, landmarks, equal, state=state, groups=groups, resamples=resamples, seed=seed)
    made = replace(made, fars=tuple(sorted({*FARS, *targets}, reverse=True)))
    how = Extraction(contract, flip, batch_size, device, detector, features)
    embed, embeddings_of = how.open(model)
    check_fit(model, embed, [made])
    if write and not Path(model).is_file():
        raise InputError(f"--write: {model} is no model file, .onnx or .safetensors, that could be copied")
    if write and write.suffix != Path(model).suffix:
        raise InputError(f"--write {write}: a copy of {model} ends with {Path(model).suffix}, as the model does")
    notes: dict[str, str | int] = {}
    if masked:
        if calibrate and masked == "probe":
            raise InputError("--calibrate: is fitted to photos that are all alike masked; give --masked both")
        pair = masked_benchmark(made, masked)
        embedded = pair.halves(embeddings_of(pair, embed, how.locate([pair])))[0]
        made, notes = pair.masked, pair.notes
    else:
        embedded = embeddings_of(made, embed, how.locate([made]))
    counts = made.count(embedded.embeddings, embedded.failed)
    points = operating_points(counts, targets, resamples, seed)
    first = points[0]
    shown = first.threshold if first.measurable else None
    report = told(made.report(counts, embedded.embeddings, shown), made, embed.contract, embedded)
    report = replace(report, tables={TITLE: point_rows(points), **report.tables}, protocol={**report.protocol, **notes})
    if first.measurable:
        words = "; ".join((f"for FMR {far_name(first.target)}: {_recommendation(first)}", *first.warnings))
        # The page draws its line and picks its mistakes at `threshold` where there is one.
        report = replace(
            report,
            metrics={"threshold": first.threshold, **report.metrics},
            intervals={**_own_interval(first), **report.intervals},
            protocol={RECOMMENDED: words, **report.protocol},
        )
    extrapolated = [_extrapolated(counts, point, resamples, seed) for point in points if not point.measurable]
    if extrapolated:
        report = replace(report, protocol={**report.protocol, "extrapolated": "; ".join(extrapolated)})
    if calibrate:
        fitted = _calibration(counts, made, embedded, calibration, embed.contract, seed)
        fitted.write(calibrate)
    if write and first.measurable:
        write_contract(Path(model), write, replace(embed.contract, threshold=first.threshold))
    if out:
        evaluation.write_json([report], out)
    if html:
        write_html([report], html, [made])
    if json:
        print_json({"recommended": asdict(first), "points": [asdict(point) for point in points], **report.to_dict()})
    else:
        _print(report, points)
        for line in extrapolated:
            print(line)
        if calibrate:
            print(
                f"{calibrate}: {calibration} calibration, Cllr {fitted.cllr:.4f} bit on people it was not fitted to "
                f"(the scores allow {fitted.min_cllr:.4f})"
            )
        if write and first.measurable:
            print(f"{write}: a copy of the model that states the threshold {shown_cosine(first.threshold)}")
    if write and not first.measurable:
        raise InputError(f"--write: no model written, FMR {far_name(first.target)} is {first.warnings[0]}")


TITLE = "Thresholds"


def _extrapolated(counts: PairCounts, point: Point, resamples: int, seed: int) -> str:
    from facezoo.evaluation.extremes import extrapolate
    from facezoo.evaluation.verification import far_name

    try:
        return extrapolate(counts, point.target, resamples=min(resamples, 200), seed=seed).sentence()
    except InputError as error:
        return f"FMR {far_name(point.target)} is not extrapolated either: {error}"


def _calibration(
    counts: PairCounts, made: AllPairs, embedded: Embedded, method: Method, contract: Contract, seed: int
) -> Calibration:
    from facezoo.evaluation.calibration import fit_calibration, held_out
    from facezoo.evaluation.pair_counting import count_digest

    cost, least = held_out(embedded.embeddings, made.identity, embedded.failed, method, seed=seed, equal=made.equal)
    fitted = fit_calibration(counts.tally(), method)
    digest = count_digest(embedded.embeddings, made.identity, embedded.failed)
    return replace(fitted, cllr=cost, min_cllr=least, data=digest, contract=contract)


def _print(report: Report, points: list[Point]) -> None:
    from facezoo.evaluation.report import NO_FACE, aligned_columns, shown_cosine, shown_table
    from facezoo.evaluation.verification import far_name

    words = report.protocol
    print(
        f"{report.name}: {words['photos']:,} photos of {words['identities']:,} people, {words[NO_FACE]} without face; "
        f"{words['genuine pairs']:,} genuine and {words['impostor pairs']:,} impostor pairs"
    )
    rows = [["FMR wanted", "threshold", "95 % interval", "FMR", "95 % interval", "FNMR", "95 % interval", "errors"]]
    for point in points:
        cells = [far_name(point.target)]
        for kind, form in (("threshold", "{:.4f}"), ("fmr", "{:.1e}"), ("fnmr", "{:.2%}")):
            shown = point.measurable or kind == "fmr"
            value = getattr(point, kind)
            cells += [(shown_cosine(value) if kind == "threshold" else form.format(value)) if shown else "n/m"]
            cells += [_range(point.intervals.get(kind), form) if shown else ""]
        rows.append([*cells, f"{point.false_matches:,.0f}"])
    print(aligned_columns(rows))
    first = points[0]
    if first.measurable:
        print(f"recommended for FMR {far_name(first.target)}: {_recommendation(first)}")
    else:
        print(f"no threshold is recommended for FMR {far_name(first.target)}")
    for point in points:
        for warning in point.warnings:
            print(f"FMR {far_name(point.target)}: {warning}")
    for title, table in report.tables.items():
        if title != TITLE:
            print(f"\n{title}")
            print(aligned_columns(shown_table(title, table)))


def _own_interval(point: Point) -> dict[str, Interval]:
    found = point.intervals.get("threshold")
    return {"threshold": found} if found else {}


def _recommendation(point: Point) -> str:
    """The threshold, and in the measures of other projects; the angle is rounded to the strict side."""
    from facezoo.evaluation.operating import squared_distance, strict_angle
    from facezoo.evaluation.report import shown_cosine

    cosine = point.threshold
    return (
        f"cosine {shown_cosine(cosine)} and above (squared L2 distance {shown_cosine(squared_distance(cosine))} and "
        f"below, angle {strict_angle(cosine):.4f} degrees and below)"
    )


def _range(interval: Interval | None, form: str) -> str:
    return f"[{form.format(interval.low)}, {form.format(interval.high)}]" if interval else ""
