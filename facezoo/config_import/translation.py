"""What becomes of the entries of another project's config, one by one."""

from __future__ import annotations

import reprlib
from collections.abc import Sequence
from textwrap import shorten
from typing import Any

from facezoo.config import SECTIONS, Config, config_from_dict
from facezoo.config_import.python_file import Unread
from facezoo.types import InputError


class Translation:
    """Entries of a config of ours, made of those that another project's has.

    Every entry of theirs ends in one of two lists, so that nothing is dropped silently.

    Args:
        project: whose config it is.
        given: entries by name.

    Attributes:
        values: ours, by section and key.
        took: lines on what was understood.
        left: lines on what was not translated, and why.
        classes, images: of the data, where the config tells; 0 elsewhere.
    """

    def __init__(self, project: str, given: dict[str, Any]) -> None:
        self.project = project
        self._given = dict(given)
        self.values: dict[str, dict[str, Any]] = {}
        self.took: list[str] = []
        self.left: list[str] = []
        self.classes = self.images = 0

    def __contains__(self, key: str) -> bool:
        return key in self._given

    def take(self, key: str, kind: type | tuple[type, ...], default: Any = None) -> Any:
        """Take an entry out; the default where it is missing, or of another kind, which is told.

        A whole number stands for a fraction where `kind` is float.
        """
        if key not in self._given:
            return default
        value = self._given.pop(key)
        wanted: Any = (int, float) if kind is float else kind
        if (
            not isinstance(value, Unread)
            and isinstance(value, wanted)
            and (not isinstance(value, bool) or kind is bool)
        ):
            return float(value) if kind is float else value
        what = "an expression, and nothing in the file is run" if isinstance(value, Unread) else "of another kind"
        self.leave_value(key, value, f"{what}; {default!r} is taken instead" if default is not None else what)
        return default

    def put(self, target: str, value: Any, *sources: str) -> None:
        """Set an entry of ours, such as `optim.lr`, and say of which of theirs it was made."""
        section, key = target.split(".")
        self.values.setdefault(section, {})[key] = value
        shown = f"{value!r}" if isinstance(value, str) else f"{value}"
        self.took.append(f"{' and '.join(sources)} -> {target} = {shown}")

    def move(self, key: str, target: str, kind: type) -> None:
        """An entry that ours has under another name."""
        if key in self._given:
            value = self.take(key, kind)
            if value is not None:
                self.put(target, value, key)

    def leave(self, reason: str, *keys: str) -> None:
        """Entries that are known and have no place in a config of ours."""
        for key in keys:
            if key in self._given:
                self.leave_value(key, self._given.pop(key), reason)

    def leave_value(self, key: str, value: Any, reason: str) -> None:
        shown = str(value) if isinstance(value, Unread) else reprlib.repr(value)
        self.left.append(f"{key} = {shorten(shown, 60, placeholder='...')}: {reason}")

    def numbers(self, key: str, default: Sequence[float] = ()) -> list[float]:
        """Take a list of numbers out."""
        found = self.take(key, list, list(default))
        if all(isinstance(number, int | float) and not isinstance(number, bool) for number in found):
            return found
        raise InputError(f"{self.project}: {key} is {reprlib.repr(found)}, it must be a list of numbers")

    def choose(self, key: str, known: dict[str, str], default: str) -> tuple[str, str]:
        """One of their names, and what it is called here.

        Raises:
            InputError: a name that is not known.
        """
        name = self.take(key, str, default)
        if name not in known:
            raise InputError(f"{self.project}: {key} is {name!r}, which is not known; known: {', '.join(known)}")
        return name, known[name]

    def config(self, name: str) -> Config:
        """The config, checked; every entry of theirs that is left is told as unknown."""
        for key in list(self._given):
            self.leave("not known", key)
        order = {section: self.values[section] for section in SECTIONS if section in self.values}
        return config_from_dict({"name": name, **order}, self.project)


def with_options(spec: str, **options: Any) -> str:
    """A spec string with further options."""
    told = ",".join(f"{key}={_text(value)}" for key, value in options.items())
    return spec if not told else f"{spec}{',' if ':' in spec else ':'}{told}"


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "(" + ",".join(map(_text, value)) + ")"
    return f"{value:g}" if isinstance(value, float) else str(value)
