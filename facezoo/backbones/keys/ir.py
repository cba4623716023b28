"""The tensor names of IR, IR-SE and iresnet files."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import accumulate
from typing import Any

from torch import nn

from facezoo.backbones.keys.layout import Layout, Rules, register, renamed

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


def _by_stage(name: str) -> Callable[[int, int, Any], str]:
    return lambda stage, unit, network: f"{name}{stage + 1}.{unit}."


def _through_all(stage: int, unit: int, network: Any) -> str:
    before = [0, *accumulate(len(part) for part in network.stages)]
    return f"body.{before[stage] + unit}."


def _rename(rules: Rules, place: Callable[[int, int, Any], str], numbered: bool) -> Callable[[nn.Module, str], str]:
    """Our key renamed: `stages.1.0.` by `place`, the rest by rules; a unit's layers by number if `numbered`."""

    def rename(network: nn.Module, key: str) -> str:
        found = re.match(r"^stages\.(\d+)\.(\d+)\.", key)
        if found is not None:
            key = place(int(found[1]), int(found[2]), network) + key[found.end() :]
        return renamed(key, rules + _unit_rules(network) if numbered else rules)

    return rename


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


IR_PROJECTS = ("FaceX-Zoo", "face.evoLVe", "TFace", "AdaFace", "CVLface")
IR_BACKBONES = ("ir[0-9]*", "ir_se*")

register(Layout("ir", IR_PROJECTS, _rename(_IR, _through_all, True), IR_BACKBONES))
register(Layout("ir_stages", ("FaceX-Zoo",), _rename(_IR, _by_stage("stage"), True), IR_BACKBONES))
register(Layout("iresnet", ("insightface", "MagFace"), _rename(_IRESNET, _by_stage("layer"), False), ("iresnet*",)))
