"""Pickles read without running them: every class and function a file names becomes a record of its name.

The machine knows the opcodes that build numbers, texts and containers (a set becomes a list). Calls are recorded,
not made: a file that asks for `os.system` gives a `Made` that says so. Only `collections.OrderedDict` is understood,
as a dict.
"""

from __future__ import annotations

import os
import pickletools
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from facezoo.types import InputError

MAX_OPCODES = 20_000_000
"""A pickle with more is refused; a state dict of 20,000 tensors has half a million."""

ORDERED = ("collections.OrderedDict", "collections.defaultdict", "builtins.dict", "__builtin__.dict")


@dataclass(frozen=True)
class Name:
    """A class or function that the file names; it is never imported."""

    path: str


@dataclass(eq=False)
class Made:
    """What a call that the file asks for would have made: `name(*args)`, then the state it would have been given."""

    name: str
    args: tuple[Any, ...] = ()
    state: Any = None
    items: list[Any] = field(default_factory=list)


@dataclass(frozen=True)
class Persistent:
    """A reference to something outside the pickle, such as a storage of a torch file."""

    value: Any


class _Mark:
    pass


class _Bounded:
    """A file that makes no room for more bytes than it has, whatever length a damaged pickle states."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self.readline, self.tell = file, file.readline, file.tell
        place = file.tell()
        self._size = file.seek(0, os.SEEK_END)
        file.seek(place)

    def read(self, size: int) -> bytes:
        return self._file.read(min(size, self._size - self._file.tell()))


def read_pickle(file: BinaryIO, name: str) -> Any:
    """The object of the next pickle in an open file.

    Args:
        name: of the file, for messages.

    Raises:
        InputError: not a pickle, damaged, or larger than `MAX_OPCODES`.
    """
    machine = _Machine()
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(_Bounded(file))):  # type: ignore[arg-type]
            if count >= MAX_OPCODES:
                raise InputError(f"{name}: more than {MAX_OPCODES:,} steps to read it, no checkpoint needs so many")
            if opcode.name == "STOP":
                return machine.stack.pop()
            step = STEPS.get(opcode.name)
            if step is not None:
                step(machine, argument)
            elif opcode.name in LITERALS:
                machine.stack.append(argument)
            else:
                raise InputError(f"{name}: a pickle with the opcode {opcode.name}, which no checkpoint needs")
    # A damaged file fails in the opcode reader or in the machine's stack, by any of these.
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{name}: not a readable pickle ({error})") from None
    raise InputError(f"{name}: the pickle ends early")


LITERALS = frozenset(
    {
        *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
        *("STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
        *("UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"),
    }
)


class _Machine:
    """The stack and the memo of a pickle that is being read."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def pop_to_mark(self) -> list[Any]:
        start = len(self.stack) - 1
        while not isinstance(self.stack[start], _Mark):
            start -= 1
            if start < 0:
                raise ValueError("no mark on the stack")
        items = self.stack[start + 1 :]
        del self.stack[start:]
        return items

    def put(self, number: int) -> None:
        self.memo[number] = self.stack[-1]

    def append(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, list):
            target.extend(items)
        elif isinstance(target, Made):
            target.items.extend(items)
        else:
            raise TypeError(f"items for a {type(target).__name__}")

    def set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        pairs = list(zip(items[::2], items[1::2], strict=True))
        if isinstance(target, dict):
            target.update((_key(key), value) for key, value in pairs)
        elif isinstance(target, Made):
            target.items.extend(pairs)
        else:
            raise TypeError(f"keys for a {type(target).__name__}")

    def call(self, function: Any, arguments: Any) -> None:
        if isinstance(function, Name) and function.path in ORDERED:
            # The pairs of an ordered dict may come as its one argument.
            pairs = arguments[0] if arguments and isinstance(arguments[0], list) else []
            self.stack.append({_key(key): value for key, value in pairs})
            return
        called = function.path if isinstance(function, Name) else f"a {type(function).__name__}"
        self.stack.append(Made(called, tuple(arguments)))

    def build(self, state: Any) -> None:
        target = self.stack[-1]
        if isinstance(target, Made):
            target.state = state  # what a dict is given, such as a state dict's `_metadata`, nobody reads


def _key(key: Any) -> Hashable:
    """Keys other than numbers and texts could hide work behind their hash: their type's name stands for them."""
    return key if isinstance(key, str | int | float | bytes | None) else type(key).__name__


