"""What there is to say of every registered backbone: family, cost, paper, whose checkpoints it takes."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from facezoo.cards import PAPER, card
from facezoo.files import write_text
from facezoo.imports.describe import layouts_of, on_meta, options
from facezoo.options import options_of
from facezoo.registry import BACKBONES

COUNTS = Path(__file__).parent / "backbones.json"
"""Parameters and multiply-adds of the registered backbones, counted once: to count them all takes a minute."""


@dataclass(frozen=True)
class BackboneRow:
    """A registered backbone with its default options.

    Attributes:
        name: of its spec string.
        family: module that it lives in.
        parameters, macs: at `input_size`; None of those that the user has to name (`timm:...`).
        input_size: height and width by default, pixels.
        options: their defaults.
        paper: address.
        imports: projects whose checkpoints it takes.
    """

    name: str
    family: str
    parameters: int | None
    macs: int | None
    input_size: tuple[int, int]
    options: dict[str, str]
    paper: str
    imports: tuple[str, ...]


def backbone_rows() -> list[BackboneRow]:
    """All registered backbones by family, options and cost; those of plug-ins are counted now."""
    rows = [_row(name) for name in BACKBONES.names()]
    return sorted(rows, key=lambda row: (row.family, list(row.options.items()), row.macs or 0, row.name))


def _row(name: str) -> BackboneRow:
    factory = BACKBONES.factory(name)
    module = sys.modules[factory.__module__]
    facts = card(BACKBONES, name)
    paper = facts.paper or next(iter(PAPER.findall(inspect.getdoc(module) or "")), "")
    open_ended = any(option.default is option.empty for option in options_of(factory).values())
    parameters, macs = (None, None) if open_ended else counted(name)
    side = options(name).get("input_size", 112)
    size = (side, side) if isinstance(side, int) else tuple(side)
    projects = dict.fromkeys(project for layout in layouts_of(name)[:-1] for project in layout.projects)
    family = factory.__module__.rpartition(".")[2]
    return BackboneRow(name, family, parameters, macs, size, facts.options, paper, tuple(projects))


def counted(name: str) -> tuple[int, int]:
    """Parameters and multiply-adds of a backbone with its default options."""
    known = _stored().get(name)
    return count_backbone(name) if known is None else (known[0], known[1])


def count_backbone(spec: str) -> tuple[int, int]:
    """Parameters and multiply-adds for one crop, counted now on a network without memory."""
    from facezoo.measure.counts import count

    network = on_meta(spec)
    found = count(network, network.input_size)  # type: ignore[arg-type]
    return found.parameters, found.macs


@lru_cache(maxsize=1)
def _stored() -> dict[str, list[int]]:
    return json.loads(COUNTS.read_text(encoding="utf-8"))


def write_counts(names: Iterable[str], path: Path = COUNTS) -> None:
    """Count backbones and store the numbers beside this module."""
    lines = (f"{json.dumps(name)}: {json.dumps(count_backbone(name))}" for name in sorted(names))
    write_text(path, "{\n  " + ",\n  ".join(lines) + "\n}\n")
