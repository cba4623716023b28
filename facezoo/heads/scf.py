"""SCF: how concentrated an image's distribution on the sphere is, learnt from its class centre."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from facezoo import distributed
from facezoo.heads.centres import split
from facezoo.types import InputError

# u_k of Debye's uniform expansion, https://dlmf.nist.gov/10.41#E10: the powers of p are k, k + 2, k + 4, ...
DEBYE = (
    (24, (3, -5)),
    (1152, (81, -462, 385)),
    (414720, (30375, -369603, 765765, -425425)),
    (39813120, (4465125, -94121676, 349922430, -446185740, 185910725)),
)
SMALLEST_DIM = 16
"""From here on the expansion is exact to 1e-6; at 512 dimensions to the last digits of float64."""


def log_bessel(order: float, value: Tensor) -> Tensor:
    """ln I_order(value), of the modified Bessel function of the first kind, for values above 0; large orders only.

    Debye's expansion, uniform in the value; https://dlmf.nist.gov/10.41. Neither under- nor overflows, nor does its
    gradient.
    """
    z = value / order
    root = (1 + z.square()).sqrt()
    eta = root + (z / (1 + root)).log()
    p, series = 1 / root, torch.ones_like(z)
    for k, (divisor, coefficients) in enumerate(DEBYE, start=1):
        polynomial = sum(c * p ** (k + 2 * i) for i, c in enumerate(coefficients))
        series = series + polynomial / (divisor * order**k)
    return order * eta - 0.5 * math.log(2 * math.pi * order) - 0.5 * root.log() + series.log()


class SCF(nn.Module):
    """Kullback-Leibler divergence of an image's von Mises-Fisher distribution to its class centre; CVPR 2021.

    https://openaccess.thecvf.com/content/CVPR2021/papers/Li_Spherical_Confidence_Learning_for_Face_Recognition_CVPR_2021_paper.pdf

    Not a loss of logits: it takes embeddings, their class centres and concentrations. It computes in float64.

    Args:
        embedding_dim: D, at least 16.
        radius: r of the sphere; the paper's is 64.
    """

    formula = "-kappa cos - (D/2 - 1) ln kappa + ln I_{D/2-1}(kappa) + D/2 ln 2 pi + D ln r"

    def __init__(self, embedding_dim: int = 512, radius: float = 64.0) -> None:
        super().__init__()
        if embedding_dim < SMALLEST_DIM or radius <= 0:
            raise InputError(
                f"scf: {embedding_dim} dimensions on a sphere of radius {radius}; "
                f"it takes at least {SMALLEST_DIM} and a radius above 0"
            )
        self.embedding_dim, self.radius = embedding_dim, radius

    def divergence(self, embeddings: Tensor, centres: Tensor, kappa: Tensor) -> Tensor:
        """The divergence (b, 1) of embeddings (b, D) with concentrations (b, 1) above 0 to class centres (b, D).

        Lengths of embeddings and centres have no say.
        """
        with torch.autocast(embeddings.device.type, enabled=False):
            kappa = kappa.double()
            cosine = (split(embeddings.double())[0] * split(centres.double())[0]).sum(1, keepdim=True)
            order = self.embedding_dim / 2 - 1
            constant = self.embedding_dim * (0.5 * math.log(2 * math.pi) + math.log(self.radius))
            return log_bessel(order, kappa) - order * kappa.log() - kappa * cosine + constant

    def forward(self, embeddings: Tensor, centres: Tensor, kappa: Tensor) -> Tensor:
        """The mean divergence of the images of all ranks, from this rank's."""
        return distributed.shared(distributed.gather_rows(self.divergence(embeddings, centres, kappa)).mean())