def _constant(make: Callable[[], Any]) -> Callable[[_Machine, Any], None]:
    return lambda machine, _: machine.stack.append(make())


def _tuple(count: int) -> Callable[[_Machine, Any], None]:
    def step(machine: _Machine, _: Any) -> None:
        if len(machine.stack) < count:
            raise ValueError("the stack is empty")
        items = tuple(machine.stack[-count:])
        del machine.stack[-count:]
        machine.stack.append(items)

    return step


def _global(machine: _Machine, argument: str) -> None:
    machine.stack.append(Name(argument.replace(" ", ".")))


def _stack_global(machine: _Machine, _: Any) -> None:
    name, module = machine.stack.pop(), machine.stack.pop()
    machine.stack.append(Name(f"{module}.{name}"))


def _reduce(machine: _Machine, _: Any) -> None:
    arguments, function = machine.stack.pop(), machine.stack.pop()
    machine.call(function, arguments)


def _new_with_options(machine: _Machine, _: Any) -> None:
    machine.stack.pop()
    _reduce(machine, None)


def _instance(machine: _Machine, argument: str) -> None:
    machine.call(Name(argument.replace(" ", ".")), machine.pop_to_mark())


def _object(machine: _Machine, _: Any) -> None:
    function, *arguments = machine.pop_to_mark()
    machine.call(function, arguments)


def _pop(machine: _Machine, _: Any) -> None:
    machine.stack.pop()


def _pop_mark(machine: _Machine, _: Any) -> None:
    machine.pop_to_mark()


def _duplicate(machine: _Machine, _: Any) -> None:
    machine.stack.append(machine.stack[-1])


def _dict(machine: _Machine, _: Any) -> None:
    items = machine.pop_to_mark()
    machine.stack.append({})
    machine.set_items(items)


STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    "PROTO": lambda machine, _: None,
    "FRAME": lambda machine, _: None,
    "MARK": _constant(_Mark),
    "NONE": _constant(lambda: None),
    "NEWTRUE": _constant(lambda: True),
    "NEWFALSE": _constant(lambda: False),
    "EMPTY_LIST": _constant(list),
    "EMPTY_DICT": _constant(dict),
    "EMPTY_SET": _constant(list),
    "EMPTY_TUPLE": _constant(tuple),
    "LIST": lambda machine, _: machine.stack.append(machine.pop_to_mark()),
    "TUPLE": lambda machine, _: machine.stack.append(tuple(machine.pop_to_mark())),
    "FROZENSET": lambda machine, _: machine.stack.append(machine.pop_to_mark()),
    "DICT": _dict,
    "TUPLE1": _tuple(1),
    "TUPLE2": _tuple(2),
    "TUPLE3": _tuple(3),
    "APPEND": lambda machine, _: machine.append([machine.stack.pop()]),
    "APPENDS": lambda machine, _: machine.append(machine.pop_to_mark()),
    "ADDITEMS": lambda machine, _: machine.append(machine.pop_to_mark()),
    "SETITEM": lambda machine, _: machine.set_items([machine.stack.pop(-2), machine.stack.pop()]),
    "SETITEMS": lambda machine, _: machine.set_items(machine.pop_to_mark()),
    "POP": _pop,
    "POP_MARK": _pop_mark,
    "DUP": _duplicate,
    "PUT": lambda machine, number: machine.put(number),
    "BINPUT": lambda machine, number: machine.put(number),
    "LONG_BINPUT": lambda machine, number: machine.put(number),
    "MEMOIZE": lambda machine, _: machine.put(len(machine.memo)),
    "GET": lambda machine, number: machine.stack.append(machine.memo[number]),
    "BINGET": lambda machine, number: machine.stack.append(machine.memo[number]),
    "LONG_BINGET": lambda machine, number: machine.stack.append(machine.memo[number]),
    "GLOBAL": _global,
    "STACK_GLOBAL": _stack_global,
    "REDUCE": _reduce,
    "NEWOBJ": _reduce,
    "NEWOBJ_EX": _new_with_options,
    "INST": _instance,
    "OBJ": _object,
    "BUILD": lambda machine, _: machine.build(machine.stack.pop()),
    "BINPERSID": lambda machine, _: machine.stack.append(Persistent(machine.stack.pop())),
    "PERSID": lambda machine, value: machine.stack.append(Persistent(value)),
}
