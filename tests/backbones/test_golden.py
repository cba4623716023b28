"""Embeddings of the original implementations, with weights filled by the names of their tensors."""

import math
import re

import numpy as np
import pytest
import torch

from facezoo.backbones.keys import LAYOUTS, reference_keys
from facezoo.registry import BACKBONES
from facezoo.types import unit

pytestmark = pytest.mark.golden

FLOAT32, NOISE, FLOAT64 = 1e-5, 10, 1e-9

# fixture: (backbone, layout of the keys)
QUICK = {
    "facexzoo__mobilefacenet": ("mobilefacenet", "mobilefacenet"),
    "evolve__mobilefacenet": ("mobilefacenet", "mobilefacenet"),
    "tface__mobilefacenet": ("mobilefacenet:affine=false", "mobilefacenet_tface"),
    "insightface__mbf": ("mbf", "mbf"),
    "insightface__mbf_large": ("mbf_large", "mbf"),
    "facexzoo_kdf__resnet18_ir": ("ir18:flavor=facexzoo", "ir_stages"),
    "tface__ir_18": ("ir18", "ir"),
    "insightface__iresnet18": ("iresnet18", "iresnet"),
    "facexzoo__resnet50_ir_se": ("ir_se50:flavor=facexzoo", "ir"),
    "tface__ir_se_50": ("ir_se50", "ir"),
    "evolve__resnet_50": ("resnet50", "resnet"),
    "facexzoo__efficientnet_b0": ("efficientnet_b0", "efficientnet"),
    "tface__efficientnetb0": ("efficientnet_b0:flavor=tface", "efficientnet_tface"),
    "facexzoo__ghostnet": ("ghostnet", "ghostnet"),
    "tface__ghostnet": ("ghostnet:flavor=tface,width=1.3", "ghostnet_tface"),
    "facexzoo__hrnet_w18": ("hrnet_w18", "hrnet"),
    "facexzoo__resnest50": ("resnest50", "resnest"),
    "facexzoo__rexnet_1_0": ("rexnet_100", "rexnet"),
    "facexzoo__rexnet_1_0_se": ("rexnet_100:squeeze=true", "rexnet"),
    "facexzoo__swin_t": ("swin_t:input_size=224", "swin"),
    "facexzoo__attentionnet56": ("attention56", "attention"),
    "facexzoo__lightcnn29": ("lightcnn29v2", "lightcnn"),
    "facexzoo__repvgg_a0": ("repvgg_a0", "repvgg"),
    "facexzoo__tfnas_a": ("tf_nas_a", "tf_nas"),
    "insightface__vit_t": ("vit_t", "vit"),
    "tface__fbnet_a": ("fbnet_a", "fbnet"),
    "tface__fbnet_b": ("fbnet_b", "fbnet"),
    "tface__fbnet_c": ("fbnet_c", "fbnet"),
}
SLOW = {
    "facexzoo__resnet50_ir": ("ir50:flavor=facexzoo", "ir"),
    "facexzoo__resnet100_ir": ("ir101:flavor=facexzoo", "ir"),
    "facexzoo__resnet100_ir_se": ("ir_se101:flavor=facexzoo", "ir"),
    "facexzoo__resnet152_ir": ("ir152:flavor=facexzoo", "ir"),
    "facexzoo__resnet152_ir_se": ("ir_se152:flavor=facexzoo", "ir"),
    "facexzoo_kdf__resnet152_ir": ("ir152:flavor=facexzoo", "ir_stages"),
    "evolve__ir_50": ("ir50:flavor=facexzoo", "ir"),
    "evolve__ir_101": ("ir101:flavor=facexzoo", "ir"),
    "evolve__ir_152": ("ir152:flavor=facexzoo", "ir"),
    "evolve__ir_se_50": ("ir_se50:flavor=facexzoo", "ir"),
    "evolve__ir_se_101": ("ir_se101:flavor=facexzoo", "ir"),
    "evolve__ir_se_152": ("ir_se152:flavor=facexzoo", "ir"),
    "tface__ir_34": ("ir34", "ir"),
    "tface__ir_50": ("ir50", "ir"),
    "tface__ir_101": ("ir101", "ir"),
    "tface__ir_152": ("ir152", "ir"),
    "tface__ir_se_101": ("ir_se101", "ir"),
    "insightface__iresnet34": ("iresnet34", "iresnet"),
    "insightface__iresnet50": ("iresnet50", "iresnet"),
    "insightface__iresnet100": ("iresnet100", "iresnet"),
    "evolve__resnet_101": ("resnet101", "resnet"),
    "evolve__resnet_152": ("resnet152", "resnet"),
    "evolve__efficientnet_b0": ("efficientnet_b0", "efficientnet"),
    "evolve__efficientnet_b1": ("efficientnet_b1", "efficientnet"),
    "facexzoo__efficientnet_b1": ("efficientnet_b1", "efficientnet"),
    "tface__efficientnetb1": ("efficientnet_b1:flavor=tface", "efficientnet_tface"),
    "evolve__ghostnet": ("ghostnet", "ghostnet"),
    "facexzoo__swin_s": ("swin_s:input_size=224", "swin"),
    "evolve__attention56": ("attention56", "attention"),
    "evolve__attention92": ("attention92", "attention"),
    "facexzoo__attentionnet92": ("attention92", "attention"),
    "facexzoo__repvgg_b0": ("repvgg_b0", "repvgg"),
    "facexzoo__repvgg_b1": ("repvgg_b1", "repvgg"),
    "insightface__vit_s": ("vit_s", "vit"),
}
UNIT = {"facexzoo__resnest50"}
"""Fixtures of networks that divide their embeddings by the L2 norm; ours leave them as they are."""

