"""The tensor names of TF-NAS files."""

from __future__ import annotations

from facezoo.backbones.keys.layout import Rules, add_layout

_RULES: Rules = [
    *((rf"^stages\.{stage}\.", f"stage{stage + 1}.") for stage in range(6)),
    (r"^stem\.", "first_stem."),
    (r"^second\.", "second_stem."),
    (r"^mix\.", "feature_mix_layer."),
    (r"^linear\.", "output_layer.2."),
    (r"^norm\.", "output_layer.3."),
    (r"\.expand\.(conv|bn)\.", r".inverted_bottleneck.\1."),
    (r"\.depthwise\.", ".depth_conv."),
    (r"\.se\.", ".squeeze_excite.conv_"),
    (r"\.project\.", ".point_linear."),
]

add_layout("tf_nas", ("FaceX-Zoo",), _RULES, ("tf_nas_*",))
