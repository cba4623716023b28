import json

import numpy as np
import pytest

from facezoo.evaluation.identification import Identification, read_identity_list, split_people
from facezoo.evaluation.metrics import tar_at_far
from facezoo.evaluation.open_set import Searches, index_threshold
from facezoo.evaluation.photos import Photo
from facezoo.evaluation.ranks import Found
from facezoo.registry import BENCHMARKS
from facezoo.types import InputError, unit


def made(gallery_identity, probe_identity, **options):
    first, second = np.asarray(gallery_identity), np.asarray(probe_identity)
    photos = np.arange(len(first) + len(second))
    options.setdefault("resamples", 0)
    return Identification("toy", [], photos[: len(first)], photos[len(first) :], first, second, **options)


def people(count, photos, spread, seed=0, dim=16):
    rng = np.random.default_rng(seed)
    identity = np.repeat(np.arange(count), photos)
    return identity, unit(rng.normal(size=(count, dim)))[identity] + spread * rng.normal(size=(len(identity), dim)) / 4


def searches(mate, best, mated, rank, size=100):
    mate, best, mated = np.array(mate, float), np.array(best, float), np.array(mated)
    return Searches(mated, np.array(rank), mate, best, np.zeros(len(mated), int), size)


def test_every_rate_is_that_of_the_full_score_matrix():
    identity, embeddings = people(40, 3, 1.0)
    vectors = unit(embeddings)
    gallery, probes = np.arange(0, 90, 3), np.setdiff1d(np.arange(120), np.arange(0, 90, 3))
    benchmark = Identification("toy", [], gallery, probes, identity[gallery], identity[probes], resamples=0)
    scores = vectors[probes] @ vectors[gallery].T
    own = identity[probes][:, None] == identity[gallery]
    mated = own.any(axis=1)
    mate = np.where(own, scores, -9).max(axis=1)
    rank = 1 + (np.where(own, -9, scores) >= mate[:, None]).sum(axis=1)
    others = np.sort(scores[~mated].max(axis=1))[::-1]
    border = others[int(0.1 * len(others))]

    report = benchmark.score(embeddings)

    assert 0.3 < report.metrics["rank1"] < 1
    for k in (1, 5, 10, 20):
        assert report.metrics[f"rank{k}"] == pytest.approx((rank[mated] <= k).mean())
    found = mated & (rank == 1) & (mate > border)
    assert report.metrics["tpir@fpir=1e-1"] == pytest.approx(found.sum() / mated.sum())
    assert report.metrics["fpir@fpir=1e-1"] <= 0.1 and report.metrics["tpir@fpir=1e-2"] is None
    assert report.curves["cmc"]["rate"][29] == 1 and report.curves["open_set"]["fnir"][0] == 1
    assert report.protocol["mated probes"] == 60 and report.protocol["non-mated probes"] == 30


def test_the_conservative_rule_rejects_ties_at_the_border_and_the_index_rule_is_that_of_the_scripts():
    best = [0.9, 0.9, 0.5, 0.4, 0.3, 0.2, 0.1, 0.1, 0.1, 0.1]
    found = searches(
        [0.95, 0.9, 0.6] + [-np.inf] * 10, [0.0] * 3 + best, [True] * 3 + [False] * 10, [1, 1, 1] + [101] * 10
    )
    ordered = found.decisions()

    point = tar_at_far(ordered.tally(), 0.1)
    assert (point.tar, point.fmr) == (pytest.approx(1 / 3), 0)  # 0.9 is a tie of two: neither may pass
    assert tar_at_far(ordered.tally(), 0.2).tar == 1
    assert index_threshold(found, 0.1) == (pytest.approx(1 / 3), 0, 0.9)
    assert index_threshold(found, 0.4) == (1, pytest.approx(0.3), 0.4)
    assert index_threshold(found, 1e-6)[2] == 0.9  # f n < 1 means the largest non-mated score


