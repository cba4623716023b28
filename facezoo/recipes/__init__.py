"""Recipes: training settings that were published or measured, one TOML file each beside this module, by name."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path

from facezoo.types import InputError

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Recipe:
    """One recipe.

    Attributes:
        name: of the file without its ending, and of the run.
        what: the first line of its comment.
    """

    name: str
    what: str

    @property
    def path(self) -> Path:
        return FOLDER / f"{self.name}.toml"


def recipes() -> list[Recipe]:
    """All recipes by name."""
    return [Recipe(path.stem, _first_line(path)) for path in sorted(FOLDER.glob("*.toml"))]


def find_recipe(text: Path | str) -> Path:
    """The TOML file at a path, or else the recipe of that name.

    Raises:
        InputError: neither; the recipes with a similar name are told.
    """
    path = Path(text)
    if path.exists():
        return path
    if path.suffix or len(path.parts) > 1:
        raise InputError(f"{text}: no such file; recipes go by their name alone, see facezoo list recipes")
    names = [recipe.name for recipe in recipes()]
    if str(text) in names:
        return Recipe(str(text), "").path
    near = difflib.get_close_matches(str(text), names, 3)
    hint = f"did you mean {', '.join(near)}?" if near else "see facezoo list recipes"
    raise InputError(f"{text}: no such file, and no recipe has that name; {hint}")


def _first_line(path: Path) -> str:
    with path.open(encoding="utf-8") as file:
        return file.readline().lstrip("#").strip()
