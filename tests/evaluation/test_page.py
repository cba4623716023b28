"""Reports as table, JSON and page."""

import base64
import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from facezoo.evaluation import Photo, Verification, read_json, table, write_json
from facezoo.evaluation.html import Section, faces, facts, figure_svg, grid, page, picture, unbroken
from facezoo.evaluation.lines import lines_of
from facezoo.evaluation.pages import protocol_words, report_page, write_html
from facezoo.evaluation.plots import det_figure, histogram_figure, open_set_lines, roc_figure
from facezoo.evaluation.report import Interval, Report, Speed, show, show_interval, shown_table
from facezoo.image import decode_image
from facezoo.types import Contract, InputError


def overlapping(name="toy", seed=0):
    """A benchmark with photos and embeddings that are good, not perfect."""
    generator = np.random.default_rng(seed)
    person = np.repeat(np.arange(60), 2)
    photos = [Photo(f"<{p}>/{k}", generator.integers(0, 256, (40, 30, 3), np.uint8)) for k, p in enumerate(person)]
    centres = generator.normal(size=(60, 6))
    embeddings = centres[person] + generator.normal(0, 0.5, (120, 6))
    left = np.concatenate([np.arange(0, 120, 2)] * 2)
    right = np.concatenate([np.arange(1, 120, 2), np.roll(np.arange(0, 120, 2), 1)])
    benchmark = Verification(
        name, photos, left, right, person[left] == person[right], 5, "arcface", person, resamples=100
    )
    return benchmark, replace(benchmark.score(embeddings), contract=Contract(name="<model>"), speed=Speed(120, 4.0))


@pytest.fixture(scope="module")
def scored():
    return overlapping()


