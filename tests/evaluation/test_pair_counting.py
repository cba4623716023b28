"""Counting all pairs in threads: how it ends."""

import pytest
from threadpoolctl import threadpool_info

from facezoo.evaluation import pair_counting
from facezoo.evaluation.pair_counting import count_pairs


def test_ctrl_c_does_not_wait_for_the_genuine_pairs(drawn_people, monkeypatch):
    embeddings, identity = drawn_people()
    limits, taken = {pool["num_threads"] for pool in threadpool_info()}, []

    def many(order, codes):
        for _ in range(30_000):
            taken.append(1)
            yield order[:1], order[1:2]

    def interrupted(*_):
        while not taken:
            pass
        raise KeyboardInterrupt

    monkeypatch.setattr(pair_counting, "same_pairs", many)
    monkeypatch.setattr(pair_counting, "ahead", interrupted)
    with pytest.raises(KeyboardInterrupt):
        count_pairs(embeddings, identity)
    assert len(taken) < 30_000
    assert {pool["num_threads"] for pool in threadpool_info()} == limits
