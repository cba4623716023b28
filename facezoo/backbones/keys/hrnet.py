"""The tensor names of HRNet files."""

from __future__ import annotations

from facezoo.backbones.keys.layout import Rules, add_layout

_RULES: Rules = [
    (r"^stem\.0\.", "conv1."),
    (r"^stem\.1\.", "bn1."),
    (r"^stem\.3\.", "conv2."),
    (r"^stem\.4\.", "bn2."),
    (r"^first\.", "layer1."),
    *((rf"^transitions\.{place}\.", f"transition{place + 1}.") for place in range(3)),
    *((rf"^stages\.{place}\.", f"stage{place + 2}.") for place in range(3)),
    (r"^incre\.", "incre_modules."),
    (r"^down\.", "downsamp_modules."),
    (r"^last\.", "final_layer."),
    (r"^output\.", "output_layer."),
]

add_layout("hrnet", ("FaceX-Zoo",), _RULES, ("hrnet_*",))
