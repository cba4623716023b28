"""The tensor names of these networks' files."""

from __future__ import annotations

from torch import nn

from facezoo.backbones.keys import LAYOUTS, Layout
from facezoo.backbones.keys.layout import Rules, add_layout, register, renamed

add_layout(
    "retinaface",
    ("FaceX-Zoo's SDK", "biubug6"),
    [
        (r"^stage", "body.stage"),
        (r"^pyramid\.outputs\.0\.", "fpn.output1."),
        (r"^pyramid\.outputs\.1\.", "fpn.output2."),
        (r"^pyramid\.outputs\.2\.", "fpn.output3."),
        (r"^pyramid\.merges\.0\.", "fpn.merge1."),
        (r"^pyramid\.merges\.1\.", "fpn.merge2."),
        (r"^context\.0\.", "ssh1."),
        (r"^context\.1\.", "ssh2."),
        (r"^context\.2\.", "ssh3."),
        (r"\.three\.", ".conv3X3."),
        (r"\.middle\.", ".conv5X5_1."),
        (r"\.five\.", ".conv5X5_2."),
        (r"\.wide\.", ".conv7X7_2."),
        (r"\.seven\.", ".conv7x7_3."),
        (r"^faces\.(\d)", r"ClassHead.\1.conv1x1"),
        (r"^boxes\.(\d)", r"BboxHead.\1.conv1x1"),
        (r"^landmarks\.(\d)", r"LandmarkHead.\1.conv1x1"),
    ],
    backbones=("retinaface_mnet025",),
)

_PFLD = (
    *("conv_bn2", "conv3_1", "block3_2", "block3_3", "block3_4", "block3_5"),
    *("conv4_1", "conv5_1", "block5_2", "block5_3", "block5_4", "conv6_1"),
)
_PFLD_RULES: Rules = [
    (r"^stem\.conv\.", "conv_bn1.0."),
    (r"^stem\.bn\.", "conv_bn1.1."),
    *((rf"^blocks\.{number}\.", f"{name}.") for number, name in enumerate(_PFLD)),
    (r"\.expand\.conv\.", ".conv.0."),
    (r"\.expand\.bn\.", ".conv.1."),
    (r"\.depthwise\.conv\.", ".conv.3."),
    (r"\.depthwise\.bn\.", ".conv.4."),
    (r"\.gate\.reduce\.", ".conv.5.fc.0."),
    (r"\.gate\.expand\.", ".conv.5.fc.2."),
    (r"\.project\.conv\.", ".conv.7."),
    (r"\.project\.bn\.", ".conv.8."),
    (r"^middle\.", "conv7."),
    (r"^coarse\.", "conv8."),
    (r"^output\.", "fc."),
]
add_layout("pfld", ("FaceX-Zoo's SDK",), _PFLD_RULES, backbones=("pfld_mobilenetv3",))


def _quality(body: str, network: str) -> Layout:
    """A backbone's layout with the quality output in place of the embedding's."""

    def rename(made: nn.Module, key: str) -> str:
        output: Rules = [(r"^body\.output\.prelu\.", "quality.1."), (r"^body\.output\.linear\.", "quality.3.")]
        if (name := renamed(key, output)) != key:
            return name
        return LAYOUTS[body].rename(made.body, key.removeprefix("body."))  # type: ignore[arg-type]

    return Layout(f"sdd_fiqa_{body}", ("SDD-FIQA",), rename, (network,))


register(_quality("ir", "sdd_fiqa_r50"))
register(_quality("mobilefacenet", "sdd_fiqa_mobilefacenet"))
