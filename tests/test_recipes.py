"""Every recipe of configs/ loads, and everything that it names can be made."""

from __future__ import annotations

from pathlib import Path

import pytest

from facezoo.config import load_config
from facezoo.data.transforms import create_transforms
from facezoo.heads.classifier import create_head
from facezoo.optim import lr_at
from facezoo.registry import BACKBONES

RECIPES = sorted((Path(__file__).parent.parent / "configs").glob("*.toml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_can_be_built(path):
    config = load_config(path)
    backbone = BACKBONES.create(config.model.backbone)
    create_head(config.model.head, backbone.embedding_dim, 10, config.model.loss)
    create_transforms(config.data.transforms)

    assert config.name == path.stem
    assert lr_at(0, 1000, 100, config.optim.lr, config.schedule) > 0
