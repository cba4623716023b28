"""The command that embeds photos once and for all."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from facezoo.cli.app import app, print_json
from facezoo.cli.models import model_digest
from facezoo.types import InputError


@app.command
def extract(
    model: str,
    data: str,
    out: Path,
    /,
    *,
    dtype: Literal["float32", "float16"] = "float32",
    halves: bool = False,
    aligned: str | None = None,
    contract: Path | None = None,
    flip: bool | None = None,
    batch_size: int = 32,
    device: str = "cpu",
    detector: str = "yunet:threads=1",
    json: bool = False,
) -> None:
    """Embed photos into a folder: one mapped array, the photos' names, labels, and the model's contract.

    Start it again after an interruption, and it goes on. Under torchrun every process takes its share of one file.
    The folder then stands where a model stands: facezoo evaluate OUT BENCHMARK.

    Args:
        model: name such as dlib-resnet29, .onnx or .safetensors file, or run folder.
        data: dataset by path or spec, folder of photos, or benchmark such as lfw:root=data/lfw.
        out: folder of the features.
        dtype: of the embeddings.
        halves: keep the embeddings of crop and mirror image apart, for IJB's flip=off, add and concat.
        aligned: the photos are crops already, aligned to this template (arcface); for a model of another template they
            are moved by the similarity between the two, but for those of a benchmark.
        contract: TOML file of the model's contract, for a file that carries none.
        flip: add the embedding of the mirror image, or do not, whatever the contract says.
        batch_size: crops per forward pass.
        device: of a torch model.
        detector: finds landmarks in raw photos that come without; it runs beside the model, so one thread is enough.
        json: print the counts as JSON.
    """
    import os
    from contextlib import nullcontext
    from dataclasses import asdict

    from facezoo.contract import read_contract
    from facezoo.embedder import load_embedder
    from facezoo.evaluation import needs_locate
    from facezoo.extract import FAILURES, open_source
    from facezoo.extract import extract as run
    from facezoo.sdk import FaceAnalyzer

    if batch_size < 1:
        raise InputError(f"--batch-size is {batch_size}, it must be 1 or more")
    several = int(os.environ.get("WORLD_SIZE", "1")) > 1
    if several:
        from facezoo.distributed import process_group
    with process_group(device) if several else nullcontext():
        source = open_source(data, aligned)
        stated = read_contract(contract) if contract else None
        embed = load_embedder(model, contract=stated, batch_size=batch_size, device=device, flip=flip)
        locate = FaceAnalyzer(detector).locate if needs_locate(source) else None
        done = run(source, embed, out, model=model_digest(model, embed), locate=locate, dtype=dtype, halves=halves)
    if os.environ.get("RANK", "0") != "0":
        return
    if json:
        print_json(asdict(done))
        return
    rate = f", {done.embedded / done.seconds:.1f} a second" if done.seconds else ""
    now = f"{done.embedded:,} of them now{rate}" if done.embedded else "all of them embedded before"
    print(f"{out}: {done.photos:,} photos, {now}")
    if done.no_face or done.unreadable:
        print(
            f"without an embedding: {done.no_face:,} without a face, {done.unreadable:,} unreadable ({out / FAILURES})"
        )
