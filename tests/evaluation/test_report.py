"""Every kind of report has its figures, tables, pictures, Markdown and JSON; digests name the data."""

import itertools
import re
from dataclasses import replace

import numpy as np
import pytest

from facezoo.evaluation import Photo, Verification, evaluate, read_json, write_json
from facezoo.evaluation.all_pairs import AllPairs
from facezoo.evaluation.digests import list_digest, photos_digest
from facezoo.evaluation.group_rates import GroupPart
from facezoo.evaluation.html import figure_svg
from facezoo.evaluation.identification import Identification
from facezoo.evaluation.ijb import IJB, Gallery
from facezoo.evaluation.lines import Line, lines_of, lines_over, with_equal
from facezoo.evaluation.markdown import pipe_table, to_markdown, write_markdown
from facezoo.evaluation.megaface import MegaFace
from facezoo.evaluation.metrics import tally
from facezoo.evaluation.pages import crops_of, metric_words, report_page
from facezoo.evaluation.plots import cmc_lines, det_lines, overlaid_figures, report_figures
from facezoo.evaluation.quality_curves import QualityPart
from facezoo.evaluation.report import Report
from facezoo.evaluation.scored_pairs import thinned_roc
from facezoo.types import Contract

PEOPLE, EACH = 40, 4


def photos_and_embeddings(spread=0.7):
    generator = np.random.default_rng(0)
    identity = np.repeat(np.arange(PEOPLE), EACH)
    photos = [Photo(f"p{p}/{k}", generator.integers(0, 256, (40, 40, 3), np.uint8)) for k, p in enumerate(identity)]
    centres = generator.normal(size=(PEOPLE, 8))
    return photos, identity, centres[identity] + spread * generator.normal(size=(len(identity), 8))


def verification():
    photos, identity, embeddings = photos_and_embeddings()
    left, right = np.triu_indices(len(identity), 1)
    kept = (identity[left] == identity[right]) | (np.arange(len(left)) % 40 == 0)
    left, right = left[kept], right[kept]
    parts = (
        GroupPart(["even", "odd"], identity % 2),
        QualityPart("sharpness", np.random.default_rng(1).random(len(photos)), "images", "fixed"),
    )
    same = identity[left] == identity[right]
    return Verification("pairs", photos, left, right, same, 5, None, identity, resamples=10, parts=parts), embeddings


def all_pairs():
    photos, identity, embeddings = photos_and_embeddings()
    return AllPairs("every", photos, identity, resamples=10), embeddings


def identification():
    photos, identity, embeddings = photos_and_embeddings()
    gallery = np.flatnonzero((np.arange(len(photos)) % EACH == 0) & (identity < 30))
    probes = np.flatnonzero(np.arange(len(photos)) % EACH > 0)
    made = Identification("search", photos, gallery, probes, identity[gallery], identity[probes], resamples=10)
    return made, embeddings


def megaface():
    photos, identity, embeddings = photos_and_embeddings()
    return MegaFace("mega", photos, identity[:80], 80, aligned=None, resamples=10), embeddings


def ijb():
    photos, _identity, embeddings = photos_and_embeddings()
    template = np.arange(len(photos)) // 2
    subject = np.repeat(np.arange(PEOPLE), 2)
    left, right = (side.ravel() for side in np.meshgrid(np.arange(80), np.arange(80)))
    kept = left < right
    pairs = (left[kept], right[kept], subject[left[kept]] == subject[right[kept]])
    halves = [Gallery(f"G{k + 1}", np.arange(0, 80, 2)[k::2], subject[::2][k::2]) for k in range(2)]
    probes = Gallery("probe", np.arange(1, 80, 2), subject[1::2])
    made = IJB(
        "ijb", photos, np.arange(len(photos)), template, np.arange(len(photos)), np.ones(len(photos)),
        pairs, halves, probes, resamples=10,
    )  # fmt: skip
    return made, embeddings


KINDS = {
    verification: ["ROC", "DET", "FNMR over the share discarded", "scores"],
    all_pairs: ["ROC", "DET", "scores"],
    identification: ["CMC", "FNIR over FPIR", "size of the gallery", "scores"],
    megaface: ["CMC", "size of the gallery"],
    ijb: ["ROC", "DET", "CMC", "FNIR over FPIR", "size of the gallery", "scores"],
}


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: kind.__name__)
def scored(request):
    """A benchmark of each kind with its report, and the words of its figures."""
    benchmark, embeddings = request.param()
    report = replace(benchmark.score(embeddings), contract=Contract(template="arcface"))
    return benchmark, report, KINDS[request.param]


