"""The memory of a training step follows from sizes that can be counted by hand."""

from __future__ import annotations

import pytest
import torch

from facezoo.config import config_from_dict
from facezoo.dry_run import StandIn
from facezoo.measure.training import activation_bytes, step_memory
from facezoo.plan import create_mode
from facezoo.registry import BACKBONES

BACKBONE = "mobilefacenet:embedding_dim=16,width=0.25,input_size=32"


def memory(processes=1, **sections):
    values = {"model": {"backbone": BACKBONE}, "data": {"train": "folder:root=none", "batch_size": 32}}
    for name, section in sections.items():
        values[name] = {**values.get(name, {}), **section}
    config = config_from_dict(values)
    with torch.device("meta"):
        mode = create_mode(config, StandIn(1000, 5000))
    return step_memory(mode, config, processes)


def size(network):
    return 4 * sum(parameter.numel() for parameter in network.parameters())


def test_weights_and_what_the_optimiser_keeps():
    network = BACKBONES.create(BACKBONE)
    buffers = sum(buffer.numel() * buffer.element_size() for buffer in network.buffers())

    plain, adamw = memory(), memory(optim={"name": "adamw", "ema": 0.999})

    assert plain.weights == size(network) + buffers
    assert plain.optimizer == size(network)
    assert adamw.optimizer == 2 * size(network)
    assert (plain.average, adamw.average) == (0, size(network) + buffers)


@pytest.mark.parametrize(("rate", "tensors"), [(1.0, 3), (0.25, 2.25)])
def test_class_centres_their_gradient_and_momentum_are_shared_by_processes(rate, tensors):
    found = [memory(processes, model={"sample_rate": rate}).centres for processes in (1, 4)]

    assert found == [1000 * 16 * 4 * tensors, 250 * 16 * 4 * tensors]


def test_activations_grow_with_the_crops_of_a_process():
    of = {batch: activation_bytes(BACKBONE, batch) for batch in (2, 8, 16)}

    assert of[16] - of[8] == pytest.approx(8 / 6 * (of[8] - of[2]), rel=0.02)
    assert memory(processes=4).activations == of[8]
    assert activation_bytes(BACKBONE, 16, half=True) == pytest.approx(of[16] / 2, rel=0.05)


def test_nothing_is_kept_for_what_is_frozen():
    frozen = (False,) * len(list(BACKBONES.create(BACKBONE).parameters()))

    assert activation_bytes(BACKBONE, 16, trained=frozen) < activation_bytes(BACKBONE, 16) / 4


def test_logits_are_a_few_matrices_of_the_batch_by_the_columns():
    one, sampled = memory().logits, memory(model={"sample_rate": 0.1}).logits

    assert 2 * 32 * 1000 * 4 <= one <= 6 * 32 * 1000 * 4
    assert sampled == pytest.approx(one / 10, rel=0.01)
