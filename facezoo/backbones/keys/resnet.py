"""The tensor names of face.evoLVe's ResNet files."""

from __future__ import annotations

from facezoo.backbones.keys.layout import Rules, add_layout

_RULES: Rules = [
    (r"^stem\.0\.", "conv1."),
    (r"^stem\.1\.", "bn1."),
    *((rf"^stages\.{stage}\.", f"layer{stage + 1}.") for stage in range(4)),
    (r"^output\.bn\.", "bn_o1."),
    (r"^output\.linear\.", "fc."),
    (r"^output\.norm\.", "bn_o2."),
]

add_layout("resnet", ("face.evoLVe",), _RULES, ("resnet*",))