CASES = [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]


def filled(golden_root, golden_fill, fixture):
    """The network with the fixture's weights, and its description."""
    backbone, layout = (QUICK | SLOW)[fixture]
    facts = golden_fill.load_spec(golden_root / "backbones" / f"{fixture}.json.gz")
    # Swin computes tables of its own, which no file fills: it is built for real.
    with torch.device("cpu" if layout == "swin" else "meta"):
        network = BACKBONES.create(backbone).eval()
    keys = reference_keys(network, layout)
    assert sorted(keys.values()) == sorted(row[0] for row in facts["keys"] if not is_dead(row[0], layout))
    dead = [row for row in facts["keys"] if is_dead(row[0], layout) and row[3] != "keep"]
    alive = facts["n_parameters"] - sum(math.prod(shape) for _, shape, *_ in dead)
    assert sum(p.numel() for p in network.parameters()) == alive
    arrays = golden_fill.fill(facts["keys"], facts["salt"], facts["gain"])
    tensors = {own: torch.from_numpy(np.asarray(arrays[theirs])) for own, theirs in keys.items()}
    network.load_state_dict(tensors, assign=True)
    return network, facts


def is_dead(key, layout):
    dead = LAYOUTS[layout].dead
    return bool(dead) and re.search(dead, key) is not None


def embed(golden, network, facts, dtype):
    size = facts["input"].removeprefix("inputs_").removesuffix(".npz")
    with torch.inference_mode():
        embeddings = network(torch.from_numpy(golden.image_input(size)).to(dtype)).numpy()
    return unit(embeddings) if facts["fixture"] in UNIT else embeddings


def distance(got, wanted):
    return np.linalg.norm(got.astype(np.float64) - wanted) / np.linalg.norm(wanted)


@pytest.mark.parametrize("fixture", CASES)
def test_embeddings_are_the_originals(golden, golden_root, golden_fill, fixture):
    network, facts = filled(golden_root, golden_fill, fixture)
    _, wanted, _ = golden.load(f"backbones/{fixture}.npz")
    noise = facts["stats"]["float32_vs_float64"]["embedding"]["l2_rel"]

    got = embed(golden, network, facts, torch.float32)

    assert distance(got, wanted["embedding"]) <= max(FLOAT32, NOISE * noise)


@pytest.mark.parametrize("fixture", CASES)
def test_float64_embeddings_are_the_originals(golden, golden_root, golden_fill, fixture):
    network, facts = filled(golden_root, golden_fill, fixture)
    _, wanted, _ = golden.load(f"backbones/{fixture}.npz")
    assert distance(embed(golden, network.double(), facts, torch.float64), wanted["embedding64"]) <= FLOAT64
