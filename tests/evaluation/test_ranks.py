import tracemalloc

import numpy as np
import pytest

from facezoo.evaluation import ranks, vectors
from facezoo.evaluation.ranks import running_top, search
from facezoo.evaluation.vectors import Vectors, pair_scores
from facezoo.types import InputError, unit


@pytest.fixture
def small_blocks(monkeypatch):
    """Several blocks of gallery and probes on data that can be seen through."""
    monkeypatch.setattr(ranks, "PROBES", 7)
    monkeypatch.setattr(ranks, "STRIP", 3)
    monkeypatch.setattr(vectors, "EXACT", 16)
    monkeypatch.setattr(vectors, "BLOCK", 5)


def drawn(rows, seed=0, dim=6):
    return np.random.default_rng(seed).normal(size=(rows, dim)).astype(np.float32)


def test_the_largest_scores_are_those_of_the_full_matrix_for_any_size(small_blocks):
    probes, gallery = drawn(20), drawn(53, 1)
    full = unit(probes.astype(float)) @ unit(gallery.astype(float)).T

    tops = running_top(Vectors(probes), Vectors(gallery), 4, [2, 10, 53])

    for size, top in zip([2, 10, 53], tops):
        expected = -np.sort(-full[:, :size], axis=1)[:, :4]
        np.testing.assert_allclose(top.scores[:, : expected.shape[1]], expected, rtol=1e-6)
        np.testing.assert_array_equal(top.places[:, : expected.shape[1]], np.argsort(-full[:, :size], axis=1)[:, :4])
    assert (tops[0].places[:, 2:] == -1).all() and np.isneginf(tops[0].scores[:, 2:]).all()


