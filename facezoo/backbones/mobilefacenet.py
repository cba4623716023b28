"""MobileFaceNet and insightface's wider forms of it; https://arxiv.org/abs/1804.07573."""

from __future__ import annotations

from torch import Tensor, nn

from facezoo.backbones.layers import GDC, ConvBN, ConvBNPReLU, Size, check_options, halved, height_width, kaiming
from facezoo.registry import BACKBONES
from facezoo.types import InputError


class Bottleneck(nn.Module):
    """Widens, filters each channel by itself and projects back; with the input added if `residual`."""

    def __init__(self, inputs: int, outputs: int, middle: int, stride: int = 1, residual: bool = False) -> None:
        super().__init__()
        self.residual = residual
        self.expand = ConvBNPReLU(inputs, middle)
        self.depthwise = ConvBNPReLU(middle, middle, 3, stride, groups=middle)
        self.project = ConvBN(middle, outputs)

    def forward(self, x: Tensor) -> Tensor:
        y = self.project(self.depthwise(self.expand(x)))
        return x + y if self.residual else y


def residuals(count: int, channels: int, middle: int) -> nn.Sequential:
    return nn.Sequential(*(Bottleneck(channels, channels, middle, residual=True) for _ in range(count)))


class MobileFaceNet(nn.Module):
    """RGB crops (B, 3, H, W) in [-1, 1] to embeddings (B, embedding_dim), not normalised.

    The numbers before the options are the channels of the three stages, of their bottlenecks and of the last
    convolution, the residual blocks a stage, and the form of the layer after the first convolution.

    Args:
        embedding_dim: D.
        input_size: pixels of a crop's sides, or (height, width).
        affine: slope and offset in the last BatchNorm; TFace's form has none.
    """

    def __init__(
        self,
        channels: tuple[int, int, int],
        middle: tuple[int, int, int],
        head: int,
        blocks: tuple[int, int, int],
        second: nn.Module,
        /,
        embedding_dim: int = 512,
        input_size: Size = 112,
        affine: bool = True,
    ) -> None:
        super().__init__()
        check_options("mobilefacenet", embedding_dim)
        self.embedding_dim, self.input_size = embedding_dim, height_width(input_size)
        first, narrow, wide = channels
        self.stem = ConvBNPReLU(3, first, 3, stride=2)
        self.second = second
        self.down1 = Bottleneck(first, first, middle[0], stride=2)
        self.stage1 = residuals(blocks[0], first, middle[0])
        self.down2 = Bottleneck(first, narrow, middle[1], stride=2)
        self.stage2 = residuals(blocks[1], narrow, middle[1])
        self.down3 = Bottleneck(narrow, wide, middle[2], stride=2)
        self.stage3 = residuals(blocks[2], wide, middle[1])
        self.head = ConvBNPReLU(wide, head)
        self.output = GDC(head, halved(self.input_size, 4), embedding_dim, affine)
        kaiming(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.second(self.stem(x))
        x = self.stage1(self.down1(x))
        x = self.stage2(self.down2(x))
        x = self.stage3(self.down3(x))
        return self.output(self.head(x))


@BACKBONES.register
def mobilefacenet(*, width: float = 1.0, **options) -> MobileFaceNet:
    """MobileFaceNet as FaceX-Zoo, face.evoLVe and (with affine=false) TFace build it.

    Args:
        width: factor of all channels, rounded to multiples of 8.
    """
    if not 0.1 <= width <= 8:
        raise InputError(f"mobilefacenet: width is {width}, it must be 0.1 to 8")

    def scaled(channels: int) -> int:
        return max(8, round(channels * width / 8) * 8)

    first, narrow, half, full = scaled(64), scaled(128), scaled(256), scaled(512)
    second = ConvBNPReLU(first, first, 3, groups=first)
    return MobileFaceNet((first, narrow, narrow), (narrow, half, full), full, (4, 6, 2), second, **options)


@BACKBONES.register
def mbf(**options) -> MobileFaceNet:
    """insightface's mbf: twice the channels between the bottlenecks, whose own width stays."""
    second = ConvBNPReLU(128, 128, 3, groups=64)
    return MobileFaceNet((128, 256, 256), (128, 256, 512), 512, (4, 6, 2), second, **options)


@BACKBONES.register
def mbf_large(**options) -> MobileFaceNet:
    """insightface's mbf_large: four times the channels between the bottlenecks, and more blocks."""
    return MobileFaceNet((256, 512, 512), (128, 256, 512), 512, (8, 12, 4), residuals(2, 256, 128), **options)
