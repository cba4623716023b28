"""ONNX files of other projects: their weights by name, or the file itself with a contract added."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.numpy_helper
import torch
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnxruntime.capi import onnxruntime_pybind11_state as errors

from facezoo.contract import CONTRACT_KEY, onnx_digest
from facezoo.embedder import open_onnx
from facezoo.files import whole_file
from facezoo.imports.source import Source, check_file
from facezoo.imports.torch_file import Stored
from facezoo.types import Contract, InputError

FIRST_NODES = 8
"""Among so many first nodes a Sub and a Mul mean that the graph normalises by itself, as files made from mxnet do."""


def read_onnx(path: Path) -> tuple[Source, Any]:
    """The initialisers of a file by name, and the model.

    Raises:
        InputError: not ONNX, weights beside the file, or a contract of facezoo inside already.
    """
    check_file(path)
    try:
        model = onnx.load(str(path), load_external_data=False)
    except DecodeError as error:
        raise InputError(f"{path}: not a readable ONNX file ({error})") from None
    if any(entry.key == CONTRACT_KEY for entry in model.metadata_props):
        raise InputError(f"{path}: has a contract of facezoo already; use it as it is")
    external = [t.name for t in model.graph.initializer if t.data_location == onnx.TensorProto.EXTERNAL]
    if external:
        raise InputError(f"{path}: {len(external)} tensors lie in other files; save the model as one file first")
    floats = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE)
    tensors = {t.name: _stored(t) for t in model.graph.initializer if t.data_type in floats}
    return Source(path, tensors, ()), model


def _stored(tensor: Any) -> Stored:
    return Stored(tuple(tensor.dims), lambda: torch.from_numpy(onnx.numpy_helper.to_array(tensor).copy()))


def normalises_itself(model: Any) -> bool:
    kinds = [node.op_type for node in model.graph.node[:FIRST_NODES]]
    return "Sub" in kinds and "Mul" in kinds


def image_size(model: Any, path: Path, given: Sequence[int] | None) -> tuple[int, int]:
    """Height and width of the one image input; `given` if the graph leaves them open.

    Raises:
        InputError: there is no image input, or its size is open and none is given, or another one is.
    """
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    if len(inputs) != 1 or len(inputs[0].type.tensor_type.shape.dim) != 4:
        raise InputError(f"{path}: an embedding model has one image input (B, 3, H, W), this one has not")
    channels, *sides = (dim.dim_value for dim in inputs[0].type.tensor_type.shape.dim[1:])
    if channels not in (0, 3):
        raise InputError(f"{path}: its input has {channels} channels, three in NCHW order are needed")
    size = (given[0], given[1]) if given else None
    stated = (sides[0], sides[1]) if min(sides) > 0 else None
    if stated and size and stated != size:
        raise InputError(f"{path}: its input is {stated[0]} x {stated[1]} pixels, leave --size out")
    if found := stated or size:
        return found
    raise InputError(f"{path}: its input has no fixed size; give --size HEIGHT WIDTH")


def keep_onnx(model: Any, path: Path, out: Path, contract: Contract) -> Contract:
    """Write the file again with a contract inside; its dimension is measured.

    Raises:
        InputError: the network does not give one row of numbers a crop.
    """
    with whole_file(out) as temporary:
        onnx.save(model, str(temporary))
        session = open_onnx(temporary, threads=1)
        (entry, *_) = session.get_inputs()
        count = entry.shape[0] if isinstance(entry.shape[0], int) else 1
        try:
            given = session.run(None, {entry.name: np.zeros((count, 3, *contract.input_size), np.float32)})[0]
        except errors.RuntimeException as error:
            raise InputError(f"{path}: cannot be run on a crop: {str(error).splitlines()[0]}") from None
        # Some exporters drop the batch's axis of a single crop.
        if given.size % count or given.ndim > 2 or given.size == count:
            raise InputError(f"{path}: gives {given.shape} for {count} crops, not an embedding (B, D) for each")
        dimension = given.size // count
        contract = replace(contract, embedding_dim=dimension, weights_sha256=onnx_digest(temporary))
        onnx.helper.set_model_props(model, {**_metadata(model), CONTRACT_KEY: contract.to_json()})
        onnx.save(model, str(temporary))
    return contract


def _metadata(model: Any) -> dict[str, str]:
    return {entry.key: entry.value for entry in model.metadata_props}
