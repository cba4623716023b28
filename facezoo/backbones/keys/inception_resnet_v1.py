"""The tensor names of facenet-pytorch's files."""

from __future__ import annotations

from facezoo.backbones.keys.layout import Rules, add_layout

_STEM = {0: "conv2d_1a", 1: "conv2d_2a", 2: "conv2d_2b", 4: "conv2d_3b", 5: "conv2d_4a", 6: "conv2d_4b"}
_RULES: Rules = [
    *((rf"^stem\.{number}\.", f"{name}.") for number, name in _STEM.items()),
    (r"^(blocks_\w\.\d+)\.conv\.", r"\1.conv2d."),
    (r"\.branches\.", ".branch"),
    (r"^blocks_a\.", "repeat_1."),
    (r"^reduction_a\.", "mixed_6a."),
    (r"^blocks_b\.", "repeat_2."),
    (r"^reduction_b\.", "mixed_7a."),
    (r"^blocks_c\.5\.", "block8."),
    (r"^blocks_c\.", "repeat_3."),
    (r"^linear\.", "last_linear."),
    (r"^norm\.", "last_bn."),
]

# The classes of the training set are a head's, not the network's.
add_layout("inceptionresnetv1", ("facenet-pytorch",), _RULES, ("inceptionresnetv1",), r"^logits\.")
