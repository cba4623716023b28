"""Rounding at random: always a neighbour, on average the value itself."""

from __future__ import annotations

import pytest
import torch

from facezoo.optim.rounding import round_bfloat16_, rounding_noise


def test_the_mean_of_many_roundings_is_the_value():
    torch.manual_seed(0)
    values = torch.tensor([1.0012, -1.0012, 3.1415, -2.7e-3, 1e-20, 65500.0, 0.3333])
    rounded = round_bfloat16_(values.repeat(100_000, 1)).double()

    step = values.abs().double() * 2.0**-7
    assert ((rounded.mean(0) - values).abs() < 4 * step * (0.25 / 100_000) ** 0.5).all()
    assert ((rounded - values).abs() < step).all()


def test_what_bfloat16_holds_is_kept():
    values = torch.tensor([0.0, -0.0, 1.0, -1.5, float("inf"), -float("inf"), 2.0**-120, -(2.0**100)])
    assert torch.equal(round_bfloat16_(values.clone().repeat(50)).float(), values.repeat(50))
    assert round_bfloat16_(torch.tensor([float("nan")] * 50)).isnan().all()


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5, 7, 1001])
def test_any_number_of_values_is_rounded(count):
    torch.manual_seed(count)
    values = torch.randn(count)
    rounded = round_bfloat16_(values.clone())
    assert rounded.shape == values.shape
    assert ((rounded.float() - values).abs() <= values.abs() * 2.0**-7).all()


def test_the_seed_decides():
    def rounded() -> torch.Tensor:
        torch.manual_seed(3)
        return round_bfloat16_(torch.linspace(-1, 1, 999))

    assert torch.equal(rounded(), rounded())


def test_noise_is_uniform_in_both_halves():
    torch.manual_seed(0)
    noise = rounding_noise(200_000, torch.device("cpu"))
    assert noise.min() >= 0 and noise.max() <= 0xFFFF
    for half in noise:
        counts = torch.bincount(half // 4096, minlength=16)
        assert (counts / len(half) - 1 / 16).abs().max() < 0.004
