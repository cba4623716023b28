"""What a loader does about files that cannot be read."""

from __future__ import annotations

import numpy as np
import pytest

from facezoo.data.loader import Order, Samples, create_loader
from facezoo.data.samplers import Shuffle
from facezoo.data.transforms import create_transforms
from facezoo.files import write_bytes
from facezoo.image import write_image
from facezoo.registry import DATASETS
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
