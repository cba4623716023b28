"""Model files: one safetensors file whose header rebuilds the network and states its contract."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from facezoo.contract import CONTRACT_KEY, check_digest, tensor_digest
from facezoo.files import whole_file
from facezoo.registry import BACKBONES, NETWORKS, without_option
from facezoo.types import Contract, InputError

BACKBONE_KEY = "facezoo.backbone"
"""Metadata key of the backbone's spec string."""

NETWORK_KEY = "facezoo.network"
"""Metadata key of the spec string of a network that gives no embeddings."""


def save_model(path: Path, model: nn.Module, backbone: str, contract: Contract) -> Contract:
    """Write weights, the spec string that rebuilds the network, and the contract; return it with its digest."""
    tensors = _tensors(model)
    contract = replace(contract, weights_sha256=state_digest(tensors))
    save_tensors(path, tensors, {BACKBONE_KEY: backbone, CONTRACT_KEY: contract.to_json()})
    return contract


def save_network(path: Path, network: nn.Module, spec: str) -> None:
    """Write the weights of one of `facezoo.networks` and the spec string that rebuilds it."""
    save_tensors(path, _tensors(network), {NETWORK_KEY: spec})


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}


def save_tensors(path: Path, tensors: dict[str, Tensor], header: dict[str, str]) -> None:
    """Write a safetensors file with metadata in the order of their keys.

    Raises:
        OSError: it cannot be written.
    """
    with whole_file(path) as temporary:
        mode = temporary.stat().st_mode
        try:
            safetensors.torch.save_file(tensors, temporary, metadata=header)
        except safetensors.SafetensorError as error:
            number = re.search(r"\(os error (\d+)\)", str(error))
            if number is None:
                raise
            raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from None
        temporary.chmod(mode)  # the library lets only the owner read it
        _order_metadata(temporary)


def _order_metadata(path: Path) -> None:
    """Put a file's metadata in order of the keys, which the library leaves to chance: runs that end alike end with
    the same bytes. The header's length stays."""
    with path.open("r+b") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        file.seek(8)
        file.write(json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode().ljust(length))


def read_header(path: Path) -> tuple[str, Contract]:
    """The backbone's spec string and the contract of a model file."""
    header = read_metadata(path)
    if NETWORK_KEY in header:
        raise InputError(f"{path}: holds {header[NETWORK_KEY]}, which gives no embeddings")
    if BACKBONE_KEY not in header or CONTRACT_KEY not in header:
        raise InputError(f"{path}: not written by facezoo: the header names no backbone and contract")
    return header[BACKBONE_KEY], Contract.from_json(header[CONTRACT_KEY])


def read_metadata(path: Path) -> dict[str, str]:
    """What the header of a safetensors file says beside names and shapes."""
    try:
        with safetensors.safe_open(path, framework="np") as file:
            return file.metadata() or {}
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except safetensors.SafetensorError as error:
        raise InputError(f"{path}: not a readable safetensors file ({error})") from None


def load_network(path: Path) -> nn.Module:
    """One of `facezoo.networks` from its file, in evaluation mode, on the CPU.

    Raises:
        InputError: missing, not safetensors, or another model's file.
    """
    spec = read_metadata(path).get(NETWORK_KEY)
    if spec is None:
        raise InputError(f"{path}: its header names no network; an embedding model is read with load_model")
    network = NETWORKS.create(spec)
    load_weights(network, safetensors.torch.load_file(path), str(path))
    return network.eval()


def load_model(path: Path) -> tuple[nn.Module, Contract]:
    """Rebuild the network of a model file or of a run folder's best model, in evaluation mode, on the CPU."""
    path = Path(path)
    if path.is_dir():
        path = path / "best.safetensors"
    backbone, contract = read_header(path)
    tensors = safetensors.torch.load_file(path)
    if contract.weights_sha256:
        check_digest(path, contract, state_digest(tensors))
    model = rebuild(backbone)
    load_weights(model, tensors, str(path))
    return model.eval(), contract


def rebuild(backbone: str) -> nn.Module:
    """The network of a spec string, to be filled with weights of a file: it downloads none (`timm:...,pretrained`)."""
    return BACKBONES.create(without_option(backbone, "pretrained"))


def load_weights(model: nn.Module, tensors: dict[str, Tensor], name: str) -> None:
    """Strict load; the first missing, unexpected or misshapen key is named."""
    own = model.state_dict()
    if missing := sorted(set(own) - set(tensors)):
        raise InputError(f"{name}: {len(missing)} tensors of the network are missing, the first is {missing[0]!r}")
    if extra := sorted(set(tensors) - set(own)):
        raise InputError(f"{name}: {len(extra)} tensors are not of this network, the first is {extra[0]!r}")
    for key, tensor in tensors.items():
        if tensor.shape != own[key].shape:
            raise InputError(f"{name}: {key!r} is {tuple(tensor.shape)}, the network has {tuple(own[key].shape)}")
    model.load_state_dict(tensors)


def state_digest(tensors: dict[str, Tensor]) -> str:
    """`tensor_digest` of torch tensors, bfloat16 included."""
    return tensor_digest({name: _array(tensor) for name, tensor in tensors.items()})


def _array(tensor: Tensor) -> np.ndarray:
    if tensor.dtype == torch.bfloat16:  # numpy has no bfloat16: its bytes stand for it
        return tensor.view(torch.int16).numpy()
    return tensor.numpy()
