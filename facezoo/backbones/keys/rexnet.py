"""The tensor names of ReXNet files."""

from __future__ import annotations

import re
from typing import Any

from facezoo.backbones.keys.layout import OUTPUT_LAYER, Layout, Rules, register, renamed

_RULES: Rules = [
    (r"^stem\.conv\.", "features.0."),
    (r"^stem\.bn\.", "features.1."),
    *OUTPUT_LAYER,
]


def _rename(network: Any, key: str) -> str:
    """Convolutions, BatchNorms, activations and squeeze-and-excitation are numbered in their order."""
    blocks = network.stages[0]
    key = re.sub(r"^head\.conv\.", f"features.{3 + len(blocks)}.", key)
    key = re.sub(r"^head\.bn\.", f"features.{4 + len(blocks)}.", key)
    found = re.match(r"^stages\.0\.(\d+)\.", key)
    if found is None:
        return renamed(key, _RULES)
    number = int(found[1])
    before = f"features.{3 + number}.out."
    return before + renamed(key[found.end() :], _block_rules(blocks[number]))


def _block_rules(block: Any) -> Rules:
    depthwise = 0 if block.conv_exp is None else 3
    squeeze = depthwise + 2
    project = squeeze + (1 if block.se is None else 2)
    return [
        (r"^conv_exp\.conv\.", "0."),
        (r"^conv_exp\.bn\.", "1."),
        (r"^conv_dw\.conv\.", f"{depthwise}."),
        (r"^conv_dw\.bn\.", f"{depthwise + 1}."),
        (r"^se\.fc1\.", f"{squeeze}.fc.0."),
        (r"^se\.bn\.", f"{squeeze}.fc.1."),
        (r"^se\.fc2\.", f"{squeeze}.fc.3."),
        (r"^conv_pwl\.conv\.", f"{project}."),
        (r"^conv_pwl\.bn\.", f"{project + 1}."),
    ]


register(Layout("rexnet", ("FaceX-Zoo",), _rename, ("rexnet_*",)))
