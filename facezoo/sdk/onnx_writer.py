"""ONNX files written node by node, for networks that come in formats of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from facezoo.types import FloatArray

OPSET = 13

Shape: TypeAlias = tuple[int, ...]
"""Of one image's values: channels, height, width."""


class OnnxGraph:
    """Nodes in order, each with one output, and the arrays they read."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.arrays: dict[str, FloatArray] = {}

    def node(self, kind: str, inputs: list[str], **attributes: Any) -> str:
        """Append a node; the name of its output."""
        from onnx import helper

        output = f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def array(self, name: str, array: FloatArray) -> str:
        self.arrays[name] = np.ascontiguousarray(array)
        return name

    def write(
        self, path: Path, name: str, inputs: dict[str, Shape], outputs: dict[str, Shape], properties: dict[str, str]
    ) -> None:
        """Write the file, checked; shapes are those of one image, the batch is free.

        Args:
            properties: texts that are kept inside the file, such as the contract.
        """
        import onnx
        from onnx import TensorProto, helper, numpy_helper

        def values(shapes: dict[str, Shape]) -> list[Any]:
            batched: dict[str, list[str | int | None]] = {key: ["batch", *shape] for key, shape in shapes.items()}
            return [helper.make_tensor_value_info(key, TensorProto.FLOAT, shape) for key, shape in batched.items()]

        arrays = [numpy_helper.from_array(array, key) for key, array in self.arrays.items()]
        made = helper.make_graph(self.nodes, name, values(inputs), values(outputs), arrays)
        model = helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="facezoo")
        model.ir_version = 8  # read by every onnxruntime we support
        helper.set_model_props(model, properties)
        onnx.checker.check_model(model, full_check=True)
        onnx.save(model, str(path))
