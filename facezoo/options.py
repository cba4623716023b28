"""The options that a factory takes by name, and factories with the options of what changes their work."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import typing
from collections.abc import Callable
from typing import Any

from facezoo.types import InputError


def options_of(factory: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The options a factory takes by name.

    A variant such as `def iresnet50(**options) -> IResNet` takes those of the class it returns, a class with
    `**options` those of its base; what a class takes by position only (the numbers of the paper's table) is no option.
    """
    parameters = inspect.signature(factory).parameters
    # Those of a dataclass are looked up in the module of the class that has the field.
    by_init = inspect.isclass(factory) and not dataclasses.is_dataclass(factory)
    hints = typing.get_type_hints(factory.__init__ if by_init else factory)
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    options = {
        name: parameter.replace(annotation=hints.get(name, Any))
        for name, parameter in parameters.items()
        if parameter.kind in by_name
    }
    takes_more = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    more = factory.__mro__[1] if inspect.isclass(factory) else hints.get("return")
    if takes_more and inspect.isclass(more) and more is not object:
        options = {**options_of(more), **options}
    return options


def change_options(change: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The options that a change gives to every part."""
    options = options_of(change)
    del options[next(iter(options))]
    return options


def changed(name: str, factory: Callable[..., Any], change: Callable[..., Any]) -> Callable[..., Any]:
    """A factory with the options of a change."""
    own, more = options_of(factory), change_options(change)
    if both := own.keys() & more.keys():
        raise ValueError(f"{name}: its option {min(both)!r} is one that every part takes")
    called_for = next(iter(more))

    @functools.wraps(factory)
    def made(**options: Any) -> Any:
        how = {key: options.pop(key) for key in more if key in options}
        called = how.get(called_for) is not None
        if not called and (idle := [key for key in how if key != called_for]):
            raise InputError(f"{name}: {idle[0]} does nothing without {called_for}; add {called_for}=, or leave it out")
        return change(factory(**options), **how) if called else factory(**options)

    parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in (*own.values(), *more.values())]
    made.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    returned = factory if inspect.isclass(factory) else typing.get_type_hints(factory).get("return", Any)
    made.__annotations__ = {p.name: p.annotation for p in parameters} | {"return": returned}
    return made
