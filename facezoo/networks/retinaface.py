"""RetinaFace on a quarter of MobileNet, as FaceX-Zoo's SDK uses it; https://arxiv.org/abs/1905.00641."""

from __future__ import annotations

from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facezoo.backbones.layers import conv
from facezoo.registry import NETWORKS

STRIDES = (8, 16, 32)

SIDES = ((16, 32), (64, 128), (256, 512))
"""Of the two anchors in a cell of each stride, pixels."""

VARIANCES = (0.1, 0.2)
"""Of centres and of sides: the network's shifts are multiples of them."""

SLOPE = 0.1


class ConvBNLeaky(nn.Sequential):
    """Convolution, BatchNorm, LeakyReLU; with a slope of 1 no activation."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1, slope: float = SLOPE) -> None:
        activation = [] if slope == 1 else [nn.LeakyReLU(slope)]
        super().__init__(conv(inputs, outputs, kernel, stride), nn.BatchNorm2d(outputs), *activation)


class Separable(nn.Sequential):
    """A 3x3 filter for each channel, then a 1x1 convolution, each with BatchNorm and LeakyReLU."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__(
            conv(inputs, inputs, 3, stride, groups=inputs),
            nn.BatchNorm2d(inputs),
            nn.LeakyReLU(SLOPE),
            conv(inputs, outputs, 1),
            nn.BatchNorm2d(outputs),
            nn.LeakyReLU(SLOPE),
        )


class Context(nn.Module):
    """SSH's context: filters of 3, 5 and 7 pixels side by side; https://arxiv.org/abs/1708.03979."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half, quarter = channels // 2, channels // 4
        self.three = ConvBNLeaky(channels, half, slope=1)
        self.middle = ConvBNLeaky(channels, quarter)
        self.five = ConvBNLeaky(quarter, quarter, slope=1)
        self.wide = ConvBNLeaky(quarter, quarter)
        self.seven = ConvBNLeaky(quarter, quarter, slope=1)

    def forward(self, x: Tensor) -> Tensor:
        middle = self.middle(x)
        return torch.cat([self.three(x), self.five(middle), self.seven(self.wide(middle))], dim=1).relu()


class Pyramid(nn.Module):
    """Three maps of one width, each with the coarser one added; https://arxiv.org/abs/1612.03144."""

    def __init__(self, inputs: tuple[int, int, int], channels: int) -> None:
        super().__init__()
        self.outputs = nn.ModuleList(ConvBNLeaky(width, channels, 1) for width in inputs)
        self.merges = nn.ModuleList(ConvBNLeaky(channels, channels) for _ in inputs[1:])

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        fine, middle, coarse = (output(x) for output, x in zip(self.outputs, maps, strict=True))
        middle = self.merges[1](middle + F.interpolate(coarse, size=middle.shape[2:], mode="nearest"))
        fine = self.merges[0](fine + F.interpolate(middle, size=fine.shape[2:], mode="nearest"))
        return [fine, middle, coarse]


@NETWORKS.register(name="retinaface_mnet025")
class RetinaFace(nn.Module):
    """Photos (B, 3, H, W), BGR minus `mean`, to what each anchor sees: `forward` and `decode`.

    Args:
        channels: of the three maps that the heads read.
    """

    colors, mean, std = "bgr", (104.0, 117.0, 123.0), (1.0, 1.0, 1.0)
    input_size = (640, 640)  # any will do; counts are stated for this one

    def __init__(self, channels: int = 64) -> None:
        super().__init__()
        self.stage1 = nn.Sequential(
            ConvBNLeaky(3, 8, stride=2),
            Separable(8, 16, 1),
            Separable(16, 32, 2),
            Separable(32, 32, 1),
            Separable(32, 64, 2),
            Separable(64, 64, 1),
        )
        self.stage2 = nn.Sequential(Separable(64, 128, 2), *(Separable(128, 128, 1) for _ in range(5)))
        self.stage3 = nn.Sequential(Separable(128, 256, 2), Separable(256, 256, 1))
        self.pyramid = Pyramid((64, 128, 256), channels)
        self.context = nn.ModuleList(Context(channels) for _ in STRIDES)
        anchors = len(SIDES[0])
        self.faces = nn.ModuleList(nn.Conv2d(channels, anchors * 2, 1) for _ in STRIDES)
        self.boxes = nn.ModuleList(nn.Conv2d(channels, anchors * 4, 1) for _ in STRIDES)
        self.landmarks = nn.ModuleList(nn.Conv2d(channels, anchors * 10, 1) for _ in STRIDES)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Shifts of boxes (B, A, 4), probabilities of background and face (B, A, 2), shifts of points (B, A, 10).

        The anchors A are those of `anchors`, in its order.
        """
        maps = []
        for stage in (self.stage1, self.stage2, self.stage3):
            x = stage(x)
            maps.append(x)
        seen = [context(y) for context, y in zip(self.context, self.pyramid(maps), strict=True)]
        return _rows(self.boxes, seen, 4), _rows(self.faces, seen, 2).softmax(dim=-1), _rows(self.landmarks, seen, 10)


def _rows(heads: nn.ModuleList, maps: list[Tensor], values: int) -> Tensor:
    """One row an anchor: (B, A, values)."""
    rows = [head(x).permute(0, 2, 3, 1).flatten(1).unflatten(1, (-1, values)) for head, x in zip(heads, maps)]
    return torch.cat(rows, dim=1)


def anchors(size: tuple[int, int]) -> Tensor:
    """Anchors (A, 4) of a photo of (height, width) pixels: centre x, y, width, height as shares of it."""
    height, width = size
    rows = []
    for stride, sides in zip(STRIDES, SIDES, strict=True):
        cells = product(range(-(-height // stride)), range(-(-width // stride)), sides)
        rows += [
            ((x + 0.5) * stride / width, (y + 0.5) * stride / height, side / width, side / height)
            for y, x, side in cells
        ]
    return torch.tensor(rows)


def decode(shifts: Tensor, points: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Boxes (..., A, 4) xyxy and landmarks (..., A, 5, 2) in pixels, from what the network gives for a photo.

    Args:
        shifts: of the boxes, (..., A, 4).
        points: of the five landmarks, (..., A, 10).
        size: height and width of the photo.
    """
    anchor = anchors(size).to(shifts)
    scale = torch.tensor([size[1], size[0]]).to(shifts)
    centre = anchor[:, :2] + shifts[..., :2] * VARIANCES[0] * anchor[:, 2:]
    half = anchor[:, 2:] * (shifts[..., 2:] * VARIANCES[1]).exp() / 2
    boxes = torch.cat([(centre - half) * scale, (centre + half) * scale], dim=-1)
    shares = anchor[:, None, :2] + points.unflatten(-1, (5, 2)) * VARIANCES[0] * anchor[:, None, 2:]
    return boxes, shares * scale
