"""A network that is small enough to follow by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn


class Flat(nn.Module):
    """Crops (B, 3, 2, 2) to embeddings (B, 8) by one linear layer."""

    embedding_dim = 8

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(12, 8)

    def forward(self, images):
        return self.layer(images.flatten(1))


@pytest.fixture
def flat() -> nn.Module:
    torch.manual_seed(0)
    return Flat()
