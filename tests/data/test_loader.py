"""Batches are the same on any number of ranks and workers; a file that cannot be read is replaced and named."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image as Pillow

from facezoo.data.dataset import Dataset
from facezoo.data.loader import Order, Place, Samples, create_loader
from facezoo.data.samplers import Shuffle
from facezoo.data.transforms import create_transforms
from facezoo.files import write_bytes
from facezoo.image import write_image
from facezoo.registry import DATASETS, SAMPLERS
from facezoo.types import InputError


@pytest.fixture
def data(tmp_path):
    for name in ("ada/1.png", "ada/2.png", "bob/1.png", "bob/2.png"):
        write_image(tmp_path / name, np.zeros((8, 8, 3), np.uint8))
    return DATASETS.create(f"folder:root={tmp_path}")


def batches(data, workers):
    samples = Samples(data, create_transforms([]), (8, 8), seed=0)
    return create_loader(samples, Order(Shuffle(data.labels, 2, 1, 0), start=0, stop=2), workers, pin_memory=False)


@pytest.mark.parametrize("workers", [0, 1])
def test_files_that_cannot_be_read_are_one_sentence_from_any_process(data, workers):
    for index in range(len(data)):
        write_bytes(data.root / data.name(index), b"x")

    with pytest.raises(InputError, match="4 files in a row cannot be read, the last: ") as caught:
        next(batches(data, workers))

    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_replaced_and_named(data):
    write_bytes(data.root / "ada" / "2.png", b"x")

    found = list(batches(data, workers=0))

    assert [len(batch.crops) for batch in found] == [2, 2]
    assert ["ada/2.png: not an image" in message for batch in found for message in batch.replaced] == [True]


class Numbered(Dataset):
    """37 crops of 5 identities in 7 shards; the pixels of a crop are its number."""

    def __init__(self):
        self.labels = np.random.default_rng(0).permutation(np.repeat(np.arange(5), [1, 4, 8, 12, 12]))
        self.classes = list("abcde")
        self.shards = np.sort(np.arange(37) % 7).astype(np.int32)

    def encoded(self, index):
        return encode_png(np.full((9, 9, 3), index, np.uint8))

    def name(self, index):
        return str(index)


def encode_png(image):
    buffer = io.BytesIO()
    Pillow.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


SAMPLERS_TRIED = ["shuffle", "shuffle:last=fill", "balanced", "identities:count=2,each=3", "pairs:last=fill", "blocks"]


@pytest.mark.parametrize("spec", SAMPLERS_TRIED)
@pytest.mark.parametrize("workers", [0, 1, 2])
def test_any_number_of_ranks_and_workers_sees_the_same(spec, workers):
    data = Numbered()
    given = {"labels": data.labels, "shards": data.shards, "weights": None, "batch_size": 10, "seed": 5}
    sampler = SAMPLERS.create_for(spec, accumulate=1, **given)
    samples = Samples(data, create_transforms(["flip", "noise:probability=1"]), (9, 9), seed=5)
    start, stop = 1, 2 * sampler.batches + 1  # from within one epoch into another

    def seen(ranks, workers):
        orders = [Order(sampler, start, stop, rank, ranks) for rank in range(ranks)]
        parts = [list(create_loader(samples, order, workers, pin_memory=False)) for order in orders]
        assert {len(part) for part in parts} == {stop - start}, "as many batches on every rank"
        return [
            (np.concatenate([b.crops for b in batch]), [s for b in batch for s in b.samples])
            for batch in zip(*parts, strict=True)
        ]

    alone = seen(1, 0)
    for ranks in (1, 2, 3):
        for (crops, numbers), (expected, expected_numbers) in zip(seen(ranks, workers), alone, strict=True):
            assert numbers == expected_numbers
            assert np.array_equal(crops, expected)


def test_ranks_take_whole_pairs():
    sampler = SAMPLERS.create_for("pairs", labels=np.repeat(np.arange(30), 2), batch_size=10, accumulate=1, seed=0)
    for rank in range(3):
        for batch in Order(sampler, 0, 6, rank, 3):
            assert len(batch) in (2, 4) and all(a.sample // 2 == b.sample // 2 for a, b in zip(*[iter(batch)] * 2))


def test_a_file_that_cannot_be_read_is_replaced_by_another_of_the_same_person(data):
    write_bytes(data.root / "bob" / "2.png", b"x")
    write_bytes(data.root / "ada" / "2.png", b"x")

    for batch in batches(data, workers=0):
        assert [data.labels[index] for index in batch.samples] == batch.labels.tolist()
    samples = Samples(data, create_transforms([]), (8, 8), seed=0)
    assert [samples[Place(0, 0, index)].source for index in range(4)] == [0, 0, 2, 2]
