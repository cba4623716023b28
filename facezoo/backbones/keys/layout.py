"""How a file of another project names the tensors of one of our networks."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from torch import nn

from facezoo.types import InputError

Rules: TypeAlias = list[tuple[str, str]]
"""Regular expressions and their replacements, applied in order to our name of a tensor."""


@dataclass(frozen=True)
class Layout:
    """One project's names for one family.

    Attributes:
        name: as it is asked for.
        projects: who writes files so.
        rename: our network and our name of one of its tensors to the file's name.
        backbones: patterns (`ir_se*`) of the registered backbones that such files hold.
        dead: regular expression of tensors that such files have and our network does without.
    """

    name: str
    projects: tuple[str, ...]
    rename: Callable[[nn.Module, str], str]
    backbones: tuple[str, ...] = ()
    dead: str = ""


LAYOUTS: dict[str, Layout] = {}

OUTPUT_LAYER: Rules = [
    (r"^output\.bn\.", "output_layer.0."),
    (r"^output\.linear\.", "output_layer.3."),
    (r"^output\.norm\.", "output_layer.4."),
]
"""FaceX-Zoo's names of `FlattenLinear`."""


def add_layout(
    name: str, projects: tuple[str, ...], rules: Rules, backbones: tuple[str, ...] = (), dead: str = ""
) -> None:
    """Register a layout that is a list of rules; `Layout` itself takes any function."""
    register(Layout(name, projects, lambda network, key: renamed(key, rules), backbones, dead))


def register(layout: Layout) -> None:
    if layout.name in LAYOUTS:
        raise ValueError(f"layout {layout.name!r} is registered twice")
    LAYOUTS[layout.name] = layout


def renamed(key: str, rules: Rules) -> str:
    for pattern, replacement in rules:
        key = re.sub(pattern, replacement, key)
    return key


def reference_keys(network: nn.Module, layout: str) -> dict[str, str]:
    """For each tensor of our network's state dict, its name in a file of that layout.

    Raises:
        InputError: there is no such layout.
    """
    if layout not in LAYOUTS:
        raise InputError(f"unknown layout {layout!r}; known: {', '.join(sorted(LAYOUTS))}")
    rename = LAYOUTS[layout].rename
    return {key: rename(network, key) for key in network.state_dict()}
