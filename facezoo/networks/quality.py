"""TFace's networks for SDD-FIQA, the quality of a face crop; https://arxiv.org/abs/2103.05977."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from facezoo.backbones.kernels import PReLU
from facezoo.backbones.layers import halved
from facezoo.registry import BACKBONES, NETWORKS

DROPOUT = 0.5


class QualityOutput(nn.Module):
    """All values of the last map (B, C, h, w), each with a PReLU slope of its own, to one number (B, 1)."""

    def __init__(self, values: int) -> None:
        super().__init__()
        self.prelu = PReLU(values)
        self.dropout = nn.Dropout(DROPOUT)
        self.linear = nn.Linear(values, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.dropout(self.prelu(x.flatten(1))))


class FaceQuality(nn.Module):
    """Crops (B, 3, 112, 112), RGB in [-1, 1], to a quality (B, 1); larger is better.

    The number before is the spec string of the backbone, whose embedding output makes place for one number.
    """

    colors, mean, std = "rgb", (127.5, 127.5, 127.5), (127.5, 127.5, 127.5)

    def __init__(self, backbone: str, /) -> None:
        super().__init__()
        self.body: Any = BACKBONES.create(backbone)
        self.input_size: tuple[int, int] = self.body.input_size
        height, width = halved(self.input_size, 4)
        self.body.output = QualityOutput(512 * height * width)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


@NETWORKS.register
def sdd_fiqa_r50() -> FaceQuality:
    """The body of IR-50."""
    return FaceQuality("ir50:flavor=facexzoo")


@NETWORKS.register
def sdd_fiqa_mobilefacenet() -> FaceQuality:
    """The body of MobileFaceNet."""
    return FaceQuality("mobilefacenet")
