"""What there is to choose from: models of the zoo, and the parts that a spec string can name."""

from __future__ import annotations

import textwrap
from dataclasses import asdict
from typing import TYPE_CHECKING, Literal

from facezoo.cli.app import app, print_json

if TYPE_CHECKING:
    from facezoo.cards import Card

Kind = Literal[
    "models",
    "backbones",
    "heads",
    "losses",
    "embedding-losses",
    "modes",
    "datasets",
    "transforms",
    "benchmarks",
    "detectors",
    "embedders",
]
"""What `facezoo list` lists: the zoo's models, or one of the registries."""


@app.command(name="list")
def list_parts(
    kind: Kind = "models",
    /,
    *,
    json: bool = False,
) -> None:
    """List what there is to choose from.

    Heads and losses come with their formula, paper, options and the presets of other projects. In formulas c is the
    cosine of the true class, c_j that of another, theta the true class's angle, s the scale, m the margin.

    Args:
        kind: models and photos of the zoo, or the parts of one kind that a spec string can name.
        json: print the list as JSON.
    """
    from facezoo import registry
    from facezoo.cards import cards
    from facezoo.zoo import ENTRIES

    if kind == "models":
        if json:
            print_json([asdict(entry) for entry in ENTRIES.values()])
            return
        for entry in ENTRIES.values():
            print(f"{entry.name:16}{entry.license:16}{entry.what}")
        return
    found = cards(getattr(registry, kind.replace("-", "_").upper()))
    if json:
        print_json([asdict(card) for card in found])
        return
    for card in found:
        print(_block(card) if any(card.formula for card in found) else _line(card))


def _line(card: Card) -> str:
    return f"{card.name:18} {textwrap.shorten(card.what, 100)}".rstrip()


def _block(card: Card) -> str:
    """A part on a few lines: name and what it does, formula, options, presets, paper."""
    options = ", ".join(f"{key}={value}" if value else key for key, value in card.options.items())
    rows = [
        _line(card),
        f"    {card.formula}" if card.formula else "",
        f"    {card.name}:{options}" if options else "",
        *(f"    {name} = {spec}" for name, spec in card.presets.items()),
        f"    {card.paper}" if card.paper else "",
    ]
    return "\n".join(row for row in rows if row) + "\n"
