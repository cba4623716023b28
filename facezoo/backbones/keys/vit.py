"""The tensor names of vision transformers' files."""

from __future__ import annotations

from facezoo.backbones.keys.layout import Rules, add_layout

_RULES: Rules = [
    (r"^position$", "pos_embed"),
    (r"^mask$", "mask_token"),
    (r"^patches\.", "patch_embed.proj."),
    (r"\.attention\.", ".attn."),
    (r"\.widen\.", ".mlp.fc1."),
    (r"\.narrow\.", ".mlp.fc2."),
    (r"^output\.", "feature."),
]

# A file's token for masked patches serves training only; a network without mask_ratio has none.
add_layout("vit", ("insightface", "CVLface"), _RULES, ("vit_*",), r"^mask_token$")
