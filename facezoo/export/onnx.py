"""From a model file to ONNX: dynamic batch, contract inside, compared with torch before it is written."""

from __future__ import annotations

import warnings
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch

from facezoo.align import recrop
from facezoo.checkpoint import load_model
from facezoo.config import load_config
from facezoo.contract import CONTRACT_KEY, onnx_digest
from facezoo.data.opening import open_dataset
from facezoo.embedder import OnnxEmbedder, TorchEmbedder
from facezoo.files import whole_file
from facezoo.image import find_images, read_image
from facezoo.types import Contract, Crop, InputError, unit

TOLERANCE = 1e-4
"""Largest difference allowed between an element of the two embeddings, relative to the largest element."""

OPSET = 18


@dataclass(frozen=True)
class Parity:
    """How far the written file is from the torch model.

    Attributes:
        crops: how many were compared, and where they came from.
        difference: largest absolute difference relative to the largest absolute element.
        cosine: smallest cosine between the two embeddings of a crop.
    """

    crops: int
    source: str
    difference: float
    cosine: float

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def sentence(self) -> str:
        return (
            f"differs from torch by at most {self.difference:.1e} (relative), smallest cosine {self.cosine:.7f}, "
            f"on {self.crops} {self.source}"
        )


def export_onnx(model: Path, out: Path, crops: Path | None = None, limit: int = 32) -> Parity:
    """Write a model file or a run's best model as ONNX.

    Args:
        crops: folder of crops to compare on; by default images of the run's training data.
        limit: how many crops are compared; batches of one, and of all together.

    Raises:
        InputError: the embeddings differ by more than `TOLERANCE`; nothing is written.
    """
    if Path(out).suffix != ".onnx":
        raise InputError(f"{out}: an ONNX model is found by its ending, name it .onnx")
    path = Path(model)
    folder = path if path.is_dir() else path.parent
    path = path / "best.safetensors" if path.is_dir() else path
    if path.suffix != ".safetensors":
        raise InputError(
            f"{model}: what is exported is a .safetensors file or a run folder; the models of an ensemble one by one"
        )
    network, contract = load_model(path)
    images, source = _crops(crops, folder, contract, limit)
    with whole_file(Path(out)) as temporary:
        _write(_for_inference(network), contract, temporary)
        parity = _compare(TorchEmbedder(network, contract), OnnxEmbedder(temporary), images, source)
        if parity.difference > TOLERANCE:
            raise InputError(f"{out}: not written, the ONNX file {parity.sentence()}; allowed is {TOLERANCE:.0e}")
    return parity


def _for_inference(network: torch.nn.Module) -> torch.nn.Module:
    """A network that is trained in another form than it is used in makes the latter itself: `fused()`."""
    fused = getattr(network, "fused", None)
    return network if fused is None else fused()


def _write(network: torch.nn.Module, contract: Contract, path: Path) -> None:
    example = torch.zeros(2, 3, *contract.input_size)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns of its own deprecated parts
        program = torch.onnx.export(
            network,
            (example,),
            dynamo=True,
            verbose=False,
            opset_version=OPSET,
            input_names=["image"],
            output_names=["embedding"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
        )
    assert program is not None
    program.save(str(path))
    file = onnx.load(str(path))
    contract = replace(contract, weights_sha256=onnx_digest(path))
    onnx.helper.set_model_props(file, {CONTRACT_KEY: contract.to_json()})
    onnx.checker.check_model(file)
    onnx.save(file, str(path))


def _crops(folder: Path | None, run: Path, contract: Contract, limit: int) -> tuple[list[Crop], str]:
    if folder is not None:
        found = find_images(folder)
        if not found:
            raise InputError(f"{folder}: no images to compare on")
        images, source = [read_image(path) for path in _spread(found, limit)], "given crops"
    elif (run / "config.toml").exists():
        data = open_dataset(load_config(run / "config.toml").data.train)
        images = [data.read(index) for index in _spread(list(range(len(data))), limit)]
        source = "crops of the training data"
    else:
        raise InputError(f"{run}: no run folder around the model; give --crops FOLDER to compare on")
    return [recrop(image, contract.template, contract.input_size) for image in images], source


def _spread(items: list, limit: int) -> list:
    """At most `limit` items, evenly over the list."""
    places = np.linspace(0, len(items) - 1, min(limit, len(items))).round().astype(int)
    return [items[place] for place in places]


def _compare(torch_side: TorchEmbedder, onnx_side: OnnxEmbedder, images: list[Crop], source: str) -> Parity:
    wanted = torch_side(images)
    singles = np.concatenate([onnx_side([image]) for image in images[:5]])
    onnx_side.batch_size = len(images)
    together = onnx_side(images)
    scale = float(np.abs(wanted).max())
    difference = max(np.abs(together - wanted).max(), np.abs(singles - wanted[:5]).max()) / scale
    cosine = float((unit(together) * unit(wanted)).sum(axis=1).min())
    return Parity(len(images), source, float(difference), cosine)
