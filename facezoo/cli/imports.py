"""The command that imports other projects' checkpoints."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from facezoo.cli.app import app, print_json


@app.command(name="import")
def import_(
    checkpoint: Path,
    out: Path,
    /,
    *,
    backbone: Annotated[str | None, Parameter(name="--as")] = None,
    color: Literal["rgb", "bgr"] | None = None,
    mean: Annotated[list[float] | None, Parameter(consume_multiple=True)] = None,
    std: Annotated[list[float] | None, Parameter(consume_multiple=True)] = None,
    size: tuple[int, int] | None = None,
    name: str | None = None,
    json: bool = False,
) -> None:
    """Convert a checkpoint of another project to a model file with its contract; no code in it is executed.

    FaceX-Zoo, face.evoLVe, TFace, insightface, AdaFace, CVLface, facenet-pytorch, dlib: torch files of any wrapping,
    whole pickled modules, safetensors, ONNX, dlib's .dat. The network is found by names and shapes of the tensors.

    Args:
        checkpoint: the file.
        out: .safetensors; .onnx for dlib's .dat and for ONNX files whose weights are folded.
        backbone: spec string of the network it has to be, such as ir50:flavor=facexzoo.
        color: channel order of the network's input, where the file's project is not known.
        mean: subtracted from 0..255; one number, or three in the network's channel order.
        std: divides after it.
        size: height and width of a crop, for ONNX files that leave it open.
        name: of the model in its contract; by default that of the file.
        json: print what was found as JSON.
    """
    from facezoo.imports import Feed, import_checkpoint

    feed = Feed(color=color, mean=mean, std=std, size=size)
    made = import_checkpoint(checkpoint, out, backbone=backbone, feed=feed, name=name)
    for warning in made.warnings:
        print(f"facezoo: {warning}", file=sys.stderr)
    if json:
        print_json(made.to_dict())
        return
    print(f"{checkpoint}: {made.found}")
    if made.contract is not None:
        contract = made.contract
        size_text = " x ".join(map(str, contract.input_size))
        print(
            f"{out}: {contract.embedding_dim}-d, {contract.color.upper()} {size_text} crops, "
            f"mean {_numbers(contract.mean)}, std {_numbers(contract.std)}, template {contract.template}"
        )


def _numbers(values: tuple[float, ...]) -> str:
    return f"{values[0]:g}" if len(set(values)) == 1 else " ".join(f"{value:g}" for value in values)
