"""What there is to choose from: models of the zoo, and the parts that a spec string can name."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Literal

from facezoo.cli.app import app, print_json

if TYPE_CHECKING:
    from facezoo.cards import Card
    from facezoo.measure.backbones import BackboneRow

Kind = Literal[
    "models",
    "recipes",
    "backbones",
    "heads",
    "losses",
    "embedding-losses",
    "distillation-losses",
    "modes",
    "datasets",
    "transforms",
    "benchmarks",
    "detectors",
    "landmarks",
    "embedders",
    "wearables",
]
"""What `facezoo list` lists: the zoo's models, the recipes, or one of the registries."""


@app.command(name="list")
def list_parts(
    kind: Kind = "models",
    /,
    *,
    json: bool = False,
) -> None:
    """List what there is to choose from.

    Backbones come with parameters, multiply-adds at their default crop size, paper and the projects whose checkpoints
    they take. Heads and losses come with their formula, paper, options and the presets of other projects. In formulas
    c is the cosine of the true class, c_j that of another, theta the true class's angle, s the scale, m the margin.

    Args:
        kind: models and photos of the zoo, recipes that facezoo train takes by name, or the parts of one kind that a
            spec string can name.
        json: print the list as JSON.
    """
    from facezoo import registry
    from facezoo.cards import cards, changes
    from facezoo.zoo import ENTRIES

    if kind == "models":
        if json:
            print_json([asdict(entry) for entry in ENTRIES.values()])
            return
        for entry in ENTRIES.values():
            print(f"{entry.name:16}{entry.license:16}{entry.what}")
        return
    if kind == "recipes":
        from facezoo.recipes import recipes

        if json:
            print_json([asdict(recipe) for recipe in recipes()])
            return
        for recipe in recipes():
            print(f"{recipe.name:42} {recipe.what}")
        return
    if kind == "backbones":
        from facezoo.measure.backbones import backbone_rows

        rows = backbone_rows()
        if json:
            print_json([asdict(row) for row in rows])
            return
        print("\n".join(_backbones(rows)))
        return
    parts = getattr(registry, kind.replace("-", "_").upper())
    found, everywhere = cards(parts), changes(parts)
    if json:
        print_json([asdict(card) for card in found])
        return
    if any(card.formula or card.presets for card in found):
        shared = [key for change in everywhere for key in change.options]
        print("\n".join(_block(card, shared) for card in found))
        for change in everywhere:
            print(_block(change, named=False))
        return
    width = max((len(card.name) for card in found), default=0)
    for card in found:
        print(_line(card, width))


def _backbones(rows: list[BackboneRow]) -> Iterator[str]:
    """One line a backbone below its family's paper and options."""
    for family, group in itertools.groupby(rows, key=lambda row: (row.family, row.options)):
        members = list(group)
        options = ",".join(f"{key}={value}" if value else key for key, value in members[0].options.items())
        yield f"{family[0]}  {members[0].paper}".rstrip()
        yield f"    :{options}"
        for row in members:
            parameters = "" if row.parameters is None else f"{row.parameters / 1e6:10.2f} M"
            macs = "" if row.macs is None else f"{row.macs / 1e6:12,.0f} M MACs"
            size = "x".join(map(str, row.input_size))
            takes = f"  imports {', '.join(row.imports)}" if row.imports else ""
            yield f"    {row.name:24}{parameters:12}{macs:19}  {size:8}{takes}".rstrip()


def _line(card: Card, width: int = 18) -> str:
    return f"{card.name:{width}}  {textwrap.shorten(card.what, 100)}".rstrip()


def _block(card: Card, shared: Sequence[str] = (), named: bool = True) -> str:
    """A part on a few lines: name and what it does, formula, options but for those shared by all, presets, paper.

    Options that any part takes have no name before them.
    """
    own = {key: value for key, value in card.options.items() if key not in shared}
    options = ", ".join(f"{key}={value}" if value else key for key, value in own.items())
    rows = [
        _line(card),
        f"    {card.formula}" if card.formula else "",
        f"    {f'{card.name}:' if named else ''}{options}" if options else "",
        *(f"    {name} = {spec}" for name, spec in card.presets.items()),
        f"    {card.paper}" if card.paper else "",
    ]
    return "\n".join(row for row in rows if row) + "\n"