def test_a_wrong_identity_ahead_is_a_miss_at_every_threshold():
    found = searches([0.9, -np.inf], [0.95, 0.1], [True, False], [2, 101])

    assert np.isneginf(found.decisions().values[0])


@pytest.mark.parametrize(("ties", "rate"), [("miss", 0), ("hit", 1)])
def test_a_mate_that_ties_with_another_identity(ties, rate):
    embeddings = np.array([[1.0, 0.2], [1.0, 0.2], [1.0, 0.0]])

    assert made([0, 1], [0], ties=ties).score(embeddings).metrics["rank1"] == rate


def test_several_photos_are_averaged_or_the_best_counts():
    embeddings = np.array([[1.0, 0.0], [0.0, 1.0], [0.9, 0.5], [1.0, 0.0]])  # person 0 twice, person 1, a probe of 0

    assert made([0, 0, 1], [0]).score(embeddings).metrics["rank1"] == 0
    assert made([0, 0, 1], [0], several="max").score(embeddings).metrics["rank1"] == 1


def test_photos_without_a_face():
    identity, embeddings = people(10, 3, 0)
    gallery = np.arange(0, 24, 3)  # eight people of ten
    probes = np.setdiff1d(np.arange(30), gallery)
    failed = np.zeros(30, bool)
    failed[[0, 4, 25]] = True  # the only gallery photo of person 0, a probe of person 1, a non-mated probe

    report = Identification("toy", [], gallery, probes, identity[gallery], identity[probes], resamples=0).score(
        embeddings, failed
    )

    assert report.metrics["rank1"] == pytest.approx(13 / 16)
    assert report.metrics["rank1_without_failures"] == pytest.approx(13 / 15)
    assert report.protocol["non-mated probes"] == 6 and "1 identities without another" in report.protocol["failures"]


def test_growth_is_the_mean_over_all_galleries_of_a_size():
    identity, embeddings = people(8, 2, 2.5)
    gallery, probes = np.arange(0, 16, 2), np.arange(1, 16, 2)
    report = Identification("toy", [], gallery, probes, identity[gallery], identity[probes], resamples=0).score(
        embeddings
    )
    scores = unit(embeddings[probes]) @ unit(embeddings[gallery]).T
    rng = np.random.default_rng(0)
    hits = []
    for _ in range(4000):
        for probe in range(8):
            drawn = rng.choice(np.delete(np.arange(8), probe), 4, replace=False)
            hits.append(scores[probe, probe] > scores[probe, drawn].max())

    growth = dict(zip(report.curves["growth"]["size"], report.curves["growth"]["rate"]))

    assert report.tables["Rank 1 by number of identities"][-1] == (8, growth[8])
    assert growth[1] == 1 and growth[8] == pytest.approx(report.metrics["rank1"])
    assert growth[5] == pytest.approx(np.mean(hits), abs=0.01)


def test_intervals_draw_identities_and_cover_the_rates():
    identity, embeddings = people(60, 4, 2.0)
    gallery = np.arange(0, 200, 4)
    probes = np.setdiff1d(np.arange(240), gallery)

    report = Identification("toy", [], gallery, probes, identity[gallery], identity[probes], resamples=200).score(
        embeddings
    )

    for name in ("rank1", "rank10", "tpir@fpir=1e-1"):
        found = report.intervals[name]
        assert found.low < report.metrics[name] < found.high and "identities of the probes" in found.method


def test_a_failed_search_never_counts_as_a_hit_or_a_false_positive():
    found = Found(np.array([0.9, -np.inf]), np.array([0, 5]), np.array([0, 0]), np.array([0.1, 0.8]), np.array([1, 1]))

    result = Searches.of(found, 5, np.array([True, False]), np.array([True, True]), "miss")

    assert not result.hits(5).any() and result.decisions() is None


