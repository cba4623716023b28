"""The tensor names of RepVGG files, training form and fused form."""

from __future__ import annotations

from facezoo.backbones.keys.layout import Rules, add_layout

_RULES: Rules = [
    *((rf"^stages\.{stage}\.", f"stage{stage + 1}.") for stage in range(4)),
    (r"^stem\.", "stage0."),
    (r"^output\.bn\.", "output_layer.0."),
    (r"^output\.linear\.", "output_layer.2."),
    (r"^output\.norm\.", "output_layer.3."),
    (r"(^stage0|\.\d+)\.conv\.", r"\1.rbr_reparam."),
    (r"\.dense\.", ".rbr_dense."),
    (r"\.point\.", ".rbr_1x1."),
    (r"\.identity\.", ".rbr_identity."),
]

add_layout("repvgg", ("FaceX-Zoo",), _RULES, ("repvgg_*",))
