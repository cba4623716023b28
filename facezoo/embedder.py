"""Crops in, embeddings out: the one joint between training, evaluation and SDK."""

from __future__ import annotations

import copy
import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facezoo.contract import CONTRACT_KEY, check_digest, onnx_digest
from facezoo.registry import EMBEDDERS, parse_spec
from facezoo.types import UNNAMED, Contract, Crop, FloatArray, InputError

if TYPE_CHECKING:
    from onnxruntime import InferenceSession
    from torch import nn
    from typing_extensions import Self


class Embedder(ABC):
    """Maps an iterable of crops to (N, D) float32, not normalised.

    It batches by itself and holds one batch of crops in memory. Crops are uint8 RGB of the contract's size;
    colour order, mean, std and the mirror image are the embedder's business.

    Args:
        contract: what the network expects.
        batch_size: crops per forward pass, before the mirror images.
    """

    def __init__(self, contract: Contract, batch_size: int = 32) -> None:
        if batch_size < 1:
            raise InputError(f"{contract.name}: batch_size is {batch_size}, it must be at least 1")
        self.contract, self.batch_size = contract, batch_size

    def under(self, **changes: Any) -> Self:
        """The same network with a contract that differs in these entries."""
        other = copy.copy(self)
        other.contract = replace(self.contract, **changes)
        return other

    @abstractmethod
    def forward(self, batch: FloatArray) -> FloatArray:
        """Embeddings (B, D) of a normalised float32 batch (B, 3, H, W) in the network's channel order."""

    def __call__(self, crops: Iterable[Crop]) -> FloatArray:
        """Embeddings (N, D) float32 of the crops, in order.

        Raises:
            InputError: a crop is not uint8 RGB of the contract's size, or the network gives another dimension.
        """
        batches: list[FloatArray] = []
        crops = iter(crops)
        while chunk := list(itertools.islice(crops, self.batch_size)):
            batches.append(self._embed(chunk))
        if not batches:
            return np.empty((0, self.contract.embedding_dim), np.float32)
        return np.concatenate(batches)

    def check(self, chunk: list[Crop]) -> None:
        """Refuse crops that are not uint8 RGB of the contract's size."""
        wanted = (*self.contract.input_size, 3)
        for crop in chunk:
            if crop.shape != wanted or crop.dtype != np.uint8:
                raise InputError(
                    f"{self.contract.name}: a crop is {crop.dtype} {crop.shape}, the model takes uint8 {wanted}"
                )

    def _embed(self, chunk: list[Crop]) -> FloatArray:
        self.check(chunk)
        batch = self._normalise(np.stack(chunk))
        embeddings = self.forward(batch)
        if self.contract.flip:
            embeddings = embeddings + self.forward(np.ascontiguousarray(batch[..., ::-1]))
        embeddings = np.asarray(embeddings, dtype=np.float32)
        if embeddings.shape != (len(chunk), self.contract.embedding_dim):
            raise InputError(
                f"{self.contract.name}: the network gives {embeddings.shape[-1]}-d embeddings, its contract says "
                f"embedding_dim = {self.contract.embedding_dim}"
            )
        return embeddings

    def _normalise(self, crops: FloatArray) -> FloatArray:
        if self.contract.color == "bgr":
            crops = crops[..., ::-1]
        mean, std = np.array(self.contract.mean, np.float32), np.array(self.contract.std, np.float32)
        return np.ascontiguousarray(((crops - mean) / std).transpose(0, 3, 1, 2))


def open_onnx(path: Path, threads: int = 0, providers: tuple[str, ...] = ("CPUExecutionProvider",)) -> InferenceSession:
    """An onnxruntime session; 0 threads lets onnxruntime choose.

    Raises:
        InputError: not a readable ONNX file.
    """
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as errors

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Idle threads that spin take the cores from decoding and alignment between two passes: twice the time a photo.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3  # warnings on unused initialisers of other people's files help nobody
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=list(providers))
    # onnxruntime has no common base class for what can be wrong with a file.
    except (
        errors.Fail,
        errors.InvalidArgument,
        errors.InvalidGraph,
        errors.InvalidProtobuf,
        errors.NoSuchFile,
        errors.NotImplemented,
    ) as error:
        raise InputError(f"{path}: not a readable ONNX model: {str(error).splitlines()[0]}") from None


