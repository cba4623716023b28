"""The tensor names of residual attention networks' files."""

from __future__ import annotations

import re
from typing import Any

from torch import nn

from facezoo.backbones.keys.layout import Layout, Rules, register, renamed

_RULES: Rules = [
    (r"^conv\.", "conv1.0."),
    (r"^bn\.", "conv1.1."),
    (r"^linear\.", "output_layer.1."),
    (r"^norm\.", "output_layer.2."),
    (r"^body\.", "attention_body."),
    (r"\.first\.", ".first_residual_blocks."),
    (r"\.trunk\.", ".trunk_branches."),
    (r"\.last\.", ".last_blocks."),
    (r"\.shortcut\.", ".conv4."),
]

_DEAD = r"^attention_body\.(\d+\.[a-z]\w+(\.\d)?|7|8|10|11)\.conv4\.weight$"
"""Shortcuts that change nothing: all within attention modules, and those of the last two units of either depth."""


def _rename(network: nn.Module, key: str) -> str:
    """The mask's blocks are counted: downwards, the bottom, upwards, the weights."""
    found = re.match(r"^body\.(\d+)\.mask\.", key)
    if found is None:
        return renamed(key, _RULES)
    body: Any = network.body
    down = len(body[int(found[1])].mask.down)
    rest = key[found.end() :]
    part, _, rest = rest.partition(".")
    if part == "bottom":
        name = f"softmax{down + 1}_blocks"
    elif part == "weights":
        name = f"softmax{2 * down + 2}_blocks"
    else:
        number, _, rest = rest.partition(".")
        names = {
            "down": f"softmax{int(number) + 1}_blocks",
            "across": f"skip{int(number) + 1}_connection_residual_block",
            "up": f"softmax{down + 2 + int(number)}_blocks",
        }
        name = names[part]
    return renamed(f"body.{found[1]}.{name}.{rest}", _RULES)


register(Layout("attention", ("FaceX-Zoo", "face.evoLVe"), _rename, ("attention*",), _DEAD))
