"""The tensor names of FBNet files."""

from __future__ import annotations

from facezoo.backbones.keys.layout import Rules, add_layout

_RULES: Rules = [
    (r"^stem\.", "first."),
    (r"^blocks\.(\d+)\.", r"stages.xif\1_0."),
    (r"\.expand\.", ".pw."),
    (r"\.depthwise\.", ".dw.conv."),
    (r"\.project\.", ".pwl."),
    (r"^output\.bn\.", "last_stages.0."),
    (r"^output\.linear\.", "last_stages.3."),
    (r"^output\.norm\.", "last_stages.4."),
]

add_layout("fbnet", ("TFace",), _RULES, ("fbnet_*",))
