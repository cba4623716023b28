"""Everything that can be swapped by a string: `name:key=value,...`.

One `Registry` per kind. A part registers itself with a decorator, a spec string creates it, and the
registry imports the package in which its parts live when it is first asked, so that a name is known
without anybody importing its module.
"""

from __future__ import annotations

import difflib
import functools
import importlib
import inspect
import re
import threading
import typing
from collections.abc import Callable, Sequence
from importlib.metadata import entry_points
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter, ValidationError

from facezoo.options import changed, options_of
from facezoo.types import InputError

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

PLUGIN_GROUP = "facezoo.plugins"
LIST_WANTED = (
    'write a list in brackets, texts in double quotes: [1, 2] or ["a", "b"]; on a command line within single quotes'
)
QUOTES = ("'", '"')
TUPLE = re.compile(r'"(?:[^"\\]|\\.)*"|[()]')
"""A parenthesis outside of quotes: JSON has square brackets alone."""
SQUARE = {"(": "[", ")": "]"}


def parse_spec(spec: str) -> tuple[str, dict[str, str]]:
    """Split `name:key=value,key=value`; values stay text.

    A comma inside (), [], {} or quotes does not split: `folder:root='a, b'`.

    A first value without a key, as in `timm:resnet50`, is found under the key "": the factory's first option.
    """
    name, _, rest = spec.partition(":")
    options: dict[str, str] = {}
    for position, part in enumerate(_split(rest)):
        key, equals, value = (text.strip() for text in part.partition("="))
        if position == 0 and not equals:
            key, value = "", key
        elif not equals or not key:
            raise InputError(f"{spec!r}: {part!r} is not key=value; write name:key=value,key=value")
        if key in options:
            raise InputError(f"{spec!r}: option {key!r} is given twice")
        quoted = len(value) > 1 and value[0] == value[-1] and value[0] in QUOTES
        options[key] = value[1:-1] if quoted else value
    return name.strip(), options


def without_option(spec: str, key: str) -> str:
    """The spec string less one of its options."""
    name, colon, rest = spec.partition(":")
    kept = [part for part in _split(rest) if part.partition("=")[0].strip() != key]
    return name + (colon + ",".join(kept) if kept else "")


def _split(text: str) -> list[str]:
    parts, depth, start, quote = [], 0, 0, ""
    for position, letter in enumerate(text):
        before = text[position - 1 : position]
        if quote or (letter in QUOTES and before == "=") or (letter == '"' and depth):
            escaped = depth and before == "\\"  # within brackets is JSON
            quote = "" if letter == quote and not escaped else quote or letter
            continue
        depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and depth == 0:
            parts.append(text[start:position])
            start = position + 1
    parts.append(text[start:])
    return [part for part in parts if part.strip()]


