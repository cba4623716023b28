"""Training and export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from facezoo.cli.app import app, print_json
from facezoo.types import InputError


@app.command
def train(
    config: Path,
    /,
    *overrides: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    out: Path | None = None,
    dry_run: bool = False,
) -> None:
    """Train the model that a TOML file describes, or continue the run that lies in its folder.

    Every value of the file can be given on the command line: --optim.lr 0.05 --model.head cosface:margin=0.4.
    On several GPUs or processes: torchrun --nproc-per-node N -m facezoo train CONFIG.

    Args:
        config: TOML file; see configs/ for recipes.
        out: run folder; runs/NAME by default, NAME being the name of the config.
        dry_run: build everything, print parameters and steps, train nothing.
    """
    from facezoo import distributed, progress
    from facezoo.config import load_config
    from facezoo.plan import describe
    from facezoo.train import Trainer

    settings = load_config(config, _pairs(overrides))
    folder = out or Path("runs") / settings.name
    with distributed.process_group(settings.train.device):
        if not distributed.is_first():
            progress.show(False)
        if dry_run:
            if distributed.is_first():
                print(describe(settings))
            return
        trainer = Trainer(settings, folder)
        metrics = trainer.run()
        if not distributed.is_first():
            return
    if metrics:
        print(f"validation of the last step, {trainer.step:,}:")
    for name, value in sorted(metrics.items()):
        print(f"  {name:40} {value:.4f}")
    best = f", {settings.validation.metric} {trainer.best:.4f}" if metrics else ""
    print(f"best model: {folder / 'best.safetensors'}{best}")


def _pairs(tokens: tuple[str, ...]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    position = 0
    while position < len(tokens):
        key, equals, value = tokens[position].partition("=")
        position += 1
        if not key.startswith("--") or ("." not in key and key != "--name"):
            raise InputError(f"{key!r} is not an override; write --section.key value")
        if not equals:
            if position == len(tokens):
                raise InputError(f"{key} has no value")
            value = tokens[position]
            position += 1
        pairs[key[2:].replace("-", "_")] = value
    return pairs


@app.command
def export(
    model: Path,
    out: Path,
    /,
    *,
    crops: Path | None = None,
    json: bool = False,
) -> None:
    """Write a trained model as ONNX with its contract inside, after comparing the two on real crops.

    A file whose embeddings differ from torch's is not written.

    Args:
        model: .safetensors file or run folder.
        out: the .onnx file.
        crops: folder of aligned crops to compare on; by default those the run was trained on.
        json: print the comparison as JSON.
    """
    from facezoo.export import export_onnx

    parity = export_onnx(model, out, crops)
    if json:
        print_json(parity.to_dict())
        return
    print(f"{out}: {parity.sentence()}")
