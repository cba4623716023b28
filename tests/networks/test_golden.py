"""Outputs of the original networks, with weights filled by the names of their tensors."""

import numpy as np
import pytest
import torch

from facezoo.backbones.keys import reference_keys
from facezoo.networks.retinaface import anchors, decode
from facezoo.registry import NETWORKS

pytestmark = pytest.mark.golden

# fixture: (network, layout of the keys)
CASES = {
    "facexzoo_sdk__retinaface_mnet025": ("retinaface_mnet025", "retinaface"),
    "facexzoo_sdk__pfld_mobilenetv3": ("pfld_mobilenetv3", "pfld"),
    "tface_quality__r50_qua": ("sdd_fiqa_r50", "sdd_fiqa_ir"),
    "tface_quality__mfn_qua": ("sdd_fiqa_mobilefacenet", "sdd_fiqa_mobilefacenet"),
}


@pytest.mark.parametrize("fixture", CASES)
@pytest.mark.parametrize(("dtype", "suffix"), [(torch.float32, ""), (torch.float64, "64")])
def test_outputs_are_the_originals(golden, golden_root, golden_fill, fixture, dtype, suffix):
    name, layout = CASES[fixture]
    facts = golden_fill.load_spec(golden_root / "backbones" / f"{fixture}.json.gz")
    with torch.device("meta"):
        network = NETWORKS.create(name).eval()
    assert sum(p.numel() for p in network.parameters()) == facts["n_parameters"]
    keys = reference_keys(network, layout)
    assert sorted(keys.values()) == sorted(row[0] for row in facts["keys"])
    arrays = golden_fill.fill(facts["keys"], facts["salt"], facts["gain"])
    network.load_state_dict(
        {own: torch.from_numpy(np.asarray(arrays[theirs])) for own, theirs in keys.items()}, assign=True
    )
    _, wanted, _ = golden.load(f"backbones/{fixture}.npz")

    with torch.inference_mode():
        got = network.to(dtype)(torch.from_numpy(golden.image_input("112")).to(dtype))

    for output, name in zip(got if isinstance(got, tuple) else [got], facts["outputs"], strict=True):
        difference = np.linalg.norm(output.numpy() - wanted[name + suffix]) / np.linalg.norm(wanted[name + suffix])
        noise = 10 * facts["stats"]["float32_vs_float64"][name]["l2_rel"]
        assert difference <= (1e-9 if suffix else max(1e-5, noise)), name


@pytest.mark.parametrize("size", [(120, 160), (97, 133), (64, 64)])
def test_anchors_are_the_originals(golden, size):
    _, wanted, _ = golden.load("align/retinaface_postprocess.npz")
    np.testing.assert_allclose(anchors(size).numpy(), wanted[f"priors_{size[0]}x{size[1]}"], atol=1e-6)


def test_decoded_boxes_are_the_originals(golden):
    given, wanted, _ = golden.load("align/retinaface_postprocess.npz")
    shifts = torch.from_numpy(given["loc"])
    boxes, points = decode(shifts, torch.zeros(len(shifts), 10), (120, 160))
    np.testing.assert_allclose(boxes.numpy() / [160, 120, 160, 120], wanted["decode"], atol=1e-5)
    assert points.shape == (len(shifts), 5, 2)
