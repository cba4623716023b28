import json
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from facezoo.evaluation import embed_photos, evaluate, template_pairs, template_verification
from facezoo.evaluation.aggregation import aggregate, halves
from facezoo.evaluation.ijb import IJB, Gallery
from facezoo.evaluation.metrics import Sorted, auc, eer, tar_at_far
from facezoo.evaluation.template_pairs import (
    TemplatePairs,
    border_tally,
    nearest_points,
    pair_cosines,
    score_templates,
)
from facezoo.evaluation.template_resampling import levels
from facezoo.evaluation.template_verification import FARS, verify_templates
from facezoo.evaluation.verification import far_name
from facezoo.image import write_image
from facezoo.registry import BENCHMARKS
from facezoo.types import Contract, InputError, unit

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


@pytest.mark.parametrize("ties", [1000, 8, 1])
def test_the_short_tally_gives_the_metrics_of_the_whole(ties):
    rng = np.random.default_rng(ties)
    genuine = np.sort(np.round(rng.normal(1, 1, 300) * ties) / ties).astype(np.float32)
    impostor = np.sort(np.round(rng.normal(-1, 1, 20_001) * ties) / ties).astype(np.float32)
    same = np.arange(len(genuine) + len(impostor)) < len(genuine)
    whole = Sorted(np.concatenate([genuine, impostor]), same).tally()

    short = border_tally(genuine, impostor, (300, 20_001), FARS)

    assert len(short.scores) <= len(whole.scores) and auc(short) == pytest.approx(auc(whole), abs=1e-12)
    assert eer(short) == pytest.approx(eer(whole), abs=1e-12)
    for far in FARS:
        assert tar_at_far(short, far) == tar_at_far(whole, far)


def test_the_nearest_points_are_those_of_scikit_learn():
    from sklearn.metrics import roc_curve

    rng = np.random.default_rng(0)
    genuine = np.sort(np.round(rng.normal(1, 1, 200), 2))
    impostor = np.sort(np.round(rng.normal(-1, 1, 5000), 2))
    fpr, tpr, _ = roc_curve(np.repeat([1, 0], [200, 5000]), np.concatenate([genuine, impostor]))
    fpr, tpr = np.flipud(fpr), np.flipud(tpr)

    found = nearest_points(genuine, impostor, (200, 5000), FARS)

    expected = [min(zip(abs(fpr - far), range(len(fpr))))[1] for far in FARS]
    assert found == [(tpr[k], fpr[k]) for k in expected]


@pytest.mark.parametrize("crossed", [0, 1000])
@pytest.mark.parametrize("sparse", [0, 40])
def test_products_and_gathered_pairs_score_alike(sparse, crossed, monkeypatch):
    monkeypatch.setattr(template_pairs, "SPARSE", sparse)
    monkeypatch.setattr(template_pairs, "CROSSED", crossed)
    monkeypatch.setattr(template_pairs, "LEFTS", 3)
    monkeypatch.setattr(template_pairs, "GATHER", 5)
    rng = np.random.default_rng(0)
    vectors = unit(rng.normal(size=(20, 6)))
    left, right = rng.integers(2, 20, 200), rng.integers(0, 17, 200)

    np.testing.assert_allclose(
        pair_cosines(vectors, left, right), (vectors[left] * vectors[right]).sum(axis=1), atol=1e-6
    )


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


def test_the_interval_of_a_tar_holds_it_where_scores_tie_at_the_border():
    """A genuine pair ties with the impostor at the border: it is rejected, by the rate and by every resample."""
    vectors = unit(np.array([[1.0, 0.0], [0.6, 0.8], [1.0, 0.0], [0.6, 0.8], [0.0, 1.0], [0.0, 1.0]]))
    left, right = np.array([0, 2, 4, *[0] * 10]), np.array([1, 3, 5, 3, *[4] * 9])
    same = np.arange(13) < 3

    report = verify_templates(vectors, np.zeros(6, bool), left, right, same, [], resamples=200)

    assert report.metrics["tar@far=1e-1"] == 1 and report.metrics["fmr@far=1e-1"] == 0.1
    strict = verify_templates(vectors, np.zeros(6, bool), left, np.where(right == 4, 3, right), same, [], resamples=200)
    assert strict.metrics["tar@far=1e-1"] == pytest.approx(1 / 3)
    assert strict.intervals["tar@far=1e-1"].low < 1 / 3 < strict.intervals["tar@far=1e-1"].high
    tar, threshold = (strict.intervals[f"{kind}@far=1e-1"] for kind in ("tar", "threshold"))
    assert strict.tables["TAR at FAR"][1][2:4] == (tar.low, tar.high)
    assert strict.tables["TAR at FAR"][1][6:] == (threshold.low, threshold.high)


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


