"""What a model file is, and what it costs here."""

from __future__ import annotations

import statistics
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facezoo.embedder import Embedder, OnnxEmbedder, load_embedder
from facezoo.measure.onnx_graph import OnnxGraph
from facezoo.types import Contract, InputError

BATCHES = (1, 32)

WARM_UP = 2
"""Passes before any is counted."""

PASSES, SECONDS = 20, 5.0
"""A latency is the median of so many passes, or of those that fit into so many seconds, at least three."""


@dataclass(frozen=True)
class ModelInfo:
    """A model file.

    Attributes:
        network: spec string of the backbone, or "onnx".
        parameters, macs: of one crop; None where an ONNX graph does not tell.
        file_bytes: of the file.
        weight_bytes: of the weights in memory.
        peak_bytes: estimate of weights and activations, by batch size.
        milliseconds: median of one forward pass, without mirror images, by batch size.
        threads: that the measurement used; 0: as many as onnxruntime chose.
    """

    path: Path
    network: str
    contract: Contract
    parameters: int
    macs: int | None
    file_bytes: int
    weight_bytes: int
    peak_bytes: dict[int, int]
    milliseconds: dict[int, float]
    threads: int

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "path": str(self.path)}


def measure_model(model: Path, threads: int = 0) -> ModelInfo:
    """Count and time a `.safetensors` or `.onnx` file or a run folder's best model, on the CPU.

    Args:
        threads: for the measurement; 0 lets the library choose.

    Raises:
        InputError: not a model file, or an ONNX file without a contract.
    """
    path = model / "best.safetensors" if model.is_dir() else model
    if threads < 0:
        raise InputError(f"threads is {threads}, it must be 1 or more, or 0 to let the library choose")
    if path.suffix not in (".safetensors", ".onnx"):
        raise InputError(f"{path}: a model is a .safetensors or .onnx file or a run folder")
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    return _onnx(path, threads) if path.suffix == ".onnx" else _torch(path, threads)


def _onnx(path: Path, threads: int) -> ModelInfo:
    embedder = OnnxEmbedder(path, threads=threads)
    graphs = {batch: OnnxGraph(path, embedder.contract.input_size, batch) for batch in BATCHES}
    first = graphs[BATCHES[0]]
    return ModelInfo(
        path,
        "onnx",
        embedder.contract,
        first.parameters,
        first.macs,
        path.stat().st_size,
        first.weight_bytes,
        {batch: graph.peak_bytes() for batch, graph in graphs.items()},
        _latencies(embedder),
        threads,
    )


def _torch(path: Path, threads: int) -> ModelInfo:
    import torch

    from facezoo.checkpoint import read_header
    from facezoo.measure.counts import count, peak_bytes
    from facezoo.registry import BACKBONES, without_option

    backbone, contract = read_header(path)
    with torch.device("meta"):
        network = BACKBONES.create(without_option(backbone, "pretrained"))
    counts = count(network, contract.input_size)
    peaks = {batch: peak_bytes(network, contract.input_size, batch) for batch in BATCHES}
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        milliseconds = _latencies(load_embedder(path))
    finally:
        torch.set_num_threads(before)
    return ModelInfo(
        path,
        backbone,
        contract,
        counts.parameters,
        counts.macs,
        path.stat().st_size,
        counts.bytes,
        peaks,
        milliseconds,
        threads or before,
    )


def _latencies(embedder: Embedder) -> dict[int, float]:
    chance = np.random.default_rng(0)
    size = embedder.contract.input_size
    return {batch: latency(embedder, chance.standard_normal((batch, 3, *size), dtype=np.float32)) for batch in BATCHES}


def latency(embedder: Embedder, batch: Any) -> float:
    """Median milliseconds of a forward pass of a normalised batch (B, 3, H, W), after a warm-up."""
    for _ in range(WARM_UP):
        embedder.forward(batch)
    taken: list[float] = []
    while len(taken) < PASSES and (len(taken) < 3 or sum(taken) < SECONDS):
        begin = time.perf_counter()
        embedder.forward(batch)
        taken.append(time.perf_counter() - begin)
    return 1e3 * statistics.median(taken)
