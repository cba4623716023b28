"""Training and export."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from facezoo.cli.app import app, print_json
from facezoo.types import InputError

if TYPE_CHECKING:
    from facezoo.config import Config


@app.command
def train(
    config: Path,
    /,
    *overrides: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    out: Path | None = None,
    dry_run: bool = False,
    classes: int = 0,
    images: int = 0,
    processes: int = 0,
    plot: Path | None = None,
) -> None:
    """Train the model that a TOML file describes, or continue the run that lies in its folder.

    Every value of the file can be given on the command line: --optim.lr 0.05 --model.head cosface:margin=0.4.
    On several GPUs or processes: torchrun --nproc-per-node N -m facezoo train CONFIG.

    Args:
        config: TOML file, or the name of a recipe: facezoo list recipes.
        out: run folder; runs/NAME by default, NAME being the name of the config.
        dry_run: build everything, print sizes, steps, memory and the learning rate, train nothing.
        classes: of a dry run without the data: as if they had so many identities.
        images: of a dry run without the data: as if they had so many images.
        processes: of a dry run: as if so many shared batch and classes.
        plot: of a dry run: draw the learning rate into this .png, .svg or .pdf file.
    """
    from facezoo.config import load_config
    from facezoo.recipes import find_recipe

    if not dry_run and (classes or images or processes or plot):
        raise InputError("--classes, --images, --processes and --plot belong to --dry-run")
    settings = load_config(find_recipe(config), _pairs(overrides))
    folder = out or Path("runs") / settings.name
    from facezoo import distributed, progress  # with torch, which takes seconds: a mistake above is told at once
    from facezoo.train import Trainer

    with distributed.process_group(settings.train.device):
        if not distributed.is_first():  # what all processes do alike is told once, a warning by whoever has one
            progress.show(False)
            logging.getLogger("facezoo").setLevel(logging.WARNING)
        if dry_run:
            _dry_run(settings, classes, images, processes, plot)
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


def _dry_run(settings: Config, classes: int, images: int, processes: int, plot: Path | None) -> None:
    from facezoo import distributed
    from facezoo.dry_run import dry_run

    if bool(classes) != bool(images):
        raise InputError("give --classes and --images together: how many the data would have")
    found = dry_run(settings, classes, images, processes)
    if not distributed.is_first():
        return
    print(found.text())
    if plot:
        found.draw(plot)


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
