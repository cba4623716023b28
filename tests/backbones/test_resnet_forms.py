"""The tweaked stems and shortcuts of https://arxiv.org/abs/1812.01187."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from facezoo.registry import BACKBONES
from facezoo.types import InputError


def build(form: str, **options) -> nn.Module:
    torch.manual_seed(0)
    given = ",".join(f"{key}={value}" for key, value in options.items())
    return BACKBONES.create(f"resnet18:form={form},embedding_dim=16,input_size=64{',' + given if given else ''}").eval()


def strided(network: nn.Module) -> list[tuple[int, ...]]:
    return [m.kernel_size for m in network.modules() if isinstance(m, nn.Conv2d) and m.stride == (2, 2)]


def test_the_usual_form_begins_with_seven_and_skips_pixels_in_shortcuts():
    kernels = strided(build("b"))
    assert kernels[0] == (7, 7) and kernels.count((1, 1)) == 3


def test_three_small_convolutions_stand_for_the_first_large_one():
    network = build("c")
    first = [m.kernel_size for m in network.stem.modules() if isinstance(m, nn.Conv2d)]
    assert first == [(3, 3)] * 3 and strided(network).count((1, 1)) == 3


def test_shortcuts_take_means_where_they_halve_the_map():
    network = build("d")
    pools = [m for m in network.modules() if isinstance(m, nn.AvgPool2d)]
    assert len(pools) == 3 and all(pool.stride in (2, (2, 2)) for pool in pools)
    assert (1, 1) not in strided(network)


@pytest.mark.parametrize("form", ["b", "c", "d"])
@pytest.mark.parametrize("stem", ["keep", "halve"])
def test_every_form_gives_embeddings_of_any_side(form, stem):
    network = build(form, stem=stem)
    assert network(torch.zeros(2, 3, 64, 64)).shape == (2, 16)
    uneven = BACKBONES.create(f"resnet18:form={form},stem={stem},embedding_dim=16,input_size=[60,112]").eval()
    assert uneven(torch.zeros(1, 3, 60, 112)).shape == (1, 16)


def test_another_form_is_refused():
    with pytest.raises(InputError, match="form='e'"):
        build("e")
