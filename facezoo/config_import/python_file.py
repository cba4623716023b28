"""Values in a Python config, read from its syntax: nothing in it is run."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from pathlib import Path
from typing import Any

from facezoo.files import unreadable
from facezoo.types import InputError

LARGEST = 1 << 20
"""Bytes of a config file."""

OPERATORS: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
}


class Unread(str):
    """The text of an expression that is not a value by itself, such as a call."""


def parse_python(path: Path) -> ast.Module:
    """The syntax of a file.

    Raises:
        InputError: missing, too large, or not Python.
    """
    text = read_small(path)
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = getattr(error, "lineno", None)
        raise InputError(f"{path}: not valid Python{f', line {line}' if line else ''}") from None


def read_small(path: Path) -> str:
    """The text of a config file.

    Raises:
        InputError: it cannot be read, is too large, or is not text.
    """
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
        if len(data) > LARGEST:
            raise InputError(f"{path}: larger than {LARGEST >> 20} MiB, which no config is")
        return data.decode("utf-8-sig")
    except OSError as error:
        raise unreadable(path, error) from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not a text file") from None


def attributes(tree: ast.Module, owner: str) -> dict[str, Any]:
    """What is assigned to `owner.NAME` at the top of a file, the last one winning."""
    found: dict[str, Any] = {}
    names: dict[str, Any] = {}
    for node in tree.body:
        if not isinstance(node, ast.Assign):
            continue
        for target in node.targets:
            if isinstance(target, ast.Name):
                names[target.id] = value_of(node.value, names)
            elif isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name) and target.value.id == owner:
                found[target.attr] = value_of(node.value, {**names, **{f"{owner}.{k}": v for k, v in found.items()}})
    return found


def assigned(tree: ast.Module, name: str) -> Any:
    """What is assigned to a name at the top of a file; None if nothing is."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == name for t in node.targets):
            return value_of(node.value, {})
    return None


def value_of(node: ast.expr, names: dict[str, Any]) -> Any:
    """Numbers, texts, lists, dicts and sums of them; `Unread` for all else."""
    try:
        return _value(node, names)
    except (_Unknown, TypeError, ValueError, ArithmeticError, RecursionError):
        return Unread(ast.unparse(node))


class _Unknown(Exception):
    pass


def _value(node: ast.expr, names: dict[str, Any]) -> Any:
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.List | ast.Tuple):
        return [_value(entry, names) for entry in node.elts]
    if isinstance(node, ast.Dict):
        pairs = zip(node.keys, node.values, strict=True)
        return {_value(key, names): value_of(value, names) for key, value in pairs if key is not None}
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict" and not node.args:
        return {word.arg: value_of(word.value, names) for word in node.keywords if word.arg}
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_number(node.operand, names)
    if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
        return OPERATORS[type(node.op)](_number(node.left, names), _number(node.right, names))
    name = ast.unparse(node) if isinstance(node, ast.Name | ast.Attribute) else ""
    if name in names and not isinstance(names[name], Unread):
        return names[name]
    raise _Unknown


def _number(node: ast.expr, names: dict[str, Any]) -> int | float:
    value = _value(node, names)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _Unknown
    return value
