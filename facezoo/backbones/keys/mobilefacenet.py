"""The tensor names of MobileFaceNet and mbf files."""

from __future__ import annotations

from facezoo.backbones.keys.layout import Rules, add_layout

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

add_layout(
    "mobilefacenet",
    ("FaceX-Zoo", "face.evoLVe"),
    [(r"^output\.linear\.", "linear."), (r"^output\.norm\.", "bn."), (r"^output\.", "conv_6_dw."), *_MOBILEFACENET],
    backbones=("mobilefacenet",),
)
add_layout(
    "mobilefacenet_tface",
    ("TFace",),
    [
        (r"^output\.linear\.", "output_layer.linear."),
        (r"^output\.norm\.", "output_layer.bn."),
        (r"^output\.", "output_layer.conv_6_dw."),
        *_MOBILEFACENET,
    ],
    backbones=("mobilefacenet",),
)
add_layout("mbf", ("insightface",), _MBF, backbones=("mbf*",))
