"""The tensor names of Light CNN files."""

from __future__ import annotations

from facezoo.backbones.keys.layout import Rules, add_layout

_RULES: Rules = [
    *((rf"^(block|group)s\.{number}\.", rf"\g<1>{number + 1}.") for number in range(4)),
    (r"^stem\.", "conv1."),
    (r"\.point\.", ".conv_a."),
    (r"\.spread\.", ".conv."),
    (r"\.first\.", ".conv1."),
    (r"\.second\.", ".conv2."),
    (r"\.conv\.(weight|bias)$", r".filter.\1"),
    (r"^output\.bn\.", "output_layer.0."),
    (r"^output\.linear\.", "output_layer.3."),
    (r"^output\.norm\.", "output_layer.4."),
]

add_layout("lightcnn", ("FaceX-Zoo",), _RULES, ("lightcnn29v2",))