def write_set(root, people=4, templates=3, photos=2):
    """A set of random photos with faces anywhere in them, as insightface lays it out."""
    rng = np.random.default_rng(0)
    points = np.array([[40, 45], [72, 45], [56, 62], [43, 80], [69, 80]], float)
    lines, faces = [], []
    patterns = rng.integers(0, 255, (people, 14, 14, 3))
    for template in range(people * templates):
        for k in range(photos):
            name = f"{template * photos + k + 1}.jpg"
            shift = rng.integers(0, 20, 2)
            picture = np.kron(patterns[template // templates], np.ones((10, 10, 1))) + rng.normal(0, 20, (140, 140, 3))
            picture = np.roll(picture, shift[::-1], (0, 1))
            write_image(root / "loose_crop" / name, picture.clip(0, 255).astype(np.uint8))
            lines.append(f"{name} {10 + template} {template * photos + k}")
            faces.append(" ".join([name, *(f"{v:g}" for v in (points + shift).ravel()), "0.9"]))
    meta = root / "meta"
    meta.mkdir()
    (meta / "ijbc_face_tid_mid.txt").write_text("\n".join(lines) + "\n")
    (meta / "ijbc_name_5pts_score.txt").write_text("\n".join(faces) + "\n")
    ids = np.arange(people * templates)
    (meta / "ijbc_template_pair_label.txt").write_text(
        "".join(f"{10 + a} {10 + b} {int(a // templates == b // templates)}\n" for a in ids for b in ids if a < b)
    )
    header = "TEMPLATE_ID,SUBJECT_ID,FILENAME\n"
    for part, chosen in (("gallery_G1", ids[::templates][::2]), ("gallery_G2", ids[::templates][1::2])):
        rows = "".join(f"{10 + t},{t // templates},x.jpg\n" for t in chosen)
        (meta / f"ijbc_1N_{part}.csv").write_text(header + rows)
    rows = "".join(f"{10 + t},{t // templates},x.jpg\n" * 2 for t in ids if t % templates)
    (meta / "ijbc_1N_probe_mixed.csv").write_text(header + rows)


class Means:
    """Embeds a crop as the means of its columns, and notes what it was given."""

    contract = Contract("means", embedding_dim=336, flip=False)

    def __init__(self):
        self.shapes = set()

    def __call__(self, crops):
        rows = []
        for crop in crops:
            self.shapes.add(crop.shape)
            rows.append(crop.mean(axis=0).ravel())
        return np.array(rows, np.float32)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ijbc")
    write_set(folder)
    return folder


def test_a_set_is_scored_by_the_command(tree, mosaic, tmp_path, run):
    specs = [f"ijb:root={tree},resamples=10", f"ijb@tface:root={tree},flip=concat"]

    code, _, errors = run(
        "evaluate", mosaic / "mosaic.onnx", *specs, "--contract", mosaic / "contract.toml", "--out", tmp_path / "r.json"
    )

    assert code == 0, errors
    plain, concat = json.loads((tmp_path / "r.json").read_text())
    assert plain["metrics"]["rank1"] == 1 and plain["metrics"]["tar@far=1e-1"] == 1
    assert plain["protocol"]["templates"] == 12 and plain["protocol"]["photos"] == 24
    assert plain["protocol"]["galleries"] == "G1 2, G2 2" and plain["protocol"]["mated probes"] == 8
    assert concat["protocol"]["mirror images"].endswith("side by side")


def test_faces_are_aligned_by_the_points_that_come_along(tree):
    benchmark = BENCHMARKS.create(f"ijb:root={tree},task=verify")

    embed = Means()
    report = evaluate(benchmark, embed)

    assert embed.shapes == {(112, 112, 3)} and "landmarks given with the photos" in report.protocol["alignment"]
    assert not report.protocol["photos without a face"] and "rank1" not in report.metrics


def test_photo_and_mirror_image_are_embedded_apart(tree):
    benchmark = BENCHMARKS.create(f"ijb:root={tree},flip=concat")

    embedded = embed_photos(benchmark, Means()).embeddings.reshape(2, 24, 112, 3)

    np.testing.assert_allclose(embedded[0], embedded[1][:, ::-1])
    assert not np.allclose(embedded[0], embedded[1])


@pytest.mark.parametrize("spec", ["ijb@facexzoo:root={}", "ijb@tface:root={}", "ijb:root={},flip=add"])
def test_a_protocol_without_the_models_flip_says_so_at_once(tree, spec):
    class Flips(Means):
        contract = Contract("flips", embedding_dim=336, flip=True)

        def __call__(self, crops):
            raise AssertionError("embedded")

    with pytest.raises(InputError, match=r"flips adds the mirror image.*--no-flip"):
        evaluate(BENCHMARKS.create(spec.format(tree)), Flips())
    assert len(BENCHMARKS.create(f"ijb@tface:root={tree}").photos) == 24


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("ijbc_face_tid_mid.txt", "1.jpg x 3\n", "line 1"),
        ("ijbc_face_tid_mid.txt", "../1.jpg 1 3\n", "leaves the folder"),
        ("ijbc_face_tid_mid.txt", "99.jpg 1 3\n", "no five points"),
        ("ijbc_name_5pts_score.txt", "1.jpg 1 2 3\n", "line 1"),
        ("ijbc_template_pair_label.txt", "10 11 0\n10 x 1\n", "template template label"),
        ("ijbc_template_pair_label.txt", "10 99 0\n10 11 1\n", "template 99 has no photo"),
        ("ijbc_template_pair_label.txt", "", "no pairs"),
        ("ijbc_template_pair_label.txt", "\n \n", "no pairs"),
        ("ijbc_template_pair_label.txt", "10 11 0\n10 11\n", "template template label"),
        ("ijbc_template_pair_label.txt", "10 11\n10 12\n", "2 fields"),
        ("ijbc_template_pair_label.txt", "10 3000000000 1\n", "template template label"),
        ("ijbc_face_tid_mid.txt", f"1.jpg 1 {1 << 63}\n", "larger than 2"),
        ("ijbc_1N_gallery_G1.csv", f"TEMPLATE_ID,SUBJECT_ID\n10,{1 << 70}\n", "larger than 2"),
        ("ijbc_1N_gallery_G1.csv", "TEMPLATE_ID,SUBJECT_ID\n10,1\n10,2\n", "two subjects"),
        ("ijbc_1N_probe_mixed.csv", "TEMPLATE_ID,SUBJECT_ID\n", "no templates"),
    ],
)
def test_damaged_lists_are_named(tmp_path, file, content, words):
    write_set(tmp_path)
    (tmp_path / "meta" / file).write_text(content)

    with pytest.raises(InputError, match=words):
        BENCHMARKS.create(f"ijb:root={tmp_path}")


