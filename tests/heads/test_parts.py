"""What the registry tells of every head and loss: its formula, its paper, whose numbers a preset has."""

import inspect
from pathlib import Path

import pytest

from facezoo.heads import create_head
from facezoo.registry import EMBEDDING_LOSSES, HEADS, LOSSES

PARTS = [(registry, name) for registry in (HEADS, LOSSES) for name in registry.names()]
DOCUMENT = Path(__file__).parents[2] / "docs" / "heads.md"


def made(registry, name):
    return registry.create(name, **registry.taken(name, {"num_classes": 7}))


@pytest.mark.parametrize(("registry", "name"), PARTS, ids=lambda value: value if isinstance(value, str) else value.kind)
def test_a_part_tells_its_formula_in_one_ascii_line(registry, name):
    formula = made(registry, name).formula
    assert formula and formula.isascii() and "\n" not in formula


@pytest.mark.parametrize("name", HEADS.names())
def test_a_head_names_its_paper(name):
    assert "https://" in (inspect.getdoc(HEADS.factory(name)) or "")


@pytest.mark.parametrize(("registry", "name"), PARTS, ids=lambda value: value if isinstance(value, str) else value.kind)
def test_the_first_line_of_a_part_says_what_it_is(registry, name):
    first = (inspect.getdoc(registry.factory(name)) or "").partition("\n")[0]
    assert first.endswith((".", registry.kind)) or "https://" in first


@pytest.mark.parametrize("name", HEADS.presets())
def test_a_preset_of_a_head_is_a_head(name):
    assert create_head(name, 8, 7).margin.formula


@pytest.mark.parametrize("name", LOSSES.presets())
def test_a_preset_of_a_loss_is_a_loss(name):
    assert create_head("cosface", 8, 7, name).loss.formula


@pytest.mark.parametrize("name", [*HEADS.presets(), *LOSSES.presets()])
def test_a_preset_bears_the_name_of_what_it_sets(name):
    presets = HEADS.presets() | LOSSES.presets()
    assert presets[name].partition(":")[0] == name.partition("@")[0]


@pytest.mark.parametrize("registry", [HEADS, LOSSES, EMBEDDING_LOSSES], ids=lambda registry: registry.kind)
def test_the_document_has_every_part_and_every_preset(registry):
    text = DOCUMENT.read_text(encoding="utf-8")
    assert [name for name in registry.names() if f"| `{name}` |" not in text] == []
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    for name, spec in registry.presets().items():
        assert any(f"`{name}`" in row and f"`{spec}`" in row for row in rows), name
