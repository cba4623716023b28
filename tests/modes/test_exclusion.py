"""Semi-siamese training with its sampler: nobody meets himself as a negative, also over epochs and after a restart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facezoo.config import Config, config_from_dict
from facezoo.image import write_image
from facezoo.train import Trainer

PEOPLE, QUEUE = 32, 9


def config(root: Path, sampler: str) -> Config:
    values = {
        "model": {
            "backbone": "mobilefacenet:embedding_dim=16,width=0.25,input_size=[32,32]",
            "head": "cosface:scale=8",
            "mode": f"semi_siamese:queue={QUEUE}",
        },
        "data": {"train": f"folder:root={root}", "batch_size": 8, "workers": 0, "sampler": sampler},
        "train": {"epochs": 3, "threads": 1, "save_every": 5},
    }
    return config_from_dict(values)


def watched(trainer: Trainer) -> list[set[int]]:
    """Who of every batch is in the queue already."""
    again: list[set[int]] = []
    forward = trainer.mode.forward

    def look(images, labels, samples):
        again.append(set(trainer.mode.head.queue.known().tolist()) & set(labels.tolist()))
        return forward(images, labels, samples)

    trainer.mode.forward = look
    return again


@pytest.fixture(scope="module")
def faces(tmp_path_factory) -> Path:
    root, rng = tmp_path_factory.mktemp("faces"), np.random.default_rng(0)
    for person in range(PEOPLE):
        for number in range(2):
            write_image(root / f"{person:02}" / f"{number}.png", rng.integers(0, 255, (32, 32, 3), dtype=np.uint8))
    return root


def test_nobody_is_in_the_queue_when_he_comes_again(faces, tmp_path, caplog):
    settings = config(faces, f"pairs:exclude={QUEUE}")
    first = Trainer(settings, tmp_path)
    assert "count as negatives" not in caplog.text
    before, first.total = watched(first), 10  # ends with its state saved, two steps into the second epoch
    first.run()
    second = Trainer(settings, tmp_path)
    assert second.step == 10 and len(second.mode.head.queue.known()) == QUEUE
    after = watched(second)
    second.run()

    assert len(before) == 10 and len(after) == 14
    assert not any(before) and not any(after)


def test_less_than_the_queue_is_too_little(faces, tmp_path, caplog):
    Trainer(config(faces, f"pairs:exclude={QUEUE - 2}"), tmp_path).folder.close()
    assert f"count as negatives; write exclude={QUEUE}" in caplog.text


def test_without_exclude_somebody_is(faces, tmp_path, caplog):
    trainer = Trainer(config(faces, "pairs"), tmp_path)
    assert f"count as negatives; write exclude={QUEUE}, or mask_duplicates=true" in caplog.text
    again = watched(trainer)
    trainer.run()
    assert any(again)