class OnnxEmbedder(Embedder):
    """An ONNX file with one image input (B, 3, H, W) and the embedding as first output.

    Args:
        path: the file.
        contract: replaces the contract stored in the file; needed for files of other projects.
        batch_size: crops per forward pass; a file with a fixed batch is fed in its own size.
        threads: of onnxruntime; 0 lets it choose.
        providers: of onnxruntime, in order of preference; by default the CPU.
    """

    def __init__(
        self,
        path: Path,
        contract: Contract | None = None,
        batch_size: int = 32,
        threads: int = 0,
        providers: tuple[str, ...] = ("CPUExecutionProvider",),
    ) -> None:
        self.path = Path(path)
        self._session = open_onnx(path, threads, providers)
        stored = self._session.get_modelmeta().custom_metadata_map.get(CONTRACT_KEY)
        if contract is None and stored is None:
            raise InputError(f"{path}: the file has no facezoo contract; give one (--contract FILE.toml)")
        super().__init__(contract or Contract.from_json(stored or ""), batch_size)
        if contract is None and self.contract.weights_sha256:
            check_digest(path, self.contract, onnx_digest(path))
        entry = self._session.get_inputs()[0]
        self._input = entry.name
        self._fixed = entry.shape[0] if isinstance(entry.shape[0], int) else None
        height, width = entry.shape[2:4] if len(entry.shape) == 4 else (None, None)
        for have, want in ((height, self.contract.input_size[0]), (width, self.contract.input_size[1])):
            if isinstance(have, int) and have != want:
                raise InputError(
                    f"{path}: the network takes {height} x {width}, its contract says {self.contract.input_size}"
                )

    def forward(self, batch: FloatArray) -> FloatArray:
        if self._fixed is None:
            return self._run(batch)
        rows = []
        for start in range(0, len(batch), self._fixed):
            part = batch[start : start + self._fixed]
            padding = np.zeros((self._fixed - len(part), *batch.shape[1:]), np.float32)
            rows.append(self._run(np.concatenate([part, padding]))[: len(part)])
        return np.concatenate(rows)

    def _run(self, batch: FloatArray) -> FloatArray:
        from onnxruntime.capi import onnxruntime_pybind11_state as errors

        try:
            found = self._session.run(None, {self._input: batch})[0]
        except (errors.Fail, errors.InvalidArgument, errors.RuntimeException) as error:
            why = str(error).splitlines()[0]
            raise InputError(f"{self.contract.name}: the network does not take a batch {batch.shape}: {why}") from None
        return np.asarray(found).reshape(len(batch), -1)


class TorchEmbedder(Embedder):
    """A torch backbone with its contract, in evaluation mode on `device`."""

    def __init__(self, model: nn.Module, contract: Contract, batch_size: int = 64, device: str = "cpu") -> None:
        super().__init__(contract, batch_size)
        self.model, self.device = model.to(device), device

    def forward(self, batch: FloatArray) -> FloatArray:
        import torch

        was_training = self.model.training
        self.model.eval()
        with torch.inference_mode():
            embeddings = self.model(torch.from_numpy(batch).to(self.device)).float().cpu().numpy()
        self.model.train(was_training)
        return embeddings


def load_embedder(
    model: str | Path,
    *,
    contract: Contract | None = None,
    batch_size: int = 32,
    device: str = "cpu",
    flip: bool | None = None,
) -> Embedder:
    """An embedder from a zoo name (`dlib-resnet29`), an `.onnx` file, a `.safetensors` file or a run folder.

    Args:
        contract: for files that carry none; in place of the stored one where a file carries one.
        batch_size: crops per forward pass, before the mirror images.
        device: of a torch model; ONNX models run on the CPU.
        flip: overrides the contract's flip.

    Raises:
        InputError: unknown name, unreadable file, weights that differ from the contract's digest, a contract for a
            named model, or another device than the CPU for an ONNX model.
    """
    path = Path(model)
    embedder: Embedder
    if path.is_dir():
        path = path / "best.safetensors"
    if device != "cpu" and path.suffix != ".safetensors":
        raise InputError(f"{model}: device {device} is for torch models, this one runs on the CPU")
    if path.suffix == ".onnx":
        if not path.is_file():
            raise InputError(f"{path}: no such file")
        embedder = OnnxEmbedder(path, contract, batch_size)
    elif path.suffix == ".safetensors":
        from facezoo.checkpoint import load_model

        network, stored = load_model(path)
        embedder = TorchEmbedder(network, contract or stored, batch_size, device)
    elif (spec := parse_spec(str(model)))[0] in EMBEDDERS:
        if contract is not None:
            raise InputError(f"{model}: a named model has its own contract; leave the other one out")
        embedder = EMBEDDERS.create(str(model))
        if "batch_size" not in spec[1]:
            embedder.batch_size = batch_size
    else:
        known = ", ".join(EMBEDDERS.names())
        raise InputError(f"{model}: neither a model file (.onnx, .safetensors), a run folder, nor one of: {known}")
    if embedder.contract.name == UNNAMED:
        embedder = embedder.under(name=Path(model).stem)
    return embedder if flip is None else embedder.under(flip=flip)
