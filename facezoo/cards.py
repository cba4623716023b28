"""What can be told of a registered part without making it: what it does, its formula, its paper, its options."""

from __future__ import annotations

import inspect
import json
import re
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from facezoo.options import change_options, options_of
from facezoo.registry import Registry, parse_spec

PAPER = re.compile(r"https?://[^\s,;]+[^\s,;.):]")


GIVEN = ("num_classes", "embedding_dim", "student_maps", "teacher_maps")
"""Options that the data and the network give, where there is no default."""


@dataclass(frozen=True)
class Card:
    """One part of a registry.

    Attributes:
        name: as in a spec string.
        what: the first line of its docstring, without the paper.
        formula: its logits or its loss in one line, if it states one.
        paper: the first address in its docstring.
        options: their defaults as text; empty for one that must be given.
        presets: spec strings by the name of whose numbers they have.
    """

    name: str
    what: str
    formula: str
    paper: str
    options: dict[str, str]
    presets: dict[str, str]


def card(registry: Registry[Any], name: str) -> Card:
    """The card of a part by its name."""
    factory = registry.factory(name)
    text = inspect.getdoc(factory) or inspect.getdoc(_made(factory)) or ""
    first = text.partition("\n\n")[0].replace("\n", " ")
    found = PAPER.search(text) or PAPER.search(inspect.getdoc(_made(factory)) or "")
    options = {
        key: "" if option.default is option.empty else _text(option.default)
        for key, option in options_of(factory).items()
        if key not in GIVEN or option.default not in (option.empty, None)
    }
    presets = {key: spec for key, spec in registry.presets().items() if parse_spec(spec)[0] == name}
    formula = getattr(factory, "formula", "") or getattr(_made(factory), "formula", "")
    what = PAPER.split(first)[0]
    return Card(name, what.rstrip(" ;,.("), formula, found[0] if found else "", options, presets)


def cards(registry: Registry[Any]) -> list[Card]:
    """The cards of all parts, by name."""
    return [card(registry, name) for name in registry.names()]


def changes(registry: Registry[Any]) -> list[Card]:
    """What may be done to any part: the cards of the options that every part takes, named `any` and the kind."""
    found = []
    for change in registry.changes():
        options = {key: _text(option.default) for key, option in change_options(change).items()}
        what = (inspect.getdoc(change) or "").partition("\n\n")[0].replace("\n", " ").rstrip(".")
        found.append(Card(f"any {registry.kind}", what, "", "", options, {}))
    return found


def _made(factory: Callable[..., Any]) -> Any:
    """The class that a factory function returns; a class itself."""
    return factory if inspect.isclass(factory) else typing.get_type_hints(factory).get("return")


def _text(value: Any) -> str:
    """As it may be written in a spec string."""
    if isinstance(value, tuple) and value and all(isinstance(each, str) for each in value):
        return json.dumps(value, separators=(",", ":"))
    return str(value).lower() if isinstance(value, bool) or value is None else str(value)
