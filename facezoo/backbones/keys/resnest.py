"""The tensor names of ResNeSt files."""

from __future__ import annotations

from facezoo.backbones.keys.layout import OUTPUT_LAYER, Rules, add_layout

_RULES: Rules = [
    (r"^stem\.conv\.", "input_layer.0."),
    (r"^stem\.bn\.", "input_layer.1."),
    (r"^stem\.prelu\.", "input_layer.2."),
    *((rf"^stages\.{stage}\.", f"body.layer{stage + 1}.") for stage in range(4)),
    *OUTPUT_LAYER,
]

add_layout("resnest", ("FaceX-Zoo",), _RULES, ("resnest*",))
