"""The tensor names of EfficientNet files of FaceX-Zoo and face.evoLVe, and of TFace."""

from __future__ import annotations

import re
from typing import Any

from facezoo.backbones.keys.layout import OUTPUT_LAYER, Layout, Rules, register, renamed

_ENDS: Rules = [
    (r"^stem\.0\.", "_conv_stem."),
    (r"^stem\.1\.", "_bn0."),
    (r"^head\.0\.", "_conv_head."),
    (r"^head\.1\.", "_bn1."),
    *OUTPUT_LAYER,
]
_SQUEEZE: Rules = [
    (r"^se\.conv_reduce\.", "_se_reduce."),
    (r"^se\.conv_expand\.", "_se_expand."),
]
_FIRST: Rules = [
    (r"^conv_dw\.", "_depthwise_conv."),
    (r"^bn1\.", "_bn1."),
    (r"^conv_pw\.", "_project_conv."),
    (r"^bn2\.", "_bn2."),
    *_SQUEEZE,
]
_WIDENING: Rules = [
    (r"^conv_pw\.", "_expand_conv."),
    (r"^bn1\.", "_bn0."),
    (r"^conv_dw\.", "_depthwise_conv."),
    (r"^bn2\.", "_bn1."),
    (r"^conv_pwl\.", "_project_conv."),
    (r"^bn3\.", "_bn2."),
    *_SQUEEZE,
]
_TFACE_ENDS: Rules = [
    (r"^stem\.0\.", "features.init_block.conv.conv."),
    (r"^stem\.1\.act\.", "features.init_block.conv.act."),
    (r"^stem\.1\.", "features.init_block.conv.bn."),
    (r"^head\.prelu\.", "features.final_block.act."),
    (r"^head\.", "features.final_block."),
    (r"^output\.(conv|bn)\.", r"output.conv_6_dw.\1."),
    (r"^output\.norm\.", "output.bn."),
]
_TFACE_SQUEEZE: Rules = [
    (r"^se\.conv_reduce\.", "se.fc1."),
    (r"^se\.conv_expand\.", "se.fc2."),
]


def _tface_convolutions(names: tuple[str, ...]) -> Rules:
    """timm's names of a block's convolutions and BatchNorms as a convolution, a BatchNorm and a PReLU each."""
    rules: Rules = []
    for number, (ours, theirs) in enumerate(zip(names[::2], names[1::2], strict=True), 1):
        rules.append((rf"^{ours}\.", f"{theirs}.conv."))
        rules.append((rf"^bn{number}\.act\.", f"{theirs}.act."))
        rules.append((rf"^bn{number}\.", f"{theirs}.bn."))
    return [*rules, *_TFACE_SQUEEZE]


_TFACE_FIRST = _tface_convolutions(("conv_dw", "dw_conv", "conv_pw", "pw_conv"))
_TFACE_WIDENING = _tface_convolutions(("conv_pw", "conv1", "conv_dw", "conv2", "conv_pwl", "conv3"))

_TFACE_STAGES = (1, 2, 3, 4, 4, 5, 5)
"""TFace's stage of each of ours."""


def _place(key: str) -> tuple[int, int, str] | None:
    found = re.match(r"^stages\.(\d)\.(\d+)\.", key)
    return None if found is None else (int(found[1]), int(found[2]), key[found.end() :])


def _rename(network: Any, key: str) -> str:
    """The blocks of all stages are numbered through."""
    place = _place(key)
    if place is None:
        return renamed(key, _ENDS)
    stage, block, rest = place
    number = sum(len(before) for before in network.stages[:stage]) + block
    return f"_blocks.{number}." + renamed(rest, _WIDENING if stage else _FIRST)


def _rename_tface(network: Any, key: str) -> str:
    """TFace counts from 1 and takes two stages without a stride into the stages before them."""
    place = _place(key)
    if place is None:
        return renamed(key, _TFACE_ENDS)
    stage, block, rest = place
    joined = _TFACE_STAGES[stage] == _TFACE_STAGES[stage - 1]
    number = block + 1 + (len(network.stages[stage - 1]) if joined else 0)
    name = f"features.stage{_TFACE_STAGES[stage]}.unit{number}."
    return name + renamed(rest, _TFACE_WIDENING if stage else _TFACE_FIRST)


register(Layout("efficientnet", ("FaceX-Zoo", "face.evoLVe"), _rename, ("efficientnet_b*",), r"^_fc\.(weight|bias)$"))
register(Layout("efficientnet_tface", ("TFace",), _rename_tface, ("efficientnet_b*",)))