class Strict(HTMLParser):
    """Collects what a page loads and checks that its elements close."""

    VOID = frozenset({"meta", "img", "br", "wbr"})

    def __init__(self, text):
        super().__init__()
        self.open, self.loaded = [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.loaded += [value for key, value in attrs if key in ("src", "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def figures_of(text):
    return [base64.b64decode(found) for found in re.findall(r"data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)", text)]


def test_a_report_survives_json(scored, tmp_path):
    _, report = scored
    write_json([report], tmp_path / "report.json")
    assert read_json(tmp_path / "report.json") == [report]
    assert json.loads((tmp_path / "report.json").read_text())[0]["metrics"]["tar@far=1e-4"] is None


@pytest.mark.parametrize(
    ("text", "words"),
    [("{", "not valid JSON"), ("{}", "not a list"), ('[{"name": 1}]', "report: "), ("[1]", "not a list")],
)
def test_json_that_is_no_report_is_refused(tmp_path, text, words):
    path = tmp_path / "report.json"
    path.write_text(text)
    with pytest.raises(InputError, match=words):
        read_json(path)


def test_a_report_says_how_it_was_taken(scored):
    _, report = scored
    assert report.protocol["pairs"] == 120
    assert report.protocol["folds"] == 5
    assert report.protocol["tar@far=1e-3"].startswith("not measurable: 60 impostor pairs")
    assert report.intervals["accuracy"].method == "bootstrap over identities, 100 resamples, seed 0, percentile"
    assert report.intervals["accuracy_over_folds"].method == "t over 5 folds"
    low, high = report.intervals["accuracy"].low, report.intervals["accuracy"].high
    assert low < report.metrics["accuracy"] < high


def test_the_mistakes_are_the_worst_of_either_kind(scored):
    benchmark, _ = scored
    benchmark = replace(benchmark, resamples=0)
    embeddings = np.random.default_rng(1).integers(-1, 2, (len(benchmark.photos), 3)) + 0.5  # many equal scores
    failed = np.arange(len(benchmark.photos)) % 11 == 0
    scores = benchmark.scores(embeddings, failed)
    report = benchmark.score(embeddings, failed)

    ranked = sorted(range(len(scores)), key=lambda k: scores[k])
    threshold = report.metrics["threshold"]
    wrong = [k for k in ranked[::-1] if not benchmark.same[k] and scores[k] >= threshold][:12]
    wrong += [k for k in ranked if benchmark.same[k] and scores[k] < threshold][:12]
    assert [(m.left, m.right, m.same, -np.inf if m.score is None else m.score) for m in report.mistakes] == [
        (benchmark.photos[benchmark.left[k]].name, benchmark.photos[benchmark.right[k]].name, *pair)
        for k, pair in ((k, (bool(benchmark.same[k]), scores[k])) for k in wrong)
    ]
    assert len(wrong) == 24


def test_the_curve_keeps_the_corners_of_the_roc(scored):
    benchmark, report = scored
    fmr, fnmr = (np.array(report.curves["roc"][axis]) for axis in ("fmr", "fnmr"))
    area = np.sum(np.diff(fmr) * (2 - fnmr[1:] - fnmr[:-1]) / 2)
    assert area == pytest.approx(report.metrics["auc"], abs=1e-12)
    assert len(fmr) < len(benchmark.same)


def test_without_resamples_the_folds_give_the_interval(scored):
    benchmark, _ = scored
    report = replace(benchmark, resamples=0).score(np.random.default_rng(0).normal(size=(120, 6)))
    assert {name: interval.method for name, interval in report.intervals.items()} == {"accuracy": "t over 5 folds"}


def test_the_table_has_a_row_for_each_report(scored):
    _, report = scored
    plain = Report("plain", {"accuracy": 0.5, "tar@far=1e-2": 0.25, "tar@far=1e-4": None}, protocol={"pairs": 7})

    lines = table([report, plain]).splitlines()

    assert lines[0].split() == [
        "benchmark",
        "pairs",
        "accuracy",
        "95",
        "%",
        "interval",
        "std",
        "auc",
        "eer",
        "tar@far=1e-2",
        "photos/s",
    ]
    assert "30.0" in lines[2]
    assert "n/m" in lines[2]
    assert lines[3].split() == ["plain", "7", "50.00", "%", "25.00", "%"]


def test_searches_are_counted_by_their_probes_and_need_no_column_of_pairs():
    interval = {"rank1": Interval(0.25, 0.75, 0.95, "")}
    lines = table([Report("search", {"rank1": 0.5}, interval, protocol={"probes": 7})]).splitlines()
    assert lines[0].split() == ["benchmark", "probes", "rank1", "95", "%", "interval"]
    assert lines[2].split() == ["search", "7", "50.00", "%", "[25.00,", "75.00]"]


def test_a_small_rate_keeps_two_digits():
    assert show("fmr@far=1e-5", 9.81e-6) == "0.00098 %"
    assert show("African/fnmr", 0.25) == "25.00 %"


def test_the_cells_of_a_table_are_rates_by_their_column_or_by_the_title():
    rows = (("group", "genuine pairs", "FNMR", "from", "to"), ("A", 1200.0, 0.02, 0.01, None))
    assert shown_table("Groups", rows) == [
        ["group", "genuine pairs", "FNMR", "95 % interval"],
        ["A", "1,200", "2.00 %", "[1.00, n/m]"],
    ]
    assert shown_table("Groups", [rows[0], ("B", 2.0, None, None, None)])[1] == ["B", "2", "n/m", ""]
    assert shown_table("FMR across groups", (("group", "A"), ("A", 0.001)))[1] == ["A", "0.10 %"]
    assert shown_table("Thresholds", (("FMR wanted", "threshold"), ("1e-3", 0.312349912)))[1] == ["1e-3", "0.3123"]


def test_what_was_rounded_to_be_handed_on_is_shown_as_it_is():
    """A recommended threshold of six decimals would accept more in four."""
    rows = (("FMR wanted", "threshold", "squared L2"), ("1e-3", 0.396, 2 - 2 * 0.396), ("1e-4", 0.312345, 1.37531))
    assert shown_table("Thresholds", rows)[1:] == [["1e-3", "0.3960", "1.2080"], ["1e-4", "0.312345", "1.375310"]]


def test_one_and_zero_beside_other_scores_are_no_counts():
    rows = (("", "auc", "from", "to", "photos"), ("masked", 0.99, 0.97, 1.0, 12.0), ("plain", 1.0, 0.9, 1.0, 7.0))
    assert shown_table("masks", rows)[1:] == [
        ["masked", "0.9900", "[0.9700, 1.0000]", "12"],
        ["plain", "1.0000", "[0.9000, 1.0000]", "7"],
    ]


def test_metrics_are_shown_as_people_read_them():
    assert show("accuracy", 0.99371) == "99.37 %"
    assert show("auc", 0.99876) == "0.9988"
    assert show("tar@far=1e-4", None) == "n/m"
    assert show_interval("eer", Interval(0.01, 0.023, 0.95, "")) == "[1.00, 2.30]"


def test_the_page_stands_alone_and_holds_the_figures(scored, tmp_path):
    benchmark, report = scored
    write_html([report], tmp_path / "report.html", [benchmark])
    text = (tmp_path / "report.html").read_text()

    loaded = Strict(text).loaded

    assert all(address.startswith("data:") for address in loaded)
    assert "http" not in re.sub(r'"data:[^"]*"', "", text)
    assert "@import" not in text
    assert len(figures_of(text)) == 3
    for figure in figures_of(text):
        assert ET.fromstring(figure).tag.endswith("svg")
    for word in ("threshold rule", "Model contract", "bootstrap over identities", "FAR 1e-3", "Worst false"):
        assert word in re.sub("</?span[^>]*>", "", text)


def test_names_are_escaped(scored):
    benchmark, report = scored
    text = report_page([report], [benchmark])
    assert "&lt;model&gt;" in text
    assert "<model>" not in text
    assert f"&lt;{report.mistakes[0].left[1:].partition('>')[0]}&gt;/<wbr>" in text


def test_no_name_is_a_formula_or_hidden_in_a_figure(scored):
    names = [r"$\nonsense$", "_team", "a$b", r"c\$d"]
    drawing = figure_svg(roc_figure([replace(scored[1], name=name) for name in names]), "ROC")
    texts = {text.strip() for text in ET.fromstring(figures_of(drawing)[0]).itertext()}
    assert texts >= set(names)


def test_the_worst_mistakes_are_shown_with_both_faces(scored):
    benchmark, report = scored
    kinds = [mistake.same for mistake in report.mistakes]
    assert {True, False} == set(kinds)
    scores = [mistake.score for mistake in report.mistakes if not mistake.same]
    assert scores == sorted(scores, reverse=True)
    assert report_page([report], [benchmark]).count("data:image/jpeg") == 2 * len(report.mistakes)
    assert report_page([report]).count("data:image/jpeg") == 0


def test_several_benchmarks_share_a_page(scored):
    other = overlapping("second", 1)
    text = report_page([scored[1], other[1]], [scored[0], other[0]])
    Strict(text)
    assert "All benchmarks" in text
    assert len(figures_of(text)) == 2 + 3 + 3


def test_the_same_report_gives_the_same_page(scored):
    benchmark, report = scored
    assert report_page([report], [benchmark]) == report_page([report], [benchmark])


def test_the_same_of_several_rates_is_said_once():
    words = {"pairs": 1200, "tar@far=1e-3": "too few", "tar@far=1e-4": "too few", "fnmr@fmr=1e-4": "too few"}
    assert protocol_words(words | {"tar@far=1e-5": "none"}) == {
        "pairs": "1,200",
        "TAR at FAR 1e-3, 1e-4": "too few",
        "FNMR at FMR 1e-4": "too few",
        "TAR at FAR 1e-5": "none",
    }


def test_searches_without_an_error_have_a_line():
    """An FNIR of 0 has no place on a logarithmic axis: it lies on the lower end, and not in an empty figure."""
    points = {"fpir": [0.0, 0.5, 1.0], "fnir": [0.0, 0.0, 0.0], "threshold": [1.0, 0.5, 0.0]}
    axes = open_set_lines(lines_of(Report("search", {}, curves={"open_set": points}), "open_set")).axes[0]
    shown = axes.lines[0].get_ydata()
    assert (shown == axes.get_ylim()[0]).all() and shown[0] > 0


def test_powers_of_ten_are_not_broken():
    assert unbroken("FAR 1e-4 & 2e-05") == (
        'FAR <span class="whole">1e-4</span> &amp; <span class="whole">2e-05</span>'
    )


def test_a_perfect_model_has_figures_too():
    person = np.repeat(np.arange(20), 2)
    left, right = np.arange(40), np.arange(1, 41) % 40
    report = Verification("toy", [], left, right, person[left] == person[right]).score(np.eye(20)[person])
    for figure in (roc_figure([report]), det_figure([report]), histogram_figure(report)):
        assert "svg" in figure_svg(figure, "x")


def test_a_column_of_sentences_is_told_from_names_and_numbers():
    text = grid([["photo", "cosine", "why"], ["ada/1.jpg", "0.98", "copies of one photo under two names"]])

    assert "<td>ada" in text and '<td class="number">0.98' in text and '<td class="words">copies of' in text


def test_the_parts_of_a_page_escape_text_and_keep_markup():
    image = np.zeros((300, 600, 3), np.uint8)
    body = facts({"a <b>": "c & d"}) + grid([["name", "x"], ["<i>", "1"]]) + faces([([picture(image, "y")], "<q>")])
    text = page("A <title>", [Section("One & two", body)], lead="lead <p>")

    Strict(text)
    for escaped in ("A &lt;title&gt;", "One &amp; two", "a &lt;b&gt;", "c &amp; d", "&lt;i&gt;", "&lt;q&gt;"):
        assert escaped in text
    stored = re.findall(r"data:image/jpeg;base64,([A-Za-z0-9+/=]+)", text)
    assert decode_image(base64.b64decode(stored[0])).shape == (56, 112, 3)
