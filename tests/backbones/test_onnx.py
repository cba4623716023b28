"""Networks as ONNX: `export_onnx` compares them with torch, one crop and many, and refuses what differs."""

import numpy as np
import pytest
import torch

from facezoo.checkpoint import save_model
from facezoo.export import export_onnx
from facezoo.image import write_image
from facezoo.registry import BACKBONES
from facezoo.types import Contract

QUICK = ["edgeface_xxs", "lightcnn9"]
SLOW = ["attention56", "edgeface_xs", "fbnet_a", "inceptionresnetv1", "lightcnn29v2", "tf_nas_a", "vit_t", "vit_b"]


@pytest.mark.parametrize("name", [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_a_backbone_exports(name, tmp_path):
    size = (80, 96)
    torch.manual_seed(0)
    network = BACKBONES.create(name, input_size=size, embedding_dim=16)
    spec = f"{name}:input_size=({size[0]},{size[1]}),embedding_dim=16"
    save_model(tmp_path / "model.safetensors", network, spec, Contract(input_size=size, embedding_dim=16))
    random = np.random.default_rng(0)
    for number in range(4):
        write_image(tmp_path / "crops" / f"{number}.png", random.integers(0, 256, (*size, 3), dtype=np.uint8))

    parity = export_onnx(tmp_path / "model.safetensors", tmp_path / "model.onnx", tmp_path / "crops")

    assert parity.crops == 4 and parity.difference <= 1e-4
