"""Our layers' gradients are those of the layers they stand for."""

import pytest
import torch
from torch import nn

from facezoo.backbones.kernels import PReLU, StridedDepthwise
from facezoo.registry import BACKBONES


def gradients(layer: nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    x = x.clone().requires_grad_()
    layer.zero_grad()
    y = layer(x)
    torch.manual_seed(1)
    (y * torch.randn_like(y)).sum().backward()
    return [y, x.grad, *(p.grad for p in layer.parameters())]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(3, 5, 7, 6), (4, 5)])
def test_prelus_gradients_are_torchs(shape, dtype):
    torch.manual_seed(0)
    x = torch.randn(shape).to(dtype)
    x.view(-1)[::7] = 0
    own, stock = PReLU(5).to(dtype), nn.PReLU(5).to(dtype)
    for got, wanted in zip(gradients(own, x), gradients(stock, x), strict=True):
        assert got.dtype == wanted.dtype
        torch.testing.assert_close(
            got, wanted, rtol=1e-12 if dtype == torch.float64 else None, atol=None if dtype != torch.float64 else 1e-12
        )


@pytest.mark.parametrize("size", [(8, 8), (7, 9), (14, 15)])
@pytest.mark.parametrize("kernel", [3, 5])
def test_a_strided_depthwise_convolutions_gradients_are_torchs(size, kernel):
    torch.manual_seed(0)
    own = StridedDepthwise(16, kernel).bfloat16()
    stock = nn.Conv2d(16, 16, kernel, 2, kernel // 2, groups=16, bias=False)
    stock.load_state_dict(own.state_dict())
    x = torch.randn(4, 16, *size).bfloat16()
    for got, wanted in zip(gradients(own, x), gradients(stock, x.float()), strict=True):
        assert got.dtype == torch.bfloat16
        assert (got.float() - wanted).norm() <= 0.01 * wanted.norm()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_autocast_gives_float32_gradients_to_float32_weights(dtype):
    layer = StridedDepthwise(8, 3)
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(torch.randn(2, 8, 6, 6, dtype=dtype))
    assert y.dtype == torch.bfloat16
    y.float().sum().backward()
    assert layer.weight.grad.dtype == torch.float32


def test_under_autocast_the_network_learns_as_with_torchs_layers():
    """One step in bfloat16: the gradients of ours and of the stock layers differ by rounding."""
    torch.manual_seed(0)
    own = BACKBONES.create("mobilefacenet:width=0.25,embedding_dim=16,input_size=64")
    stock = BACKBONES.create("mobilefacenet:width=0.25,embedding_dim=16,input_size=64")
    stock.load_state_dict(own.state_dict())
    for module in stock.modules():
        if isinstance(module, PReLU):
            module.__class__ = nn.PReLU
        elif isinstance(module, StridedDepthwise):
            module.__class__ = nn.Conv2d
    crops, pull = torch.rand(8, 3, 64, 64), torch.randn(8, 16)
    for network in (own, stock):
        with torch.autocast("cpu", torch.bfloat16):
            (network(crops).float() * pull).sum().backward()
    pairs = zip(own.parameters(), stock.parameters(), strict=True)
    got, wanted = (torch.cat([g.flatten() for g in side]) for side in zip(*((a.grad, b.grad) for a, b in pairs)))
    assert torch.nn.functional.cosine_similarity(got, wanted, dim=0) > 0.99


def test_a_frozen_slope_and_a_first_layer_need_no_gradient():
    layer = PReLU(4)
    layer.weight.requires_grad_(False)
    x = torch.randn(2, 4, 3, 3, requires_grad=True)
    layer(x).sum().backward()
    assert x.grad is not None and layer.weight.grad is None
    StridedDepthwise(4, 3).bfloat16()(torch.randn(2, 4, 6, 6).bfloat16()).sum().backward()


def test_a_gradient_of_prelu_can_be_differentiated():
    layer = PReLU(3).double()
    x = torch.randn(2, 3, 4, 4, dtype=torch.float64, requires_grad=True)

    assert torch.autograd.gradgradcheck(layer, (x,))