def test_every_curve_of_a_report_is_drawn(scored):
    _, report, words = scored
    drawn = report_figures(report)
    assert len(drawn) == len(words)
    for (figure, alt), word in zip(drawn, words, strict=True):
        assert word in alt
        figure_svg(figure, alt)
    kinds = {name.partition("/")[0] for name in report.curves}
    lines = sum(len(lines_of(report, kind)) for kind in kinds - {"histogram"})
    assert lines == len(report.curves) - ("histogram" in kinds)


def test_the_page_of_every_kind_has_its_tables_and_pictures(scored):
    benchmark, report, words = scored
    text = report_page([report], [benchmark])
    assert text.count("data:image/svg+xml") == len(words)
    assert report.mistakes and text.count("data:image/jpeg") == 2 * len(report.mistakes)
    for title in report.tables:
        assert title in text
    assert ("template 0: " in text) == (benchmark.name == "ijb")
    assert ("Worst searches" in text) == any(mistake.search for mistake in report.mistakes)
    assert ("Worst false" in text) == any(not mistake.search for mistake in report.mistakes)


def test_every_kind_survives_json_and_has_its_markdown(scored, tmp_path):
    _, report, _ = scored
    write_json([report], tmp_path / "report.json")
    assert read_json(tmp_path / "report.json") == [report]
    write_markdown([report], tmp_path / "report.md")
    lines = (tmp_path / "report.md").read_text().splitlines()
    assert f"## {report.name}" in lines
    for above, line in itertools.pairwise(lines):
        if line.startswith("| ---"):
            assert len(re.findall(r"(?<!\\)\|", above)) == line.count("|")


def test_a_thinned_curve_goes_through_the_point_of_equal_errors():
    line = Line("thin", {"fmr": [0.0, 0.01, 0.3, 1.0], "fnmr": [1.0, 0.2, 0.05, 0.0]}, 0.1)
    fmr, fnmr = with_equal(line)
    assert fmr.tolist() == [0.0, 0.01, 0.1, 0.3, 1.0]
    assert fnmr.tolist() == [1.0, 0.2, 0.1, 0.05, 0.0]


def test_a_model_without_a_mistake_is_drawn_at_the_rate_that_its_pairs_could_show():
    perfect = {"fmr": [0.0, 1.0], "fnmr": [0.0, 0.0]}
    known = Line("perfect", perfect, trials={"fmr": 1000, "fnmr": 200})
    assert (known.floor("fmr"), known.floor("fnmr")) == (0.0005, 0.0025)
    assert Line("unknown", perfect).floor("fmr") == 0.005
    assert Line("seen", {"fmr": [0.0, 1e-4, 1.0]}, trials={"fmr": 1000}).floor("fmr") == 5e-5


def test_the_mark_of_equal_errors_lies_on_its_curve_beside_a_model_without_a_mistake():
    trials = {"fmr": 300, "fnmr": 90}
    perfect = Line("perfect", {"fmr": [0.0, 1.0], "fnmr": [0.0, 0.0]}, 0.0, trials)
    few = Line("few", {"fmr": [0.0, 0.0, 0.0033, 1.0], "fnmr": [1.0, 0.011, 0.0, 0.0]}, 0.0032, trials)
    zero, curve, mark, _ = det_lines([perfect, few]).axes[0].get_lines()
    points = list(zip(*curve.get_data()))
    assert any(np.allclose(point, np.ravel(mark.get_data())) for point in points)
    assert zero.get_ydata().min() == pytest.approx(curve.get_ydata().min())


def test_ranks_are_whole_numbers_and_covered_lines_are_seen():
    points = {"rank": [1.0, 2.0, 5.0], "rate": [0.5, 0.75, 1.0]}
    axes = cmc_lines([Line("G1", points), Line("G2", points)]).axes[0]
    assert axes.get_xticks().tolist() == [1, 2, 3, 4, 5]
    far = {"rank": [1.0, 50.0], "rate": [0.5, 1.0]}
    assert cmc_lines([Line("G1", far)]).axes[0].get_xticks().tolist() == [1, 2, 5, 10, 20, 50]
    first, second = axes.get_lines()
    assert (first.get_linestyle(), second.get_linestyle()) == ("-", "--")
    assert first.get_linewidth() > second.get_linewidth()


