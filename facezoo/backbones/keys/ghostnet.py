"""The tensor names of GhostNet files of FaceX-Zoo and face.evoLVe, and of TFace."""

from __future__ import annotations

from facezoo.backbones.keys.layout import OUTPUT_LAYER, Rules, add_layout

_BODY: Rules = [
    (r"^stem\.0\.", "conv_stem."),
    (r"^stem\.1\.", "bn1."),
    (r"^stem\.2\.", "act1."),
    (r"^stages\.", "blocks."),
    (r"^head\.bn1\.act\.", "blocks.9.0.act1."),
    (r"^head\.", "blocks.9.0."),
]
_GDC: Rules = [
    (r"^output\.(conv|bn)\.", r"output_layer.conv_6_dw.\1."),
    (r"^output\.linear\.", "output_layer.linear."),
    (r"^output\.norm\.", "output_layer.bn."),
]

add_layout("ghostnet", ("FaceX-Zoo", "face.evoLVe"), _BODY + OUTPUT_LAYER, ("ghostnet",))
add_layout("ghostnet_tface", ("TFace",), _BODY + _GDC, ("ghostnet",))
