"""Samplers: what an epoch holds, from the seed and its number alone."""

from __future__ import annotations

import numpy as np
import pytest

from facezoo.registry import SAMPLERS
from facezoo.types import InputError

# 12 identities with 1 to 12 images, 78 in all, in mixed order.
LABELS = np.random.default_rng(0).permutation(np.repeat(np.arange(12), np.arange(1, 13)))
SHARDS = np.repeat(np.arange(9), [5, 12, 9, 7, 10, 8, 11, 6, 10]).astype(np.int32)


def create(spec, batch_size=8, accumulate=1, seed=0, labels=LABELS, **given):
    # Two sets of six identities of the same names.
    sets = {"source": labels // 6, "classes": [f"{label // 6}-{label % 6}" for label in range(labels.max() + 1)]}
    given = {"shards": SHARDS, "weights": None, **sets, **given}
    return SAMPLERS.create_for(spec, labels=labels, batch_size=batch_size, accumulate=accumulate, seed=seed, **given)


def batches(sampler, epoch=0):
    return sampler.epoch(epoch).reshape(sampler.batches, -1)


EVERY = [
    *("shuffle", "balanced", "identities", "pairs", "blocks", "branches"),
    *("identities:count=2,each=3", "blocks:window=2", "branches:each=2", "branches:same=true"),
]
DRAWS = {"pairs": 2 * 12, "branches": 2 * 6, "branches:each=2": 4 * 6, "branches:same=true": 2 * 6}
"""Images of a pass that is over identities; 78 otherwise."""


def test_every_kind_is_tried():
    assert {spec.partition(":")[0] for spec in EVERY} == set(SAMPLERS.names())


@pytest.mark.parametrize("last", ["drop", "fill"])
@pytest.mark.parametrize("spec", EVERY)
def test_an_epoch_follows_from_the_seed_and_its_number(spec, last):
    spec += f"{',' if ':' in spec else ':'}last={last}"
    sampler = create(spec)
    third = sampler.epoch(3)

    assert np.array_equal(third, create(spec).epoch(3)), "whatever was drawn before"
    assert not np.array_equal(third, sampler.epoch(4))
    assert not np.array_equal(third, create(spec, seed=1).epoch(3))
    assert third.dtype == np.int64 and third.shape == (sampler.size,) and len(LABELS) > third.max() >= third.min() >= 0


@pytest.mark.parametrize("spec", EVERY)
def test_an_epoch_is_whole_steps(spec):
    draws, accumulate = DRAWS.get(spec, len(LABELS)), 1 if spec.startswith("branches") else 3
    step = 8 * accumulate
    for last, steps in (("drop", draws // step), ("fill", -(-draws // step))):
        sampler = create(f"{spec}{',' if ':' in spec else ':'}last={last}", batch_size=8, accumulate=accumulate)
        assert sampler.batches == accumulate * steps and sampler.size == step * steps


@pytest.mark.parametrize("spec", ["shuffle", "balanced", "identities", "pairs", "blocks", "branches"])
def test_a_pass_that_does_not_fill_a_step_is_refused(spec):
    with pytest.raises(InputError, match="fewer than one step of 160"):
        create(spec, batch_size=80, accumulate=2)


@pytest.mark.parametrize("spec", ["shuffle", "blocks", "blocks:window=20"])
def test_every_sample_comes_once_and_what_fills_the_last_step_twice(spec):
    dropped = create(spec).epoch(0)
    filled = create(f"{spec}{',' if ':' in spec else ':'}last=fill").epoch(0)

    assert len(dropped) == 72 and len(set(dropped)) == 72
    assert len(filled) == 80 and set(filled[:78]) == set(range(78))


def test_weights_say_how_often_a_sample_comes():
    weights = np.select([LABELS < 4, LABELS < 8], [0.5, 2.0], 1.25)
    sampler = create("shuffle:last=fill", batch_size=1, weights=weights)
    counts = np.array([np.bincount(sampler.epoch(epoch), minlength=len(LABELS)) for epoch in range(400)])

    assert sampler.size == counts[0].sum() == 5 + 2 * 26 + 42 + round(42 / 4)
    assert (counts[:, LABELS < 4].sum(1) == 5).all() and (counts[:, (LABELS >= 4) & (LABELS < 8)] == 2).all()
    assert np.allclose(counts.mean(0), weights, atol=0.15), "fractions are other samples in every epoch"


@pytest.mark.parametrize("power", [1, 0.5, 0])
def test_balanced_draws_identities_by_their_number_of_images(power):
    many = np.repeat(LABELS, 2000)
    drawn = create(f"balanced:power={power}", batch_size=100, labels=many).epoch(0)
    expected = np.arange(1, 13) ** (1.0 - power)

    assert len(drawn) == len(many)
    assert np.allclose(np.bincount(many[drawn]) / len(drawn), expected / expected.sum(), atol=0.005)


def test_balanced_draws_the_images_of_an_identity_evenly():
    sampler = create("balanced", labels=np.repeat([0, 1], [2, 6]))
    counts = np.mean([np.bincount(sampler.epoch(epoch), minlength=8) for epoch in range(3000)], axis=0)
    assert np.allclose(counts, [2, 2, *[4 / 6] * 6], atol=0.1)


def test_identities_are_p_by_k():
    sampler = create("identities:each=3", batch_size=12)
    for batch in batches(sampler):
        groups = batch.reshape(4, 3)
        people = LABELS[groups]
        assert (people == people[:, :1]).all() and len(set(people[:, 0])) == 4
        for group, person in zip(groups, people[:, 0], strict=True):
            assert len(set(group)) == min(3, person + 1), "different photos, as long as there are"


def test_identities_go_through_everybody_and_all_of_their_photos():
    sampler = create("identities:each=2,last=fill", batch_size=8)
    drawn = sampler.epoch(0).reshape(-1, 2)
    people = np.bincount(LABELS[drawn[:, 0]], minlength=12)
    assert people.min() == 3 and people.max() == 4
    for person in range(12):
        photos = np.bincount(drawn[LABELS[drawn[:, 0]] == person].ravel(), minlength=78)[person == LABELS]
        assert photos.max() - photos.min() <= 1, "nobody's photo twice before all have come"


def test_the_rest_of_a_batch_is_drawn_from_all():
    sampler = create("identities:count=2,each=3", batch_size=8)
    rest = batches(sampler)[:, 6:].ravel()

    assert all(len(set(LABELS[batch[:6]])) == 2 for batch in batches(sampler))
    assert len(set(rest)) == len(rest) == 2 * sampler.batches


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("identities:each=1", "each is 1, it must be 2 to data.batch_size, 8"),
        ("identities:each=3", "each is 3, which does not divide a batch of 8; give count"),
        ("identities:count=3,each=4", "count is 3, with each=4 it must be 1 to 2"),
        ("balanced:power=2", "power is 2.0"),
        ("blocks:window=0", "window is 0"),
        ("pairs:exclude=3,last=fill", "do not go together"),
        ("pairs:exclude=9", "exclude is 9, it must be 0 to 2: half of an epoch's 12 identities less a batch's 4"),
        ("shuffle:seed=3", "seed follows from the data"),
        ("mixed", "unknown sampler 'mixed'; known: balanced, blocks, branches, identities, pairs, shuffle"),
    ],
)
def test_what_cannot_be_drawn_is_refused(spec, words):
    with pytest.raises(InputError, match=words):
        create(spec)


def test_more_identities_than_there_are_cannot_share_a_batch():
    with pytest.raises(InputError, match="20 identities a batch, the data have 12"):
        create("identities:each=2", batch_size=40)


def test_pairs_need_an_even_batch():
    with pytest.raises(InputError, match="must be even"):
        create("pairs", batch_size=7)


def test_blocks_need_shards():
    with pytest.raises(InputError, match="the data have no shards"):
        create("blocks", shards=None)


def test_pairs_are_two_photos_of_everybody_side_by_side():
    for epoch in range(4):
        pairs = create("pairs").epoch(epoch).reshape(-1, 2)
        people = LABELS[pairs]
        assert (people[:, 0] == people[:, 1]).all() and sorted(people[:, 0]) == list(range(12))
        alone = people[:, 0] == 0
        assert ((pairs[:, 0] == pairs[:, 1]) == alone).all(), "the only photo comes twice"


def test_a_pair_stays_on_one_rank():
    assert create("pairs").group == 2


@pytest.mark.parametrize(("exclude", "batch_size"), [(0, 4), (5, 4), (20, 16), (17, 2)])
def test_nobody_comes_again_while_in_the_queue(exclude, batch_size):
    labels = np.repeat(np.arange(61), 2)
    sampler = create(f"pairs:exclude={exclude}", batch_size=batch_size, labels=labels)
    people = labels[np.concatenate([sampler.epoch(epoch)[::2] for epoch in range(12)])]
    pairs = batch_size // 2
    for start in range(0, len(people), pairs):
        queue = people[max(0, start - exclude) : start]
        assert not set(queue) & set(people[start : start + pairs])
    for epoch in people.reshape(12, -1):
        assert len(set(epoch)) == len(epoch), "everybody at most once an epoch"


def test_without_exclude_somebody_would_come_again():
    labels = np.repeat(np.arange(61), 2)
    people = labels[np.concatenate([create("pairs", labels=labels).epoch(e)[::2] for e in range(12)])]
    assert any(set(people[start - 20 : start]) & set(people[start : start + 4]) for start in range(20, len(people), 4))


@pytest.mark.parametrize("window", [1, 3, 4])
def test_blocks_stay_within_a_few_shards_and_read_each_once(window):
    drawn = SHARDS[create(f"blocks:window={window},last=fill", batch_size=2).epoch(0)]
    last = {shard: np.flatnonzero(drawn == shard)[-1] for shard in range(9)}
    first = {shard: np.flatnonzero(drawn == shard)[0] for shard in range(9)}

    open_at_once = [sum(first[s] <= place <= last[s] for s in range(9)) for place in range(78)]
    assert max(open_at_once) <= window
    assert list(drawn) != sorted(drawn)


def test_blocks_mix_the_shards_of_a_window():
    drawn = SHARDS[create("blocks:window=9", batch_size=2).epoch(0)]
    assert np.abs(np.diff(drawn)).sum() > 78