def test_a_missing_list_is_named(tree):
    with pytest.raises(InputError, match=r"ijbb_face_tid_mid.txt is neither"):
        BENCHMARKS.create(f"ijb:root={tree},set=ijbb")


def crowd(seed, number=120, photos=2, dim=10):
    """Templates of people, and all their pairs."""
    rng = np.random.default_rng(seed)
    person = np.repeat(np.arange(number), photos)
    vectors = unit(rng.normal(size=(number, dim))[person] + 0.7 * rng.normal(size=(len(person), dim)))
    left, right = np.triu_indices(len(person), 1)
    return vectors, np.zeros(len(person), bool), left, right, person[left] == person[right], []


def test_resampled_rates_are_those_of_a_sum_over_pairs():
    """A pair of i and j weighs w_i + w_j - 1, a genuine one of i weighs w_i."""
    vectors, _, left, right, same, _ = crowd(0, 30)
    pairs = score_templates(vectors, np.zeros(60, bool), left, right, same)
    scores, person = pairs.scores, np.arange(60) // 2
    found = levels(pairs, 0.05)
    drawn = np.stack([np.bincount(np.random.default_rng(k).integers(30, size=30), minlength=30) for k in range(3)])

    fmr, tar = found.rates(drawn)

    a, b = person[left], person[right]
    for row, w in enumerate(drawn):
        for column in range(0, len(found.thresholds), 7):
            above = scores >= np.float32(found.thresholds[column])
            weight = (w[a] + w[b] - 1)[~same]
            assert fmr[row, column] == pytest.approx(weight[above[~same]].sum() / weight.sum(), abs=1e-6)
            assert tar[row, column] == pytest.approx(w[a[same]][above[same]].sum() / w[a[same]].sum(), abs=1e-6)
    matches = ~same & (scores >= np.float32(found.thresholds[-1]))
    cells = np.bincount(a[matches] * 30 + b[matches])
    assert found.noise[-1] == pytest.approx((cells**2).sum() / matches.sum() ** 2)


def test_the_interval_of_a_tar_covers_it_although_few_impostors_set_its_threshold():
    """12 false matches: at a fixed threshold the interval would hold the TAR of ten times as many people too seldom."""
    far = 12 / (120 * 119 * 2)
    truth = verify_templates(*crowd(10_000, 1500), resamples=0, fars=(far,)).metrics[f"tar@far={far_name(far)}"]
    covered = fixed = 0
    for trial in range(60):
        report = verify_templates(*crowd(trial), resamples=200, seed=trial, fars=(far,))
        found, tar = report.intervals[f"tar@far={far_name(far)}"], report.metrics[f"tar@far={far_name(far)}"]
        covered += found.low <= truth <= found.high
        fixed += abs(tar - truth) <= 1.96 * (tar * (1 - tar) / 120) ** 0.5
    assert covered >= 53 > fixed


def test_few_impostor_pairs_among_a_million_are_found(monkeypatch):
    monkeypatch.setattr(template_verification, "MATCHED", 8)
    same = np.arange(40) != 3
    pairs = TemplatePairs(np.zeros(40), np.arange(40), np.arange(40, 80), same, np.arange(80))
    assert template_verification._impostor_trials(pairs) == 1


@pytest.mark.parametrize("templates", [9, 50_000])
def test_pairs_that_are_listed_again_are_counted(templates, monkeypatch):
    monkeypatch.setattr(template_pairs, "GATHER", 3)
    left, right = np.array([0, 1, 8, 3, 1, 0, 8], np.int32), np.array([1, 0, 3, 8, 2, 1, 7], np.int32)
    left[2:3], right[6:] = templates - 1, templates - 1
    right[3] = templates - 1
    assert template_pairs.listed_again(left, right, templates) == 3
