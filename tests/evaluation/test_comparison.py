"""Models side by side: what is tested, corrected, shown and written."""

import json
from dataclasses import replace

import numpy as np
import pytest

from facezoo.evaluation import Photo, Verification
from facezoo.evaluation.all_pairs import AllPairs
from facezoo.evaluation.comparison import Comparison, compare, difference_rows, side_by_side, write_comparison
from facezoo.evaluation.comparison_page import comparison_markdown, comparison_page
from facezoo.evaluation.identification import Identification
from facezoo.evaluation.ijb import IJB
from facezoo.evaluation.megaface import MegaFace
from facezoo.evaluation.outcomes import outcome
from facezoo.evaluation.run import Embedded
from facezoo.evaluation.significance import holm, mcnemar
from facezoo.types import InputError

PEOPLE, EACH = 60, 3
IDENTITY = np.repeat(np.arange(PEOPLE), EACH)


def photos():
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (len(IDENTITY), 24, 24, 3), np.uint8)
    return [Photo(f"p{person}/{k}", image) for k, (person, image) in enumerate(zip(IDENTITY, pixels))]


def pairs(name="pairs", **options):
    left = np.concatenate([np.arange(0, len(IDENTITY), EACH)] * 3)
    right = np.concatenate([left[:60] + 1, left[:60] + 2, np.roll(left[:60], 1)])
    return Verification(
        name, photos(), left, right, IDENTITY[left] == IDENTITY[right], 5, None, IDENTITY, resamples=60, **options
    )


def searches():
    gallery = np.arange(0, 150, EACH)
    probes = np.flatnonzero(np.arange(len(IDENTITY)) % EACH)
    return Identification("search", photos(), gallery, probes, IDENTITY[gallery], IDENTITY[probes], resamples=60)


def model(spread, seed=1, failed=()):
    centres = np.random.default_rng(0).normal(size=(PEOPLE, 6))[IDENTITY]
    lost = np.isin(np.arange(len(IDENTITY)), failed)
    return Embedded(centres + spread * np.random.default_rng(seed).normal(size=centres.shape), lost)


def compared(made, **models):
    found = [[each.score(one.embeddings, one.failed) for one in models.values()] for each in made]
    return compare(list(models), made, found, [list(models.values())] * len(made))


@pytest.fixture(scope="module")
def three():
    made = [pairs(), searches()]
    return made, compared(made, good=model(0.4), alike=model(0.4, 2), bad=model(1.4, 3))


def test_accuracy_is_tested_at_each_models_own_thresholds_of_the_folds(three):
    made, comparison = three
    first, second = (outcome(made[0], each) for each in (model(0.4), model(1.4, 3)))
    assert first.right.mean() == pytest.approx(comparison.reports["pairs"][0].metrics["accuracy"])
    (found,) = [
        each
        for each in comparison.differences
        if (each.benchmark, each.metric, each.first, each.second) == ("pairs", "accuracy", "good", "bad")
    ]
    assert found.p == mcnemar(first.right, second.right).p < 0.001
    assert found.value == pytest.approx(first.right.mean() - second.right.mean())
    assert found.interval.low < found.value < found.interval.high and found.significant


def test_rank_1_is_tested_over_the_mated_probes(three):
    made, comparison = three
    found = outcome(made[1], model(1.4, 3))
    assert len(found.right) == comparison.reports["search"][2].protocol["mated probes"]
    assert found.right.mean() == pytest.approx(comparison.reports["search"][2].metrics["rank1"])
    assert ((found.margin > 0) == found.right).all()


def test_p_values_are_corrected_over_the_models_of_each_metric(three):
    _, comparison = three
    for metric in ("accuracy", "eer", "rank1"):
        family = [each for each in comparison.differences if each.metric == metric]
        assert len(family) == 3
        assert [each.adjusted for each in family] == pytest.approx(holm([each.p for each in family]).tolist())


def test_models_of_one_kind_are_not_told_apart(three):
    _, comparison = three
    alike = [each for each in comparison.differences if {each.first, each.second} == {"good", "alike"}]
    assert not any(each.significant for each in alike)


def test_the_trials_shown_are_those_that_one_model_has_right_and_the_other_wrong(three):
    made, comparison = three
    models = {"good": model(0.4), "alike": model(0.4, 2), "bad": model(1.4, 3)}
    found = {name: outcome(made[0], each) for name, each in models.items()}
    shown = [each for each in comparison.disagreements if each.benchmark == "pairs"]
    assert sum((each.right, each.wrong) == ("good", "bad") for each in shown) == 6
    names = [photo.name for photo in made[0].photos]
    place = {(names[a], names[b]): k for k, (a, b) in enumerate(zip(made[0].left, made[0].right))}
    for each in shown:
        trial = place[each.mistake.left, each.mistake.right]
        assert found[each.right].right[trial] and not found[each.wrong].right[trial]


def test_a_photo_without_a_face_is_wrong_and_comes_last_among_the_trials_shown():
    made = [pairs(), searches()]
    comparison = compared(made, good=model(0.4), blind=model(0.4, failed=np.arange(0, 60)))
    mine = [each for each in comparison.disagreements if each.wrong == "blind"]
    assert mine and any(each.mistake.score is None for each in mine)
    comparison_page(comparison, made)
    json.dumps(comparison.to_dict(), allow_nan=False)