class Registry(Generic[T]):
    """Named factories of one kind.

    Args:
        kind: what is registered, in the singular, for messages.
        home: package imported at the first look-up; it imports the modules that register.
    """

    def __init__(self, kind: str, home: str) -> None:
        self.kind, self.home = kind, home
        self._factories: dict[str, Callable[..., T]] = {}
        self._presets: dict[str, str] = {}
        self._changes: list[Callable[..., T]] = []
        self._loaded, self._lock = False, threading.RLock()

    def register(self, factory: F | None = None, /, *, name: str | None = None) -> Any:
        """Decorator; the name is the factory's, lower case, unless given."""
        if factory is None:
            return lambda f: self.register(f, name=name)
        key = name or factory.__name__.lower()
        if key in self._factories:
            raise ValueError(f"{self.kind} {key!r} is registered twice")
        self._factories[key] = factory
        return factory

    def change(self, change: F) -> F:
        """Decorator of a function that changes any part: its options are taken by every part.

        The function takes what was made and its own options, of which the first, with the default None, calls for the
        change; the others say how.
        """
        self._changes.append(change)
        return change

    def changes(self) -> list[Callable[..., T]]:
        self._load()
        return self._changes

    def _load(self) -> None:
        with self._lock:
            if self._loaded:
                return
            importlib.import_module(self.home)
            for plugin in entry_points(group=PLUGIN_GROUP):
                plugin.load()
            self._loaded = True

    def preset(self, name: str, spec: str) -> None:
        """Name a spec string by whose numbers it has: `arcface@facexzoo` for `arcface:margin=0.35,scale=32`."""
        if name in self._presets:
            raise ValueError(f"{self.kind} {name!r} is registered twice")
        self._presets[name] = spec

    def presets(self) -> dict[str, str]:
        """The spec strings of all presets by name."""
        self._load()
        return dict(sorted(self._presets.items()))

    def names(self) -> list[str]:
        self._load()
        return sorted(self._factories)

    def __contains__(self, name: str) -> bool:
        self._load()
        return name in self._factories

    def factory(self, name: str) -> Callable[..., T]:
        self._load()
        if name not in self._factories:
            known = [*self.names(), *self.presets()]
            raise InputError(f"unknown {self.kind} {name!r}{_meant(name, known)}; known: {', '.join(known)}")
        return functools.reduce(functools.partial(changed, name), self._changes, self._factories[name])

    def create(self, spec: str, /, **given: Any) -> T:
        """Create from `name:key=value,...`; `given` are further options from code, not from text."""
        name, texts = self._resolved(spec)
        factory = self.factory(name)
        options = options_of(factory)
        if "" in texts:
            first = next(iter(options), "")
            if not first or first in texts:
                raise InputError(f"{spec!r}: {texts['']!r} is not key=value; write {name}:key=value,key=value")
            texts[first] = texts.pop("")
        values = {key: self._convert(name, key, text, options) for key, text in texts.items()}
        for key in given:
            if key not in options:
                raise InputError(self._unknown(name, key, options))
        merged = {**given, **values}
        missing = [k for k, p in options.items() if p.default is p.empty and k not in merged]
        if missing:
            raise InputError(f"{self.kind} {name!r} needs {missing[0]}: write {name}:{missing[0]}=...")
        return factory(**merged)

    def option(self, spec: str, key: str) -> Any:
        """The value of one option of a spec, its default where the text leaves it out; None if there is no such."""
        name, texts = self._resolved(spec)
        options = options_of(self.factory(name))
        if key not in options:
            return None
        return self._convert(name, key, texts[key], options) if key in texts else options[key].default

    def factory_of(self, spec: str) -> Callable[..., T]:
        """What makes a spec string, a preset's too."""
        return self.factory(self._resolved(spec)[0])

    def taken(self, spec: str, values: dict[str, Any]) -> dict[str, Any]:
        """Those of `values` that are options of the spec's factory."""
        options = options_of(self.factory_of(spec))
        return {key: value for key, value in values.items() if key in options}

    def create_for(self, spec: str, **given: Any) -> T:
        """Create with those of `given` that the spec's factory takes.

        Raises:
            InputError: the text sets one of them: they follow from the data and the network.
        """
        name, texts = self._resolved(spec)
        options = options_of(self.factory(name))
        for key in texts:
            option = key or next(iter(options), "")
            if option in options and option in given:
                raise InputError(f"{spec!r}: {option} follows from the data and the network; leave it out")
            if option and option not in options:
                raise InputError(self._unknown(name, option, {k: p for k, p in options.items() if k not in given}))
        return self.create(spec, **self.taken(spec, given))

    def create_each(self, specs: Sequence[str], where: str, **given: Any) -> dict[str, T]:
        """Several parts by their names, without what follows an @.

        Raises:
            InputError: a spec cannot be made or sets what is given, or two have one name; `where` they stand.
        """
        made: dict[str, T] = {}
        for spec in specs:
            name = parse_spec(spec)[0].partition("@")[0]
            if name in made:
                raise InputError(f"{where}: {name} is given twice; name each {self.kind} once")
            made[name] = self.create_for(spec, **given)
        return made

    def _resolved(self, spec: str) -> tuple[str, dict[str, str]]:
        """The factory's name and the options' texts; a preset's options give way to those that are written."""
        name, texts = parse_spec(spec)
        self._load()
        if name in self._presets:
            name, preset = parse_spec(self._presets[name])
            texts = {**preset, **texts}
        return name, texts

    def _convert(self, name: str, key: str, text: str, options: dict[str, inspect.Parameter]) -> Any:
        if key not in options:
            raise InputError(self._unknown(name, key, options))
        wanted = options[key].annotation
        if text.lower() == "none" and type(None) in typing.get_args(wanted):
            return None
        adapter = TypeAdapter(wanted)
        try:
            if text[:1] in "[({":
                return adapter.validate_json(TUPLE.sub(lambda found: SQUARE.get(found[0], found[0]), text))
            return adapter.validate_python(text)
        except ValidationError as error:
            first = error.errors()[0]
            why = LIST_WANTED if first["type"] in ("json_invalid", "list_type", "tuple_type") else first["msg"]
            raise InputError(f"{self.kind} {name!r}: option {key}={text!r}: {why}") from None

    def _unknown(self, name: str, key: str, options: dict[str, inspect.Parameter]) -> str:
        known = ", ".join(sorted(options)) or "none"
        return f"{self.kind} {name!r} has no option {key!r}{_meant(key, list(options))}; its options: {known}"


def _meant(word: str, known: list[str]) -> str:
    """What a misspelt word is most like, before the list of what is known, which may be long."""
    close = difflib.get_close_matches(word, known, 1)
    return f" (did you mean {close[0]}?)" if close else ""


BACKBONES: Registry[Any] = Registry("backbone", "facezoo.backbones")
NETWORKS: Registry[Any] = Registry("network", "facezoo.networks")
HEADS: Registry[Any] = Registry("head", "facezoo.heads")
LOSSES: Registry[Any] = Registry("loss", "facezoo.heads")
EMBEDDING_LOSSES: Registry[Any] = Registry("embedding loss", "facezoo.heads")
DISTILLATION_LOSSES: Registry[Any] = Registry("distillation loss", "facezoo.distillation")
MODES: Registry[Any] = Registry("mode", "facezoo.modes")
DATASETS: Registry[Any] = Registry("dataset", "facezoo.data")
WRITERS: Registry[Any] = Registry("format", "facezoo.data")
SAMPLERS: Registry[Any] = Registry("sampler", "facezoo.data")
TRANSFORMS: Registry[Any] = Registry("transform", "facezoo.data")
BENCHMARKS: Registry[Any] = Registry("benchmark", "facezoo.evaluation")
DETECTORS: Registry[Any] = Registry("detector", "facezoo.sdk")
LANDMARKS: Registry[Any] = Registry("landmark model", "facezoo.sdk")
WEARABLES: Registry[Any] = Registry("wearable", "facezoo.mask.wearables")
EMBEDDERS: Registry[Any] = Registry("embedder", "facezoo.sdk")
