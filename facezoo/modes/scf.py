"""Spherical confidence: how sure each embedding of a finished network is."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from facezoo.checkpoint import save_network
from facezoo.distillation.maps import Maps
from facezoo.heads import scf
from facezoo.modes.base import Mode
from facezoo.networks.scf import Concentration, last_map, uncertainty_of
from facezoo.registry import MODES

CONCENTRATION = "concentration.safetensors"
"""What is trained, in the run folder."""


@MODES.register(name="scf")
class SCF(Mode):
    """Trains the concentration kappa of an image's embedding, from the last map of a frozen network; CVPR 2021.

    https://openaccess.thecvf.com/content/CVPR2021/papers/Li_Spherical_Confidence_Learning_for_Face_Recognition_CVPR_2021_paper.pdf

    The network is that of `model.start` and stays as it is, and so do the class centres of `model.start_head`. What is
    trained is written as `concentration.safetensors`, see `facezoo.networks.scf`.

    Args:
        backbone: the network; it is frozen.
        centres: (C, D) of the classes.
        backbone_spec: the network's spec string.
        radius: r of the sphere.
    """

    centres: Tensor

    def __init__(self, backbone: nn.Module, centres: Tensor, backbone_spec: str, radius: float = 64.0) -> None:
        super().__init__()
        self.backbone, self._spec = backbone.requires_grad_(False), backbone_spec
        self.register_buffer("centres", centres)
        self._maps = Maps(backbone)
        self.uncertainty = uncertainty_of(self._maps)
        self.divergence = scf.SCF(centres.shape[1], radius)

    def forward(self, images: Tensor, labels: Tensor, samples: Tensor) -> dict[str, Tensor]:
        with torch.no_grad():
            embeddings, maps = last_map(self._maps, images)
        kappa = self.uncertainty(maps).exp()
        return {"divergence": self.divergence(embeddings, self.centres[labels], kappa)}

    def write(self, folder: Path) -> None:
        network = Concentration(self.backbone, self._maps, self.uncertainty)
        save_network(folder / CONCENTRATION, network, f"scf:backbone='{self._spec}'")
