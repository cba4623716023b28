"""The names under which other projects store the tensors of our networks.

Facts about their checkpoint files: FaceX-Zoo (FXZ), face.evoLVe, TFace, AdaFace, CVLface, insightface's arcface_torch.
"""

from __future__ import annotations

import re
from itertools import accumulate
from typing import Any, Literal, TypeAlias

from torch import nn

Layout: TypeAlias = Literal["mobilefacenet", "mobilefacenet_tface", "mbf", "ir", "ir_stages", "iresnet"]
"""How a file names its tensors: `mobilefacenet` FXZ, face.evoLVe; `mobilefacenet_tface` TFace; `mbf`, `iresnet`
insightface; `ir` FXZ, face.evoLVe, TFace, AdaFace, CVLface; `ir_stages` FXZ's copy for distillation."""

Rules: TypeAlias = list[tuple[str, str]]

_MOBILEFACENET: Rules = [
    (r"^stem\.", "conv1."),
    (r"^second\.", "conv2_dw."),
    (r"^down1\.", "conv_23."),
    (r"^stage1\.", "conv_3.model."),
    (r"^down2\.", "conv_34."),
    (r"^stage2\.", "conv_4.model."),
    (r"^down3\.", "conv_45."),
    (r"^stage3\.", "conv_5.model."),
    (r"^head\.", "conv_6_sep."),
    (r"\.expand\.", ".conv."),
    (r"\.depthwise\.", ".conv_dw."),
]
_MBF: Rules = [
    (r"^stem\.", "layers.0."),
    (r"^second\.(\d)", r"layers.1.layers.\1"),
    (r"^second\.", "layers.1."),
    (r"^down1\.", "layers.2."),
    (r"^stage1\.", "layers.3.layers."),
    (r"^down2\.", "layers.4."),
    (r"^stage2\.", "layers.5.layers."),
    (r"^down3\.", "layers.6."),
    (r"^stage3\.", "layers.7.layers."),
    (r"^head\.", "conv_sep."),
    (r"^output\.linear\.", "features.layers.2."),
    (r"^output\.norm\.", "features.layers.3."),
    (r"^output\.", "features.layers.0."),
    (r"\.expand\.", ".layers.0."),
    (r"\.depthwise\.", ".layers.1."),
    (r"\.project\.", ".layers.2."),
    (r"\.conv\.", ".layers.0."),
    (r"\.bn\.", ".layers.1."),
    (r"\.prelu\.", ".layers.2."),
]
_IR: Rules = [
    (r"^stem\.conv\.", "input_layer.0."),
    (r"^stem\.bn\.", "input_layer.1."),
    (r"^stem\.prelu\.", "input_layer.2."),
    (r"^output\.bn\.", "output_layer.0."),
    (r"^output\.linear\.", "output_layer.3."),
    (r"^output\.norm\.", "output_layer.4."),
    (r"\.shortcut\.projection\.conv\.", ".shortcut_layer.0."),
    (r"\.shortcut\.projection\.bn\.", ".shortcut_layer.1."),
]
_IRESNET: Rules = [
    (r"^stem\.conv\.", "conv1."),
    (r"^stem\.bn\.", "bn1."),
    (r"^stem\.prelu\.", "prelu."),
    (r"^output\.bn\.", "bn2."),
    (r"^output\.linear\.", "fc."),
    (r"^output\.norm\.", "features."),
    (r"\.shortcut\.projection\.conv\.", ".downsample.0."),
    (r"\.shortcut\.projection\.bn\.", ".downsample.1."),
]
_RULES: dict[Layout, Rules] = {
    "mobilefacenet": [
        (r"^output\.linear\.", "linear."),
        (r"^output\.norm\.", "bn."),
        (r"^output\.", "conv_6_dw."),
        *_MOBILEFACENET,
    ],
    "mobilefacenet_tface": [
        (r"^output\.linear\.", "output_layer.linear."),
        (r"^output\.norm\.", "output_layer.bn."),
        (r"^output\.", "output_layer.conv_6_dw."),
        *_MOBILEFACENET,
    ],
    "mbf": _MBF,
    "ir": _IR,
    "ir_stages": _IR,
    "iresnet": _IRESNET,
}


def reference_keys(network: nn.Module, layout: Layout) -> dict[str, str]:
    """For each tensor of our network's state dict, its name in a file of that layout."""
    rules = list(_RULES[layout])
    if layout in ("ir", "ir_stages"):
        rules += _unit_rules(network)
    return {key: _renamed(_placed(key, network, layout), rules) for key in network.state_dict()}


def _renamed(key: str, rules: Rules) -> str:
    for pattern, replacement in rules:
        key = re.sub(pattern, replacement, key)
    return key


def _placed(key: str, network: nn.Module, layout: Layout) -> str:
    """`stages.1.0.` as the layout counts its units: through all stages, or by stage from 1."""
    found = re.match(r"^stages\.(\d+)\.(\d+)\.", key)
    if found is None:
        return key
    stage, unit = int(found[1]), int(found[2])
    if layout == "ir":
        before = [0, *accumulate(len(part) for part in network.stages)]  # type: ignore[union-attr]
        return f"body.{before[stage] + unit}.{key[found.end() :]}"
    name = "layer" if layout == "iresnet" else "stage"
    return f"{name}{stage + 1}.{unit}.{key[found.end() :]}"


def _unit_rules(network: nn.Module) -> Rules:
    """A unit's layers are numbered in their order; those that a flavor leaves out have no number."""
    unit: Any = network.stages[0][0]  # type: ignore[index]
    inner = not isinstance(unit.bn2, nn.Identity)
    layers = [
        name
        for name, layer in unit.named_children()
        if name not in ("shortcut", "se") and not isinstance(layer, nn.Identity)
    ]
    # With the inner BatchNorm goes TFace's name of squeeze-and-excitation, without it its number in the order.
    squeeze = "se_block" if inner else str(len(layers))
    return [
        *((rf"\.{name}\.", f".res_layer.{number}.") for number, name in enumerate(layers)),
        (r"\.se\.reduce\.", f".res_layer.{squeeze}.fc1."),
        (r"\.se\.expand\.", f".res_layer.{squeeze}.fc2."),
    ]