def test_the_comparison_survives_json(three, tmp_path):
    _, comparison = three
    write_comparison(comparison, tmp_path / "comparison.json")
    assert Comparison.from_dict(json.loads((tmp_path / "comparison.json").read_text())) == comparison
    with pytest.raises(InputError, match="comparison: models"):
        Comparison.from_dict({})


def test_the_page_has_common_figures_and_the_pictures_of_both_photos(three):
    made, comparison = three
    text = comparison_page(comparison, made)
    assert text.count("data:image/svg+xml") == 2 + 3
    assert text.count("data:image/jpeg") == 2 * len(comparison.disagreements)
    assert "good is right, bad is wrong" in text and "McNemar" in text
    assert "<h3>Protocol</h3>" in text and text.count("threshold rule") >= 1
    assert "data:image/jpeg" not in comparison_page(comparison)


def test_the_tables_have_a_row_for_each_difference_and_a_column_for_each_model(three):
    _, comparison = three
    assert len(difference_rows(comparison)) == 1 + len(comparison.differences)
    assert side_by_side(comparison)["pairs"][0] == ["metric", "good", "alike", "bad"]
    text = comparison_markdown(comparison)
    assert "| metric | good | alike | bad |" in text and "## Differences" in text


def test_a_benchmark_whose_trials_are_not_told_apart_stands_side_by_side_only():
    made = AllPairs("every", photos(), IDENTITY, resamples=0)
    comparison = compared([made], good=model(0.4), bad=model(1.4))
    assert comparison.differences == () and "side by side only" in comparison.notes["every"]
    assert "Differences" not in comparison_page(comparison, [made])


def test_without_resamples_only_the_exact_test_is_left():
    comparison = compared([replace(pairs(), resamples=0)], good=model(0.4), bad=model(1.4))
    assert [(each.metric, each.interval) for each in comparison.differences] == [("accuracy", None)]
    comparison_page(comparison)


def test_what_cannot_be_compared_is_one_sentence():
    with pytest.raises(InputError, match="two models or more"):
        compared([pairs()], good=model(0.4))
    with pytest.raises(InputError, match="two benchmarks have one name"):
        compared([pairs(), pairs()], good=model(0.4), bad=model(1.4))


def template_set(**options):
    """Templates of one photo each, all compared."""
    left, right = np.triu_indices(len(IDENTITY), 1)
    each = np.arange(len(IDENTITY))
    parts = each, each, each, np.ones(len(each)), (left, right, IDENTITY[left] == IDENTITY[right])
    return IJB("ijb", photos(), *parts, resamples=60, **options)


def test_templates_are_tested_at_each_models_own_threshold():
    made = template_set()
    one, other = model(0.4), model(1.0, 3)
    comparison = compared([made], good=one, bad=other)

    found = {each.metric: each for each in comparison.differences}
    metrics = [report.metrics for report in comparison.reports["ijb"]]
    assert {"tar@far=1e-4", "tar@far=1e-2"} <= set(found)
    for name, each in found.items():
        assert each.value == pytest.approx(metrics[0][name] - metrics[1][name])
        assert each.test == "bootstrap"  # pairs share templates and people
    assert found["tar@far=1e-2"].interval.low > 0 and found["tar@far=1e-2"].significant
    trials = outcome(made, other)
    assert trials.right.mean() == pytest.approx(metrics[1]["tar@far=1e-4"])
    assert comparison.disagreements[0].mistake.of[0].startswith("template")
    assert outcome(template_set(fpr_rule="nearest"), one) is None


def test_trials_among_distractors_are_paired():
    strangers = 40
    generator = np.random.default_rng(5)
    more = [Photo(f"stranger{k}", b"") for k in range(strangers)]
    made = MegaFace("mega", [*photos(), *more], IDENTITY, strangers, resamples=60)

    def among(spread, seed):
        known = model(spread, seed).embeddings
        rows = np.concatenate([known, generator.normal(size=(strangers, known.shape[1]))])
        return Embedded(rows, np.zeros(len(rows), bool))

    one, other = among(0.3, 1), among(1.4, 3)
    comparison = compared([made], good=one, bad=other)
    found = {each.metric: each for each in comparison.differences}
    assert {"rank1", "rank10"} <= set(found) and found["rank1"].test == "bootstrap"
    assert found["rank1"].significant and found["rank1"].interval.low > 0
    assert outcome(made, other).right.mean() == pytest.approx(comparison.reports["mega"][1].metrics["rank1"])
    shown = comparison.disagreements[0]
    assert shown.mistake.right.startswith("stranger") and shown.mistake.search


def test_without_resamples_dependent_trials_are_not_tested():
    made = replace(template_set(), resamples=0)
    assert not compared([made], good=model(0.4), bad=model(1.0, 3)).differences


def test_two_models_without_an_error_have_no_empty_interval():
    comparison = compared([searches()], first=model(0.0), second=model(0.0, 2))
    found = next(each for each in comparison.differences if each.metric == "rank1")
    assert (found.value, found.interval, found.p) == (0, None, 1)
