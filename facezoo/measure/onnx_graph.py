"""What an ONNX file costs, counted from its graph; no torch needed."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from facezoo.types import InputError

Shape = tuple[int, ...]


class OnnxGraph:
    """The shapes that flow through an ONNX file for a batch of crops.

    Args:
        path: the file.
        size: height and width of a crop.
        batch: crops; a file with a fixed batch keeps its own.

    Raises:
        InputError: shapes cannot be inferred.
    """

    def __init__(self, path: Path, size: tuple[int, int], batch: int) -> None:
        import onnx
        import onnx.shape_inference

        model = onnx.load(str(path))
        self._graph = model.graph
        self._weights: dict[str, Any] = {tensor.name: tensor for tensor in model.graph.initializer}
        (entry,) = (value for value in model.graph.input if value.name not in self._weights)
        dims = entry.type.tensor_type.shape.dim
        for dim, value in zip(dims, (batch, 3, *size), strict=True):
            if not dim.dim_value:
                dim.dim_value = value
        for output in model.graph.output:
            output.type.tensor_type.ClearField("shape")
        del model.graph.value_info[:]
        try:
            inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
        except onnx.shape_inference.InferenceError as error:
            raise InputError(f"{path}: shapes cannot be inferred: {str(error).splitlines()[0]}") from None
        self._batch = dims[0].dim_value
        self._shapes: dict[str, Shape] = {name: tuple(tensor.dims) for name, tensor in self._weights.items()}
        for value in [*inferred.value_info, *inferred.input, *inferred.output]:
            self._shapes[value.name] = tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)

    @property
    def parameters(self) -> int:
        """Numbers in the initialisers of floating point; a folded BatchNorm is part of its convolution."""
        import onnx

        floats = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE)
        return sum(math.prod(t.dims) for t in self._weights.values() if t.data_type in floats)

    @property
    def weight_bytes(self) -> int:
        import onnx.helper

        return sum(
            math.prod(t.dims) * onnx.helper.tensor_dtype_to_np_dtype(t.data_type).itemsize
            for t in self._weights.values()
        )

    @property
    def macs(self) -> int | None:
        """Multiply-adds of convolutions and matrix products for one crop; None if a shape among them is unknown."""
        total = 0
        for node in self._graph.node:
            if node.op_type not in ("Conv", "Gemm", "MatMul"):
                continue
            shapes = [self._shapes.get(name, ()) for name in (*node.input[:2], node.output[0])]
            if not all(shapes) or 0 in (*shapes[0], *shapes[1], *shapes[2]):
                return None
            inner = math.prod(shapes[1][1:]) if node.op_type == "Conv" else shapes[0][-1]
            total += math.prod(shapes[2]) * inner
        return total // self._batch

    def peak_bytes(self) -> int:
        """Weights and the most that lives beside them if every output is dropped after its last use, as float32."""
        last = {name: place for place, node in enumerate(self._graph.node) for name in node.input}
        entry = {value.name for value in self._graph.input} - set(self._weights)
        living = {name: self._bytes(name) for name in entry}
        most = sum(living.values())
        for place, node in enumerate(self._graph.node):
            living.update((name, self._bytes(name)) for name in node.output)
            most = max(most, sum(living.values()))
            for name in [name for name in living if last.get(name, place) <= place]:
                del living[name]
        return self.weight_bytes + most

    def _bytes(self, name: str) -> int:
        return 4 * math.prod(self._shapes.get(name, (0,)) or (1,))
