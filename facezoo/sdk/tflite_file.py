"""TensorFlow Lite files: tensors and operators of the one graph, without TensorFlow.

Field numbers are those of the public schema, https://github.com/tensorflow/tensorflow/blob/master/tensorflow/compiler/mlir/lite/schema/schema.fbs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from facezoo.sdk.flatbuffer import Table
from facezoo.types import FloatArray, InputError

IDENTIFIER = b"TFL3"

OPERATORS = {0: "ADD", 3: "CONV_2D", 4: "DEPTHWISE_CONV_2D", 17: "MAX_POOL_2D", 34: "PAD", 54: "PRELU"}
"""The operators we know, by their number in the schema."""

TYPES = {0: "<f4", 2: "<i4"}
"""numpy's names of the element types we know."""

LARGEST_SIDE = 1 << 24


@dataclass(frozen=True, eq=False)
class Tensor:
    """A value of the graph; `values` is None where it is computed."""

    name: str
    shape: tuple[int, ...]
    values: FloatArray | None


@dataclass(frozen=True, eq=False)
class Operator:
    """One step: inputs and outputs are indices of tensors, -1 an input that is left out."""

    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Table | None

    def option(self, field: int, default: int = 0, code: str = "i") -> int:
        return default if self.options is None else self.options.number(field, default, code)


@dataclass(frozen=True, eq=False)
class Graph:
    """What a file holds; operators stand in the order in which they run."""

    tensors: list[Tensor]
    operators: list[Operator]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def read_tflite(data: bytes, name: str = "tflite file") -> Graph:
    """Read a file with one graph.

    Raises:
        InputError: damaged, several graphs, or an operator or element type that is not known.
    """
    model = Table.root(data, IDENTIFIER, name)
    graphs = model.tables(2)
    if len(graphs) != 1:
        raise InputError(f"{name}: {len(graphs)} graphs, one is expected")
    graph, buffers = graphs[0], model.tables(4)
    tensors = [_tensor(table, buffers, name) for table in graph.tables(0)]
    codes = [_operator_name(table, name) for table in model.tables(1)]
    operators = []
    for table in graph.tables(3):
        code = table.number(0, code="I")
        if code >= len(codes):
            raise InputError(f"{name}: an operator of kind {code}, the file has {len(codes)} kinds")
        operators.append(Operator(codes[code], tuple(table.numbers(1)), tuple(table.numbers(2)), table.table(4)))
    found = Graph(tensors, operators, tuple(graph.numbers(1)), tuple(graph.numbers(2)))
    used = [*found.inputs, *found.outputs, *(i for o in operators for i in (*o.inputs, *o.outputs))]
    if used and not (min(used) >= -1 and max(used) < len(tensors)):
        raise InputError(f"{name}: an operator names a tensor that is not among the {len(tensors)}")
    return found


def _operator_name(table: Table, name: str) -> str:
    # The first field was a byte; kinds above 127 stand in the fourth.
    number = max(table.number(0, code="b"), table.number(3))
    if number not in OPERATORS:
        raise InputError(f"{name}: operator {number} is not known; known: {', '.join(OPERATORS.values())}")
    return OPERATORS[number]


def _tensor(table: Table, buffers: list[Table], name: str) -> Tensor:
    shape, label = tuple(table.numbers(0)), table.text(3)
    if any(not 0 <= side <= LARGEST_SIDE for side in shape):
        raise InputError(f"{name}: tensor {label!r} has shape {shape}")
    number = table.number(2, code="I")
    if number >= len(buffers):
        raise InputError(f"{name}: tensor {label!r} lies in buffer {number}, the file has {len(buffers)}")
    data = buffers[number].data_of(0)
    if not data:
        return Tensor(label, shape, None)
    kind = table.number(1, code="b")
    if kind not in TYPES:
        raise InputError(f"{name}: tensor {label!r} has elements of type {kind}; float32 and int32 are known")
    values = np.dtype(TYPES[kind])
    if len(data) != math.prod(shape) * values.itemsize:
        raise InputError(f"{name}: tensor {label!r} of shape {shape} has {len(data):,} bytes")
    return Tensor(label, shape, np.frombuffer(data, values).reshape(shape))
