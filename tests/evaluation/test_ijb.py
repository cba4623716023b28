import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from facezoo.evaluation.aggregation import aggregate, halves
from facezoo.evaluation.ijb import IJB, Gallery
from facezoo.evaluation.template_pairs import (
    pair_cosines,
)
from facezoo.evaluation.template_verification import FARS
from facezoo.types import InputError, unit

ASCENDING = FARS[::-1]


def naive_templates(embeddings, template, media, weight):
    """The three steps, one template at a time."""
    rows = []
    for t in np.unique(template):
        medium = [
            np.mean([weight[k] * embeddings[k] for k in np.flatnonzero((template == t) & (media == m))], axis=0)
            for m in np.unique(media[template == t])
        ]
        rows.append(unit(np.sum(medium, axis=0)))
    return np.array(rows)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_templates_are_those_of_a_loop(dtype, monkeypatch):
    monkeypatch.setattr("facezoo.evaluation.aggregation.BLOCK", 7)
    rng = np.random.default_rng(0)
    embeddings = rng.normal(size=(40, 5)).astype(dtype)
    template, media, weight = rng.integers(3, 12, 60), rng.integers(0, 4, 60), rng.random(60)
    photo = rng.integers(0, 40, 60)  # photos in several templates

    ids, kept = aggregate(embeddings, template, media, photo, weight, "keep")
    _, normalised = aggregate(embeddings, template, media, photo, weight, "unit")

    wide = embeddings.astype(float)[photo]
    assert ids.tolist() == np.unique(template).tolist()
    np.testing.assert_allclose(kept, naive_templates(wide, template, media, weight), atol=1e-12)
    np.testing.assert_allclose(normalised, naive_templates(unit(wide), template, media, weight), atol=1e-12)


VARIANTS = {
    "facexzoo": {"norm": "unit", "detector_score": "on", "flip": "off"},
    "facexzoo_nodet": {"norm": "unit", "detector_score": "off", "flip": "off"},
    "insightface_N1D1F2": {"norm": "keep", "detector_score": "on", "flip": "add"},
    "insightface_N0D0F2": {"norm": "unit", "detector_score": "off", "flip": "add"},
    "insightface_N1D1F0": {"norm": "keep", "detector_score": "on", "flip": "off"},
    "tface": {"norm": "unit", "detector_score": "off", "flip": "off"},
}


@pytest.mark.golden
@pytest.mark.parametrize("variant", VARIANTS)
def test_one_to_one_is_that_of_the_projects(golden, variant):
    given, expected, _ = golden.load("evaluation/ijbc_1to1.npz")
    ids, size = np.unique(given["template"]), len(given["template"])
    left, right, same = given["pairs"].T
    pairs = np.searchsorted(ids, left), np.searchsorted(ids, right), same > 0
    benchmark = IJB(
        "ijbc",
        [],
        np.arange(size),
        given["template"],
        given["media"],
        given["det_score"],
        pairs,
        fpr_rule="nearest",
        resamples=0,
        **VARIANTS[variant],
    )
    apart = np.concatenate([given["feat"], given["feat_flip"]])

    one, lost = benchmark._of_photos(apart, None)
    vectors = benchmark.templates(one, lost)[0]
    report = benchmark.score(apart)
    wide = benchmark.score(np.concatenate([given["feat"], given["feat_flip"]], axis=1))

    np.testing.assert_allclose(vectors[::10], expected[f"{variant}.template_feats"], atol=1e-6)
    np.testing.assert_allclose(pair_cosines(vectors, *pairs[:2]), expected[f"{variant}.scores"], atol=1e-6)
    for key, (tpr, fpr) in zip([f"1e-{k}" for k in range(6, 0, -1)], expected[f"{variant}.tpr_fpr"]):
        assert report.metrics[f"tar@far={key}"] == pytest.approx(tpr, abs=1e-12)
        assert report.metrics[f"fmr@far={key}"] == pytest.approx(fpr, abs=1e-12)
    assert wide.metrics == report.metrics


@pytest.mark.golden
def test_the_default_never_exceeds_the_target_where_the_nearest_point_does(golden):
    given, _, _ = golden.load("evaluation/ijbc_1to1.npz")
    ids = np.unique(given["template"])
    left, right, same = given["pairs"].T
    pairs = np.searchsorted(ids, left), np.searchsorted(ids, right), same > 0
    parts = np.arange(3000), given["template"], given["media"], given["det_score"], pairs

    ours = IJB("ijbc", [], *parts, resamples=0).score(given["feat"]).metrics
    nearest = IJB("ijbc", [], *parts, fpr_rule="nearest", resamples=0).score(given["feat"]).metrics

    measured = {far: ours.get(f"fmr@far=1e-{-round(np.log10(far))}") for far in FARS}
    assert all(fmr is None or fmr <= far for far, fmr in measured.items()) and measured[0.1] is not None
    assert any(nearest[f"fmr@far=1e-{k}"] > 10.0**-k for k in range(1, 7))
    assert ours["tar@far=1e-6"] is None  # 12,000 impostor pairs cannot tell


