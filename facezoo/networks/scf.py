"""How concentrated the embedding of a crop is, from the last feature map of the network that gives it: SCF, CVPR 2021.

https://openaccess.thecvf.com/content/CVPR2021/papers/Li_Spherical_Confidence_Learning_for_Face_Recognition_CVPR_2021_paper.pdf
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from facezoo.distillation.maps import Maps
from facezoo.registry import BACKBONES, NETWORKS, without_option
from facezoo.types import InputError

WIDE = 7
"""Sides of a map that three convolutions without a border leave one value of; smaller maps get a border."""
SMALLEST = 1e-6
"""Added to the concentration before its logarithm."""


class Uncertainty(nn.Module):
    """Maps (B, C, H, W) to ln kappa (B, 1), as TFace's uncertainty network: 7 x 7 becomes 5 x 5, 3 x 3, one value.

    Args:
        channels, height, width: C, H and W.
    """

    def __init__(self, channels: int, height: int, width: int) -> None:
        super().__init__()
        border = 0 if min(height, width) >= WIDE else 1

        def conv() -> nn.Conv2d:
            return nn.Conv2d(channels, channels, 3, padding=border, bias=False)

        self.convolutions = nn.Sequential(
            *(conv(), nn.ReLU()),
            *(conv(), nn.BatchNorm2d(channels), nn.ReLU()),
            *(conv(), nn.BatchNorm2d(channels)),
        )
        wide, narrow = max(1, channels // 2), max(1, channels // 4)
        self.output = nn.Sequential(
            *(nn.Linear(channels, wide), nn.ReLU()),
            *(nn.Linear(wide, narrow), nn.ReLU()),
            nn.Linear(narrow, 1),
        )

    def forward(self, maps: Tensor) -> Tensor:
        raw = self.output(self.convolutions(maps).mean((2, 3)))
        # ln(e^raw + SMALLEST), also where e^raw is too large to be written.
        return torch.logaddexp(raw.float(), torch.tensor(SMALLEST, device=raw.device).log())


class Concentration(nn.Module):
    """Crops (B, 3, H, W), RGB in [-1, 1], to ln kappa (B, 1): the larger, the surer the embedding.

    Args:
        body: the network of the embeddings.
        maps: its maps, of which the last one is looked at.
        uncertainty: from that map to ln kappa.
    """

    colors, mean, std = "rgb", (127.5, 127.5, 127.5), (127.5, 127.5, 127.5)

    def __init__(self, body: nn.Module, maps: Maps, uncertainty: Uncertainty) -> None:
        super().__init__()
        self.body, self._maps, self.uncertainty = body, maps, uncertainty
        self.input_size = body.input_size

    def forward(self, images: Tensor) -> Tensor:
        return self.uncertainty(last_map(self._maps, images)[1])


def last_map(maps: Maps, images: Tensor) -> tuple[Tensor, Tensor]:
    """The embeddings (B, D) of a network and its last map (B, C, H, W)."""
    embeddings, found = maps(images)
    if not found:
        raise InputError("scf: the network hides its feature maps, as a compiled one does; write train.compile = false")
    return embeddings, found[max(found)]


def uncertainty_of(maps: Maps) -> Uncertainty:
    """A fresh uncertainty network for the last one of the maps.

    Raises:
        InputError: there is none.
    """
    if not maps.shapes:
        raise InputError("scf: the backbone has no feature map; choose a convolutional one")
    return Uncertainty(*maps.shapes[max(maps.shapes)])


@NETWORKS.register
def scf(backbone: str) -> Concentration:
    """The network that training in mode `scf` writes.

    Args:
        backbone: spec string of the network of the embeddings.
    """
    body = BACKBONES.create(without_option(backbone, "pretrained"))
    maps = Maps(body)
    return Concentration(body, maps, uncertainty_of(maps))
