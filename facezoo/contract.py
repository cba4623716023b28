"""How a contract lies inside a model file, and how it is known to describe these weights."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from facezoo.files import read_toml, whole_file
from facezoo.types import Contract, InputError

CONTRACT_KEY = "facezoo.contract"
"""Metadata key of the contract, in ONNX files and in safetensors headers."""


def read_contract(path: Path) -> Contract:
    """A contract from a TOML file of its keys; for models that carry none."""
    return Contract.from_dict(read_toml(path))


MAX_HEADER = 100_000_000
"""Longer safetensors headers are refused, as by the library."""


def write_contract(model: Path, out: Path, contract: Contract) -> None:
    """Write a copy of a model file, .onnx or .safetensors, that states another contract; the weights stay.

    The digest of an ONNX file's weights is put in; that of a safetensors file stays as its own contract has it.

    Raises:
        InputError: neither of the two formats, no model, or a copy onto itself.
    """
    model, out = Path(model), Path(out)
    if out.suffix != model.suffix:
        raise InputError(f"{out}: a copy of {model.name} ends with {model.suffix or 'nothing'}, as the model does")
    if out.exists() and out.samefile(model):
        raise InputError(f"{out}: is the model itself; name another file for the copy")
    if model.suffix == ".onnx":
        _write_onnx(model, out, contract)
    elif model.suffix == ".safetensors":
        _write_safetensors(model, out, contract)
    else:
        raise InputError(f"{model}: a contract can be written into .onnx and .safetensors files only")


def _write_onnx(model: Path, out: Path, contract: Contract) -> None:
    import onnx

    file = onnx.load(str(model))
    entries = {entry.key: entry.value for entry in file.metadata_props}
    entries[CONTRACT_KEY] = replace(contract, weights_sha256=onnx_digest(model)).to_json()
    onnx.helper.set_model_props(file, entries)
    with whole_file(out) as temporary:
        onnx.save(file, str(temporary))


def _write_safetensors(model: Path, out: Path, contract: Contract) -> None:
    """The header is a length in 8 bytes, little endian, and that much JSON; the tensors behind it are copied."""
    with model.open("rb") as source:
        length = int.from_bytes(source.read(8), "little")
        if length > MAX_HEADER:
            raise InputError(f"{model}: not a safetensors file: its header would have {length:,} bytes")
        try:
            header = json.loads(source.read(length))
            words = header["__metadata__"]
            stored = Contract.from_json(words[CONTRACT_KEY])
        except (ValueError, KeyError, TypeError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{model}: not a safetensors file with a facezoo contract") from None
        words[CONTRACT_KEY] = replace(contract, weights_sha256=stored.weights_sha256).to_json()
        text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
        text = text.ljust(-(-len(text) // 8) * 8)
        with whole_file(out) as temporary, temporary.open("wb") as target:
            target.write(len(text).to_bytes(8, "little") + text)
            shutil.copyfileobj(source, target)


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
