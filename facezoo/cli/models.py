"""The model and the detector that are named on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from facezoo.types import InputError

if TYPE_CHECKING:
    from facezoo.embedder import Embedder
    from facezoo.sdk import FaceAnalyzer


def load_analyzer(model: str, contract: Path | None, detector: str) -> FaceAnalyzer:
    """Detector and model as one; `contract` is the TOML file of a model that carries none."""
    from facezoo.contract import read_contract
    from facezoo.embedder import load_embedder
    from facezoo.sdk import FaceAnalyzer

    stated = read_contract(contract) if contract else None
    return FaceAnalyzer(detector, load_embedder(model, contract=stated))


def model_digest(model: str, embed: Embedder) -> str:
    """What tells these weights from others: the file's digest, else that of the contract."""
    from facezoo.zoo.cache import digest

    path = Path(model)
    if path.is_dir():
        path = path / "best.safetensors"
    if path.is_file():
        return digest(path)
    if not embed.contract.weights_sha256:
        raise InputError(f"{model}: states no digest of its weights, so its embeddings cannot be kept on disk")
    return embed.contract.weights_sha256


def load_model(model: str, contract: Path | None, batch_size: int, device: str) -> tuple[Embedder, str]:
    """An embedder and the digest of its weights; `contract` is the TOML file of a model that carries none."""
    from facezoo.contract import read_contract
    from facezoo.embedder import load_embedder

    stated = read_contract(contract) if contract else None
    embed = load_embedder(model, contract=stated, batch_size=batch_size, device=device)
    return embed, model_digest(model, embed)
