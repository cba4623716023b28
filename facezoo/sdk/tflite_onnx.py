"""TensorFlow Lite graphs rewritten as ONNX, channels first; float32 networks of convolutions."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from facezoo.sdk.onnx_writer import OnnxGraph, Shape
from facezoo.sdk.tflite_file import Graph, Operator, read_tflite
from facezoo.types import FloatArray, InputError

SAME, VALID = 0, 1
"""Paddings of the schema: as many outputs as strides fit into the input, or none beyond the image."""


def write_onnx(source: Path, target: Path, name: str) -> None:
    """Rewrite a file: input images (B, C, H, W), every output (B, channels, rows, columns), named as in the source.

    Raises:
        InputError: damaged, or built of something we do not know.
    """
    graph = read_tflite(source.read_bytes(), str(source))
    made = _Conversion(graph, str(source))
    for operator in graph.operators:
        made.add(operator)
    shapes = [{made.name(i): made.shape(i) for i in ends} for ends in (graph.inputs, graph.outputs)]
    made.onnx.write(target, name, shapes[0], shapes[1], {})


@dataclass
class _Conversion:
    graph: Graph
    source: str
    onnx: OnnxGraph = field(default_factory=OnnxGraph)
    names: dict[int, str] = field(default_factory=dict)
    """Of the computed tensors, once they are."""

    def name(self, index: int) -> str:
        if index in self.graph.inputs:
            return self.graph.tensors[index].name
        if index not in self.names:
            raise InputError(f"{self.source}: tensor {index} is read before it is computed")
        return self.names[index]

    def shape(self, index: int) -> Shape:
        """Channels, height, width of a tensor (1, height, width, channels)."""
        shape = self.graph.tensors[index].shape
        if len(shape) != 4 or shape[0] != 1 or min(shape) < 1:
            raise InputError(f"{self.source}: tensor {index} has shape {shape}; (1, rows, columns, channels) is known")
        return shape[3], shape[1], shape[2]

    def add(self, operator: Operator) -> None:
        kinds = {
            "ADD": self._add, "CONV_2D": self._convolution, "DEPTHWISE_CONV_2D": self._depthwise,
            "MAX_POOL_2D": self._max_pool, "PAD": self._pad, "PRELU": self._prelu,
        }  # fmt: skip
        if len(operator.outputs) != 1 or not operator.inputs:
            raise InputError(f"{self.source}: {operator.kind} has {len(operator.outputs)} outputs, one is known")
        self.names[operator.outputs[0]] = kinds[operator.kind](operator)

    def _constant(self, operator: Operator, place: int, rank: int) -> FloatArray:
        """The values of an input that is stored in the file."""
        index = operator.inputs[place] if place < len(operator.inputs) else -1
        values = self.graph.tensors[index].values if index >= 0 else None
        if values is None or values.ndim != rank:
            raise InputError(f"{self.source}: {operator.kind} lacks its input {place} of {rank} dimensions")
        return values

    def _stored(self, array: FloatArray) -> str:
        return self.onnx.array(f"array_{len(self.onnx.arrays)}", array)

    def _plain(self, operator: Operator, activation: int) -> None:
        if operator.option(activation, code="b") != 0:
            raise InputError(f"{self.source}: {operator.kind} with a fused activation is not known")

    def _add(self, operator: Operator) -> str:
        self._plain(operator, 0)
        return self.onnx.node("Add", [self.name(i) for i in operator.inputs])

    def _prelu(self, operator: Operator) -> str:
        slope = self._constant(operator, 1, 3).transpose(2, 0, 1)
        # onnxruntime's PRelu asks the sign of each value: this takes less than half the time for the whole network.
        x = self.name(operator.inputs[0])
        sloped = self.onnx.node("Mul", [x, self._stored(slope)])
        above = self.onnx.node("Mul", [self.onnx.node("Relu", [x]), self._stored(1 - slope)])
        return self.onnx.node("Add", [sloped, above])

    def _pad(self, operator: Operator) -> str:
        ends = self._constant(operator, 1, 2)
        if ends.shape != (4, 2) or ends.min() < 0:
            raise InputError(f"{self.source}: PAD by {ends.tolist()}; four pairs of sizes are known")
        pads = self._stored(ends[[0, 3, 1, 2]].T.ravel().astype(np.int64))
        return self.onnx.node("Pad", [self.name(operator.inputs[0]), pads])

    def _max_pool(self, operator: Operator) -> str:
        self._plain(operator, 5)
        kernel, stride = [operator.option(4), operator.option(3)], [operator.option(2), operator.option(1)]
        pads = self._pads(operator, kernel, stride)
        if any(
            pads
        ):  # ONNX would count the padding as the smallest number, as TensorFlow does, but nobody asked for it
            raise InputError(f"{self.source}: MAX_POOL_2D beyond the image is not known")
        return self.onnx.node("MaxPool", [self.name(operator.inputs[0])], kernel_shape=kernel, strides=stride)

    def _convolution(self, operator: Operator) -> str:
        self._plain(operator, 3)
        self._undilated(operator, 4)
        filters = self._constant(operator, 1, 4).transpose(0, 3, 1, 2)
        return self._convolve(operator, filters, 1)

    def _depthwise(self, operator: Operator) -> str:
        self._plain(operator, 4)
        self._undilated(operator, 5)
        filters = self._constant(operator, 1, 4).transpose(3, 0, 1, 2)
        return self._convolve(operator, filters, self.shape(operator.inputs[0])[0])

    def _undilated(self, operator: Operator, first: int) -> None:
        if (operator.option(first, 1), operator.option(first + 1, 1)) != (1, 1):
            raise InputError(f"{self.source}: {operator.kind} with holes in its filters is not known")

    def _convolve(self, operator: Operator, filters: FloatArray, groups: int) -> str:
        channels = self.shape(operator.inputs[0])[0]
        bias = self._constant(operator, 2, 1)
        if filters.shape[1] * groups != channels or len(bias) != len(filters):
            raise InputError(f"{self.source}: {operator.kind} of filters {filters.shape} on {channels} channels")
        kernel, stride = list(filters.shape[2:]), [operator.option(2), operator.option(1)]
        return self.onnx.node(
            "Conv",
            [self.name(operator.inputs[0]), self._stored(filters), self._stored(bias)],
            kernel_shape=kernel,
            strides=stride,
            pads=self._pads(operator, kernel, stride),
            group=groups,
        )

    def _pads(self, operator: Operator, kernel: list[int], stride: list[int]) -> list[int]:
        """Top, left, bottom, right; what is odd goes to the bottom and the right."""
        if min(kernel) < 1 or min(stride) < 1:
            raise InputError(f"{self.source}: {operator.kind} of kernel {kernel} and stride {stride}")
        if operator.option(0, code="b") == VALID:
            return [0, 0, 0, 0]
        sides = self.shape(operator.inputs[0])[1:]
        total = [max((-(-side // s) - 1) * s + k - side, 0) for side, k, s in zip(sides, kernel, stride, strict=True)]
        first = [t // 2 for t in total]
        return [*first, *(t - f for t, f in zip(total, first, strict=True))]
