"""What each of our networks looks like from outside: the names and shapes of its tensors, built without memory."""

from __future__ import annotations

import itertools
import re
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import lru_cache
from typing import Any, Literal

import torch
from torch import nn

from facezoo.backbones.keys import LAYOUTS, Layout
from facezoo.options import options_of
from facezoo.registry import BACKBONES, NETWORKS, Registry, parse_spec

Shape = tuple[int, ...]

SIZES = (112, 224, 128, 160, 96, 64, 192, 256, 384, (112, 96), (60, 112))
"""Crop sizes, pixels, that a file's shapes are compared with."""

WIDTHS = (0.1, 0.25, 0.35, 0.5, 0.75, 1.0, 1.3, 1.5, 2.0, 2.2, 3.0)
"""Factors of the channels that a file's shapes are compared with, where a backbone has the option."""

PUBLISHED = {"gamma": (0.5, 0.6, 0.8)}
"""Values beside the default that checkpoints are published with, of options that are numbers and change the names."""

NOT_TRIED = ("pretrained",)
"""Options that would download something."""

OWN = Layout("facezoo", ("facezoo",), lambda network, key: key)
"""Our own names, in files that torch.save wrote."""


@dataclass(frozen=True)
class Look:
    """The tensors of a network: their shapes, and those that a file may leave out (counters, computed indices)."""

    shapes: dict[str, Shape]
    optional: frozenset[str]


def registry_of(spec: str) -> Registry[Any]:
    name = parse_spec(spec)[0]
    return NETWORKS if name in NETWORKS else BACKBONES


def with_options(spec: str, **options: Any) -> str:
    """The spec string with further options at its end."""
    for key, value in options.items():
        text = str(value).lower() if isinstance(value, bool) else str(value).replace(" ", "")
        spec += f"{',' if ':' in spec else ':'}{key}={text}"
    return spec


def options(spec: str) -> dict[str, Any]:
    """The options of a spec string's network: what it says, as text, over the defaults."""
    name, given = parse_spec(spec)
    known = options_of(registry_of(spec).factory(name))
    return {**{key: parameter.default for key, parameter in known.items()}, **given}


@lru_cache(maxsize=64)
def on_meta(spec: str) -> nn.Module:
    """The network without memory for its weights."""
    with torch.device("meta"):
        return registry_of(spec).create(spec)


@lru_cache(maxsize=1024)
def look(spec: str) -> Look:
    tensors = on_meta(spec).state_dict()
    shapes = {key: tuple(tensor.shape) for key, tensor in tensors.items()}
    return Look(shapes, frozenset(key for key, tensor in tensors.items() if not tensor.is_floating_point()))


@lru_cache(maxsize=1024)
def file_names(spec: str, layout: str) -> dict[str, str]:
    """For each of our tensors its name in a file of that layout."""
    rename = layout_of(layout).rename
    return {key: rename(on_meta(spec), key) for key in look(spec).shapes}


def layout_of(name: str) -> Layout:
    return OWN if name == OWN.name else LAYOUTS[name]


def layouts_of(name: str) -> list[Layout]:
    """The layouts of files that hold a registered network, and our own names."""
    for registry in (NETWORKS, BACKBONES):
        registry.names()  # loads the package whose modules register layouts
    fitting = [layout for layout in LAYOUTS.values() if any(fnmatch(name, pattern) for pattern in layout.backbones)]
    return [*fitting, OWN]


def families() -> dict[str, list[str]]:
    """Registered names by family: one class of network, one set of layouts; small numbers first.

    `timm` is left out: its networks are named by the user.
    """
    found: dict[str, list[str]] = {}
    for registry in (BACKBONES, NETWORKS):
        for name in sorted(registry.names(), key=_numbers):
            factory = registry.factory(name)
            needs = any(option.default is option.empty for option in options_of(factory).values())
            if not needs:
                made = factory if isinstance(factory, type) else typing.get_type_hints(factory).get("return", factory)
                layouts = ",".join(layout.name for layout in layouts_of(name))
                found.setdefault(f"{made.__module__}.{made.__qualname__} {layouts}", []).append(name)
    return found


def _numbers(name: str) -> list[tuple[int, str]]:
    """Sorts ir18 before ir101."""
    return [(int(part or 0), text) for text, part in re.findall(r"(\D*)(\d*)", name)]


def forms(spec: str) -> Iterator[str]:
    """A spec string with each combination of the options, not given in it, that choose the network's structure.

    These are the options that are one of some words, yes or no, or of `PUBLISHED`, and change the tensors. The default
    comes first.
    """
    name, given = parse_spec(spec)
    known = options_of(registry_of(spec).factory(name))
    deciding = []
    for key, parameter in known.items():
        values = [] if key in given else _values(parameter)
        if any(look(with_options(spec, **{key: value})).shapes != look(spec).shapes for value in values[1:]):
            deciding.append([(key, value) for value in values])
    for combination in itertools.product(*deciding):
        yield with_options(spec, **{key: value for key, value in combination if value != known[key].default})


def _values(parameter: Any) -> list[Any]:
    """The values of an option that may choose the structure, its default first; none for other options."""
    if parameter.name in NOT_TRIED:
        return []
    if parameter.annotation is bool:
        values: list[Any] = [False, True]
    elif parameter.name in PUBLISHED:
        values = [parameter.default, *PUBLISHED[parameter.name]]
    elif typing.get_origin(parameter.annotation) is Literal:
        values = list(typing.get_args(parameter.annotation))
    else:
        return []
    return sorted(values, key=lambda value: value != parameter.default)
