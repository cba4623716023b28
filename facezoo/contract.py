"""How a contract lies inside a model file, and how it is known to describe these weights."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from facezoo.files import read_toml
from facezoo.types import Contract, InputError

CONTRACT_KEY = "facezoo.contract"
"""Metadata key of the contract, in ONNX files and in safetensors headers."""


def read_contract(path: Path) -> Contract:
    """A contract from a TOML file of its keys; for models that carry none."""
    return Contract.from_dict(read_toml(path))


def onnx_digest(path: Path) -> str:
    """`tensor_digest` of an ONNX file's initialisers: what a contract's `weights_sha256` describes."""
    import onnx
    import onnx.numpy_helper

    graph = onnx.load(str(path)).graph
    return tensor_digest({tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer})


def tensor_digest(tensors: dict[str, Any]) -> str:
    """SHA-256 over named arrays: names, shapes, types and bytes, in the order of the names."""
    digest = sha256()
    for name in sorted(tensors):
        array = np.ascontiguousarray(tensors[name])
        digest.update(json.dumps([name, list(array.shape), str(array.dtype)]).encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def check_digest(path: Path, contract: Contract, found: str) -> None:
    if found != contract.weights_sha256:
        raise InputError(f"{path}: the weights are not those its contract describes (digest {found[:12]}...)")