def test_several_reports_share_the_figures_that_more_than_one_has():
    reports = [kind()[0].score(kind()[1]) for kind in (verification, all_pairs, identification, megaface)]
    alts = [alt for _, alt in overlaid_figures(reports, "all")]
    assert [alt.removesuffix(" of all") for alt in alts] == [
        "ROC", "DET", "CMC", "rank-1 rate over the size of the gallery",
    ]  # fmt: skip


def test_a_report_that_only_has_groups_gives_a_line_for_each():
    points = {"fmr": [0.0, 1.0], "fnmr": [1.0, 0.0], "threshold": [1.0, 0.0]}
    report = Report("rfw", {"African/eer": 0.1}, curves={"roc/African": points, "roc/Asian": points})
    assert [line.label for line in lines_over([report], "roc")] == ["rfw African", "rfw Asian"]
    assert [line.equal for line in lines_of(report, "roc")] == [0.1, None]


def test_a_thinned_curve_never_promises_more_than_was_measured():
    generator = np.random.default_rng(0)
    same = np.arange(20000) < 4000
    counted = tally(generator.normal(size=20000) + 2 * same, same)
    thin = thinned_roc(counted)
    fmr, fnmr = np.array(thin["fmr"]), np.array(thin["fnmr"])
    assert len(fmr) < 500
    # In steps the curve keeps the FNMR of the last point whose FMR is not above a rate.
    at = np.searchsorted(fmr, counted.fmr, side="right") - 1
    best = np.array([counted.fnmr[counted.fmr <= rate].min() for rate in counted.fmr[::50]])
    assert (fnmr[at][::50] >= best - 1e-12).all()
    assert np.abs(fnmr[at][::50] - best).max() < 0.02


def test_digests_name_the_photos_and_the_lists_and_not_their_place(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x").write_bytes(b"12")
    first, second = (photos_digest([Photo("x", tmp_path / folder / "x")]) for folder in ("a", "b"))
    assert first == second
    (tmp_path / "a" / "x").write_bytes(b"123")
    assert photos_digest([Photo("x", tmp_path / "a" / "x")]) != first
    assert photos_digest([Photo("x", tmp_path / "b" / "x", np.zeros((5, 2)))]) != first
    made, _ = verification()
    assert list_digest(made) == list_digest(replace(made, resamples=3))
    assert list_digest(made) != list_digest(replace(made, same=made.same, left=made.left[::-1], identity=None))


class Given:
    """A model that gives what it is told to, whatever the crops."""

    contract = Contract(template="arcface")

    def __init__(self, embeddings):
        self.embeddings = embeddings

    def __call__(self, crops):
        return self.embeddings[: sum(1 for _ in crops)]


def test_a_report_carries_the_digests():
    made, embeddings = verification()
    report = evaluate(replace(made, aligned="arcface", parts=()), Given(embeddings))
    assert report.protocol["digest of the photos"] == photos_digest(made.photos)
    assert re.fullmatch("[0-9a-f]{16}", str(report.protocol["digest of the lists"]))


def test_the_pictures_are_the_crops_that_the_model_saw():
    photo = Photo("x", np.zeros((90, 60, 3), np.uint8), np.array([[20, 30], [40, 30], [30, 40], [22, 50], [38, 50.0]]))
    made = Verification("toy", [photo, Photo("y", photo.source)], np.array([0, 0]), np.array([1, 1]), np.array([1, 0]))
    shown = crops_of(made, Contract(input_size=(64, 64)))
    assert shown("x") is not None and shown("y") is not None and shown("z") is None
    found = crops_of(made, Contract(input_size=(64, 64)), lambda image: photo.landmarks)
    assert found("y") == str(shown("x")).replace('alt="x"', 'alt="y"') != shown("y")


def test_metrics_have_names_that_people_read():
    assert metric_words("African/tar@far=1e-3") == "African: TAR at FAR 1e-3"
    assert metric_words("tpir@fpir=1e-2") == "TPIR at FPIR 1e-2"
    assert metric_words("relative_pauc@0.2/sharpness@far=1e-3") == "relative pAUC to 0.2 of sharpness at FAR 1e-3"
    assert metric_words("rank1") == "rank 1"


def test_markdown_keeps_text_as_text():
    assert pipe_table([["a|b", "x_y"], ["<i>", "1"]]) == "| a\\|b | x\\_y |\n| --- | ---: |\n| \\<i\\> | 1 |"
    assert "# Embeddings" in to_markdown([Report("plain", {"accuracy": 0.5})])