def set_of(people=12, templates=4, photos=3, spread=0.5, seed=0, **options):
    """Every person has `templates` templates of `photos` photos; the first of each lies in one of two galleries."""
    rng = np.random.default_rng(seed)
    template = np.repeat(np.arange(people * templates), photos)
    person = np.arange(people * templates) // templates
    embeddings = (
        unit(rng.normal(size=(people, 16)))[person[template]] + spread * rng.normal(size=(len(template), 16)) / 4
    )
    left, right = np.triu_indices(people * templates, 1)
    first = np.arange(people) * templates
    galleries = [Gallery("G1", first[::2], np.arange(people)[::2]), Gallery("G2", first[1::2], np.arange(people)[1::2])]
    others = np.setdiff1d(np.arange(people * templates), first)
    options.setdefault("resamples", 0)
    benchmark = IJB(
        "toy",
        [],
        np.arange(len(template)),
        template,
        np.arange(len(template)) // 2,
        np.ones(len(template)),
        (left, right, person[left] == person[right]),
        galleries,
        Gallery("probe", others, person[others]),
        **options,
    )
    return benchmark, embeddings


def test_a_perfect_system_has_rates_of_one_and_a_bound():
    benchmark, embeddings = set_of(spread=0, resamples=20)

    report = benchmark.score(embeddings)

    assert report.metrics["rank1"] == report.metrics["tpir@fpir=1e-1"] == report.metrics["tar@far=1e-2"] == 1
    assert report.intervals["tar@far=1e-2"].low == report.intervals["rank1"].low == pytest.approx(1 - 3 / 12)


def test_one_to_n_is_that_of_a_loop_over_the_probes():
    benchmark, embeddings = set_of(people=30, spread=2.2, seed=3, fpir_rule="index")
    vectors = benchmark.templates(embeddings, np.zeros(len(embeddings), bool))[0]
    top, tpir = np.zeros(2), []
    for gallery in benchmark.galleries:
        mated, others = [], []
        for template, subject in zip(benchmark.probes.templates, benchmark.probes.subjects):
            scores = vectors[gallery.templates] @ vectors[template]
            if subject not in gallery.subjects:
                others.append(scores.max())
                continue
            own = scores[gallery.subjects == subject][0]
            rank = 1 + (scores > own).sum()
            top += rank <= np.array([1, 5])
            mated.append(own if rank == 1 else -1)
        threshold = np.sort(others)[::-1][max(int(0.1 * len(others)) - 1, 0)]
        tpir.append(np.mean(np.array(mated) > threshold))

    report = benchmark.score(embeddings)
    metrics = report.metrics

    assert [row[:2] for row in report.tables["Galleries"][1:]] == [("G1", 15), ("G2", 15)]
    assert [row[0] for row in report.tables["TAR at FAR"][1:]] == ["1e-1", "1e-2", "1e-3", "1e-4", "1e-5", "1e-6"]
    assert 0.2 < metrics["rank1"] < 0.95
    assert [metrics["rank1"], metrics["rank5"]] == pytest.approx(top / len(benchmark.probes.templates))
    assert metrics["tpir@fpir=1e-1"] == pytest.approx(np.mean(tpir))


def test_photos_without_a_face_are_left_out_and_empty_templates_miss():
    benchmark, embeddings = set_of(spread=0)
    failed = np.zeros(len(embeddings), bool)
    failed[:3] = True  # all of template 0, the first person's in gallery G1
    failed[4] = True  # one of three of template 1
    embeddings[failed] = 0

    report = benchmark.score(embeddings, failed)

    assert report.metrics["rank1"] == pytest.approx(33 / 36)  # the first person's three probes find nobody
    assert report.metrics["tar@far=1e-1"] == pytest.approx((12 * 6 - 3) / (12 * 6))
    assert "1 templates have no other" in report.protocol["failures"]


def test_embeddings_of_photo_and_mirror_image_must_differ():
    benchmark, embeddings = set_of(flip="concat")

    with pytest.raises(InputError, match="--no-flip"):
        benchmark.score(np.concatenate([embeddings, embeddings]))
    with pytest.raises(InputError, match="twice the width"):
        benchmark.score(embeddings[:-1])
    with pytest.raises(InputError, match="side by side"):
        halves(embeddings[:, :3], "add")


def test_a_template_is_not_compared_with_itself():
    benchmark, _ = set_of()
    left, right, same = benchmark.pairs
    left, right = left.copy(), right.copy()
    left[5] = right[5] = 2
    with pytest.raises(InputError, match="1 pairs compare a template with itself, the first is 2"):
        replace(benchmark, pairs=(left, right, same))


def test_half_precision_is_added_in_full():
    benchmark, embeddings = set_of(flip="add")
    large = (embeddings * 5e4 / np.abs(embeddings).max()).astype(np.float16)
    report = benchmark.score(np.concatenate([large, large[:, ::-1]]))  # half of the sums exceed 65,504
    wide = large.astype(np.float64)
    assert report.metrics == benchmark.score(np.concatenate([wide, wide[:, ::-1]])).metrics


def test_photos_and_mirror_images_are_never_held_at_once(tmp_path):
    benchmark, embeddings = set_of(people=400, flip="add")
    rows = np.tile(np.concatenate([embeddings, -embeddings[:, ::-1]]), 8).astype(np.float32)
    np.save(tmp_path / "e.npy", rows)
    mapped = np.load(tmp_path / "e.npy", mmap_mode="r")
    tracemalloc.start()
    benchmark._of_photos(mapped, None)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < rows.nbytes / 10
