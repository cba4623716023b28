import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facezoo.gallery import index
from facezoo.gallery.index import Index
from facezoo.types import unit


def filled(vectors, owners, ids=None):
    made = Index(vectors.shape[1])
    ids = np.arange(1, len(vectors) + 1) if ids is None else ids
    made.extend(len(vectors), iter([(ids, np.asarray(owners), vectors)]))
    return made


def brute_force(vectors, owners, query, k, photos):
    """Score and best photo of each identity, one at a time; all that reach the k-th score."""
    scores = []
    for owner in sorted(set(owners.tolist())):
        rows = np.flatnonzero(owners == owner)
        cosines = [float(np.dot(vectors[row].astype(np.float64), query.astype(np.float64))) for row in rows]
        score = max(cosines) if photos == "best" else sum(cosines) / len(cosines)
        scores.append((score, owner, int(rows[np.argmax(cosines)]) + 1))
    scores.sort(reverse=True)
    return scores[:k]


@given(
    people=st.integers(1, 60),
    photos=st.integers(1, 300),
    k=st.integers(1, 8),
    way=st.sampled_from(["best", "mean"]),
    block=st.sampled_from([1, 7, 64, 4096]),
    group=st.sampled_from([1, 3, 128]),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=150, deadline=None)
def test_search_equals_brute_force(people, photos, k, way, block, group, seed):
    rng = np.random.default_rng(seed)
    vectors = unit(rng.standard_normal((photos, 6))).astype(np.float32)
    owners = rng.integers(people, size=photos) + 10
    queries = unit(rng.standard_normal((5, 6))).astype(np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index, "BLOCK", block)
        patch.setattr(index, "GROUP", group)
        found = list(filled(vectors, owners).search(queries, k, way))
    for query, matches in zip(queries, found):
        wanted = brute_force(vectors, owners, query, k, way)
        assert [(m.identity, m.embedding) for m in matches] == [(owner, photo) for _, owner, photo in wanted]
        np.testing.assert_allclose([m.score for m in matches], [score for score, _, _ in wanted], atol=1e-12)


def test_equal_embeddings_score_equally_wherever_they_lie(monkeypatch):
    monkeypatch.setattr(index, "BLOCK", 64)
    rng = np.random.default_rng(0)
    vectors = unit(rng.standard_normal((500, 128))).astype(np.float32)
    twins = [3, 64, 200, 499]
    vectors[twins] = vectors[3]
    (matches,) = filled(vectors, np.arange(500)).search(vectors[3:4], 2)
    assert sorted(match.identity for match in matches) == twins
    assert len({match.score for match in matches}) == 1


def test_embeddings_closer_than_float32_resolves_are_ranked_exactly():
    rng = np.random.default_rng(0)
    vectors = unit(np.ones(128) + 3e-6 * rng.standard_normal((2000, 128))).astype(np.float32)
    queries = unit(rng.standard_normal((20, 128)) + 1).astype(np.float32)
    exact = queries.astype(np.float64) @ vectors.T.astype(np.float64)
    for query, matches in enumerate(filled(vectors, np.arange(2000)).search(queries, 3)):
        np.testing.assert_allclose([m.score for m in matches], np.sort(exact[query])[:-4:-1], rtol=0, atol=1e-14)


@given(steps=st.lists(st.tuples(st.booleans(), st.integers(0, 40)), max_size=8), seed=st.integers(0, 1000))
@settings(max_examples=50, deadline=None)
def test_an_index_that_grew_and_shrank_equals_a_new_one(steps, seed):
    rng = np.random.default_rng(seed)
    vectors = unit(rng.standard_normal((400, 4))).astype(np.float32)
    owners = rng.integers(30, size=400)
    grown, kept, following = Index(4), np.empty(0, np.int64), 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index, "BLOCK", 16)
        for grows, amount in steps:
            if grows:
                new = np.arange(following, following + amount)
                following += amount
                grown.extend(amount, iter([(new + 1, owners[new], vectors[new])]))
                kept = np.concatenate([kept, new])
            else:
                kept = kept[rng.random(len(kept)) < 0.7]
                grown.keep(kept + 1)
        queries = vectors[:3]
        assert len(grown) == len(kept) and grown.last == (kept[-1] + 1 if len(kept) else 0)
        fresh = filled(vectors[kept], owners[kept], kept + 1)
        assert list(grown.search(queries, 4)) == list(fresh.search(queries, 4))


def test_an_empty_index_finds_nobody():
    assert list(Index(3).search(np.eye(3, dtype=np.float32), 2)) == [[], [], []]
