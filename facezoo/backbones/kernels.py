"""Layers whose CPU gradients PyTorch computes slowly, the same functions with gradients made of fast operations.

Values and gradients are those of the layers they derive from, up to the order of rounding; state dicts, export and
other devices see no difference. Measured in one training step of MobileFaceNet in bfloat16: `benchmarks/train_step.py`.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class PReLU(nn.PReLU):
    """nn.PReLU with a gradient of five vectorised passes; the built-in one branches on every value."""

    def forward(self, x: Tensor) -> Tensor:
        # A compiler fuses the built-in form, and an exporter knows it by name.
        if x.device.type == "cpu" and torch.is_grad_enabled() and not torch.compiler.is_compiling():
            return _PReLU.apply(x, self.weight.to(x.dtype))
        return super().forward(x)


class _PReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, slope: Tensor) -> Tensor:
        ctx.save_for_backward(x, slope)
        return F.prelu(x, slope)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        (gradient,) = gradients
        x, slope = ctx.saved_tensors
        above = torch.ops.aten.threshold_backward(gradient, x, 0)
        below = gradient - above
        channels = slope.view(1, -1, *(1,) * (x.dim() - 2))
        others = [d for d in range(x.dim()) if d != 1]
        if torch.is_grad_enabled():  # to be differentiated again
            return torch.addcmul(above, below, channels), (below * x).sum(others)
        above.addcmul_(below, channels)  # in place: fresh memory costs more than the sum
        return above, below.mul_(x).sum(others)


class StridedDepthwise(nn.Conv2d):
    """A depthwise convolution with stride 2; in bfloat16 its input's gradient takes the way of stride 1.

    The gradient is spread over a map of full size with zeros between and goes through the gradient of the same
    convolution with stride 1, for which a fast kernel exists.
    """

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__(channels, channels, kernel, 2, kernel // 2, groups=channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        low = torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16
        if x.device.type == "cpu" and torch.is_grad_enabled() and (low or x.dtype == torch.bfloat16):
            return _StridedDepthwise.apply(x.bfloat16(), self.weight.bfloat16())
        return super().forward(x)


class _StridedDepthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return F.conv2d(x, weight, None, 2, weight.shape[-1] // 2, 1, weight.shape[0])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        (gradient,) = gradients
        x, weight = ctx.saved_tensors
        spread = torch.zeros_like(x)
        spread[:, :, ::2, ::2] = gradient
        for_x = _gradients(spread, x, weight, stride=1, wanted=[True, False, False])[0]
        return for_x, _gradients(gradient, x, weight, stride=2, wanted=[False, True, False])[1]


def _gradients(gradient: Tensor, x: Tensor, weight: Tensor, stride: int, wanted: list[bool]) -> Any:
    padding, groups = weight.shape[-1] // 2, weight.shape[0]
    return torch.ops.aten.convolution_backward(
        gradient, x, weight, None, [stride] * 2, [padding] * 2, [1, 1], False, [0, 0], groups, wanted
    )
