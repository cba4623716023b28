"""The ends of the scores of all pairs, and the bins of the rest."""

import numpy as np

from facezoo.evaluation.pair_counting import count_pairs
from facezoo.evaluation.tails import BINS, STEPS, Tail


def test_a_tail_holds_whole_bins_and_counts_the_rest():
    generator = np.random.default_rng(0)
    scaled = (generator.uniform(-1, 1, (40, 100)) * STEPS).astype(np.float32)
    scaled[0, :10] = -BINS // 2  # not counted
    tail = Tail(500)
    for start in range(0, 40, 7):
        rows = scaled[start : start + 7]
        tail.add(rows, lambda found, start=start: (start + found // 100, found % 100))

    end = tail.end()

    assert tail.counts.sum() == 3990
    assert len(end.scores) <= 500
    assert len(end.scores) + end.bulk.sum() == 3990
    np.testing.assert_array_equal(end.scores, np.sort(scaled.ravel())[::-1][: len(end.scores)].astype(float) / STEPS)
    np.testing.assert_array_equal(scaled[end.left, end.right].astype(float) / STEPS, end.scores)


def test_extreme_scores_have_a_bin():
    embeddings = np.array([[1, 0], [1, 0], [-1, 0], [0, 1]], np.float32)
    counts = count_pairs(embeddings, np.array([0, 0, 1, 2]), keep=1)
    assert counts.tally().impostor.sum() == 5
    assert counts.tally().genuine.sum() == 1
