"""The model and the detector that are named on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from facezoo.sdk import FaceAnalyzer


def load_analyzer(model: str, contract: Path | None, detector: str) -> FaceAnalyzer:
    """Detector and model as one; `contract` is the TOML file of a model that carries none."""
    from facezoo.contract import read_contract
    from facezoo.embedder import load_embedder
    from facezoo.sdk import FaceAnalyzer

    stated = read_contract(contract) if contract else None
    return FaceAnalyzer(detector, load_embedder(model, contract=stated))