def test_closed_sets_are_scored_without_an_open_set():
    identity, embeddings = people(6, 2, 0)

    report = made(identity[::2], identity[1::2]).score(np.concatenate([embeddings[::2], embeddings[1::2]]))

    assert (
        report.metrics["rank1"] == 1
        and "open_set" not in report.curves
        and "not measured" in report.protocol["open set"]
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory, write_patterns):
    root = tmp_path_factory.mktemp("people")
    write_patterns(root, "abcde", pixels=20)
    (root / "gallery.txt").write_text("a/0.png Ann\nb/0.png Bo\n\nb/1.png Bo\n")
    (root / "probes.txt").write_text("a/1.png\tAnn\nc/0.png\tnobody else\n")
    return root


def test_a_folder_of_people_is_split_by_the_seed(folder):
    gallery, probes = split_people(folder, 2, 0.4, 0)

    assert len(gallery) == 6 and len(probes) == 3 + 6
    assert len({person for _, person in gallery}) == 3 and len({person for _, person in probes}) == 5
    assert split_people(folder, 2, 0.4, 0) == (gallery, probes) != split_people(folder, 2, 0.4, 1)


def test_lists_and_folders_are_scored_by_the_command(folder, mosaic, tmp_path, run):
    lists = f"identify:root={folder},gallery={folder}/gallery.txt,probes={folder}/probes.txt,name=lists"
    specs = [f"{lists},aligned=arcface", f"identify:root={folder},aligned=arcface,unknown=0.4"]

    code, _, errors = run(
        "evaluate", mosaic / "mosaic.onnx", *specs, "--contract", mosaic / "contract.toml", "--out", tmp_path / "r.json"
    )

    assert code == 0, errors
    first, second = json.loads((tmp_path / "r.json").read_text())
    assert first["metrics"]["rank1"] == 1 and first["protocol"]["gallery"] == "2 identities, 3 photos"
    assert second["metrics"]["rank1"] == 1 and second["protocol"]["non-mated probes"] == 6
    assert second["mistakes"][0]["right"].endswith(".png")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("gallery={root}/gallery.txt", "both lists"),
        ("gallery={root}/gallery.txt,probes={root}/gallery.txt", "find themselves"),
        ("gallery={root}/gallery.txt,probes={root}/absent.txt", "are not there"),
        ("gallery={root}/gallery.txt,probes={root}/wide.txt", "line 1"),
        ("gallery={root}/gallery.txt,probes={root}/twice.txt", "two identities"),
        ("enrolled=0", "enrolled=0"),
        ("enrolled=9", "0 probes"),
        ("aligned=arcface,landmarks={root}/points.csv", "exclude each other"),
    ],
)
def test_what_cannot_be_used_is_said_in_one_sentence(folder, options, words):
    (folder / "absent.txt").write_text("z/9.png Ann\n")
    (folder / "twice.txt").write_text("c/0.png Cy\nc/0.png Di\n")
    (folder / "wide.txt").write_text("a/1.png Ann Lee\n")

    with pytest.raises(InputError, match=words):
        BENCHMARKS.create(f"identify:root={folder},{options.format(root=folder)},unknown=0")


def test_an_empty_list_is_refused(tmp_path):
    (tmp_path / "empty.txt").write_text("\n")

    with pytest.raises(InputError, match="no photos"):
        read_identity_list(tmp_path / "empty.txt")


def test_mistakes_show_the_most_alike_photo_of_the_wrong_identity():
    photos = [Photo(name, b"") for name in ("own", "far", "near", "probe")]
    embeddings = np.array([[0.0, 1.0], [0.5, 0.5], [1.0, 0.0], [1.0, 0.1]])

    report = Identification(
        "toy", photos, np.arange(3), np.array([3]), np.array([0, 1, 1]), np.array([0]), resamples=0
    ).score(embeddings)

    assert [(mistake.left, mistake.right) for mistake in report.mistakes] == [("probe", "near")]


def test_probes_of_strangers_alone_are_scored():
    report = made(np.arange(3), np.arange(3, 8), resamples=10).score(np.random.default_rng(0).normal(size=(8, 4)))
    assert not report.metrics and not report.intervals