@pytest.mark.parametrize("copies", [1, 30])
def test_the_largest_are_exact_where_products_in_float32_cannot_tell(small_blocks, copies):
    """Vectors that differ by less than float32 shows, and some that are equal."""
    generator = np.random.default_rng(0)
    gallery = np.repeat(drawn(1, 2) + 1e-9 * generator.normal(size=(60 // copies, 6)), copies, axis=0)
    gallery = generator.permutation(np.concatenate([gallery, drawn(20, 3)]))
    probes = drawn(9, 1).astype(np.float64)
    full = (unit(probes)[:, None] * unit(gallery)[None]).sum(axis=2)

    tops = running_top(Vectors(probes), Vectors(gallery), 5, [12, 80])

    for size, top in zip([12, 80], tops, strict=True):
        np.testing.assert_array_equal(top.scores, -np.sort(-full[:, :size], axis=1)[:, :5])
        np.testing.assert_array_equal(full[np.arange(9)[:, None], top.places], top.scores)
        assert all(len(set(places)) == 5 for places in top.places.tolist())


def test_a_model_that_gives_one_embedding_is_ranked_all_the_same(monkeypatch):
    monkeypatch.setattr(ranks, "CROWD", 3)
    top = running_top(Vectors(drawn(4, 1)), Vectors(np.repeat(drawn(1), 50, axis=0)), 2, [50])[0]
    assert (top.scores[:, 0] == top.scores[:, 1]).all() and (top.places[:, 0] != top.places[:, 1]).all()


def test_an_identity_can_have_the_mean_of_its_photos(small_blocks):
    gallery, group = drawn(30, 1), np.sort(np.random.default_rng(3).integers(0, 8, 30))
    group = np.unique(group, return_inverse=True)[1]
    probes = drawn(12)
    means = unit(np.stack([unit(gallery[group == g].astype(float)).mean(axis=0) for g in range(group.max() + 1)]))
    full = unit(probes.astype(float)) @ means.T

    vectors_of = Vectors(gallery, group=group, mean=True)
    found = search(Vectors(probes), vectors_of, np.zeros(12, np.intp))
    top = running_top(Vectors(probes), vectors_of, 2, [full.shape[1]])[0]

    np.testing.assert_allclose(found.mate, full[:, 0], rtol=1e-6)
    np.testing.assert_array_equal(found.above, (full[:, 1:] > full[:, :1]).sum(axis=1))
    np.testing.assert_allclose(top.scores, -np.sort(-full, axis=1)[:, :2], rtol=1e-6)


def test_the_means_of_a_large_gallery_are_not_held(monkeypatch):
    monkeypatch.setattr(vectors, "BLOCK", 256)
    gallery = drawn(20_000, dim=64)
    tracemalloc.start()
    search(Vectors(drawn(8, 1, 64)), Vectors(gallery, group=np.arange(20_000) // 2, mean=True), np.arange(8))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < gallery.nbytes / 3


def test_rising_scores_do_not_lose_any(small_blocks):
    """Every block holds larger scores than all before it: each replaces all that was kept."""
    angle = np.linspace(1.5, 0, 40)
    gallery = np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)

    top = running_top(Vectors(np.array([[1.0, 0.0]])), Vectors(gallery), 3, [40])[0]

    assert top.places.tolist() == [[39, 38, 37]]


def test_ranks_are_those_of_the_full_matrix(small_blocks):
    probes, gallery = drawn(30), drawn(41, 1)
    mates = np.random.default_rng(2).integers(-1, 41, 30)
    full = unit(probes.astype(float)) @ unit(gallery.astype(float)).T
    others = full.copy()
    mated = np.flatnonzero(mates >= 0)
    others[mated, mates[mated]] = -np.inf

    found = search(Vectors(probes), Vectors(gallery), mates)

    np.testing.assert_allclose(found.mate[mated], full[mated, mates[mated]], rtol=1e-6)
    np.testing.assert_array_equal(found.above[mated], (others > found.mate[:, None]).sum(axis=1)[mated])
    np.testing.assert_array_equal(found.place, others.argmax(axis=1))
    np.testing.assert_allclose(found.best, others.max(axis=1), rtol=1e-6)
    assert not found.tied.any() and np.isneginf(found.mate[mates < 0]).all()


def test_equal_embeddings_tie_exactly_whatever_the_product_rounds(small_blocks):
    gallery = np.repeat(drawn(1), 23, axis=0)

    found = search(Vectors(drawn(9, 1)), Vectors(gallery), np.full(9, 11))

    assert (found.tied == 22).all() and not found.above.any()


def test_an_identity_with_several_photos_has_the_score_of_its_best(small_blocks):
    gallery, group = drawn(30, 1), np.sort(np.random.default_rng(3).integers(0, 8, 30))
    group = np.unique(group, return_inverse=True)[1]
    probes = drawn(12)
    full = unit(probes.astype(float)) @ unit(gallery.astype(float)).T
    best = np.stack([full[:, group == g].max(axis=1) for g in range(group.max() + 1)], axis=1)

    found = search(Vectors(probes), Vectors(gallery, group=group), np.zeros(12, np.intp))
    top = running_top(Vectors(probes), Vectors(gallery, group=group), 2, [best.shape[1]])[0]

    np.testing.assert_allclose(found.mate, best[:, 0], rtol=1e-6)
    np.testing.assert_array_equal(found.above, (best[:, 1:] > best[:, :1]).sum(axis=1))
    np.testing.assert_allclose(top.scores, -np.sort(-best, axis=1)[:, :2], rtol=1e-6)


def test_rows_in_any_order_and_a_factor_are_respected(small_blocks):
    gallery = drawn(20, 1)
    rows, factor = np.array([0, 2, 1, 3, 9, 8]), np.array([1, 0, 1, 0.5, 1, 1])
    probes = drawn(3)

    scores = pair_scores(
        Vectors(probes), np.repeat(np.arange(3), 6), Vectors(gallery, rows, factor=factor), np.tile(np.arange(6), 3)
    )
    top = running_top(Vectors(probes), Vectors(gallery, rows, factor=factor), 6, [6])[0]

    expected = (unit(probes.astype(float)) @ unit(gallery.astype(float)).T)[:, rows] * factor
    np.testing.assert_allclose(scores.reshape(3, 6), expected, rtol=1e-6)
    np.testing.assert_allclose(top.scores, -np.sort(-expected, axis=1), rtol=1e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_embeddings_that_are_not_finite_are_refused(value):
    broken = drawn(5)
    broken[3, 2] = value

    with pytest.raises(InputError, match="not finite"):
        search(Vectors(drawn(2)), Vectors(broken), np.array([0, 1]))


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_equal_embeddings_tie_in_any_order_of_memory(small_blocks, kind):
    gallery = np.repeat(drawn(30, 1, 64), 2, axis=0).astype(kind)
    probes, mates = drawn(60, 2, 64).astype(kind), np.arange(60)

    found = [search(Vectors(probes), Vectors(order(gallery)), mates) for order in (np.asarray, np.asfortranarray)]

    for each in found:
        assert (each.tied == 1).all() and (each.above == found[0].above).all()
    tops = [
        running_top(Vectors(probes), Vectors(order(gallery)), 4, [60])[0] for order in (np.asarray, np.asfortranarray)
    ]
    np.testing.assert_array_equal(tops[0].scores, tops[1].scores)
