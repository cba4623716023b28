"""face.evoLVe's config.py: a dict `configurations` of dicts, of which train.py takes number 1."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from facezoo.config_import.python_file import assigned, parse_python
from facezoo.config_import.translation import Translation, with_options
from facezoo.data.subset import spec_text
from facezoo.types import InputError

BACKBONES = {f"ResNet_{depth}": f"resnet{depth}" for depth in (50, 101, 152)}
BACKBONES |= {f"IR_{depth}": f"ir{depth}:flavor=facexzoo,dropout=0.5" for depth in (50, 101, 152)}
BACKBONES |= {f"IR_SE_{depth}": f"ir_se{depth}:flavor=facexzoo,dropout=0.5" for depth in (50, 101, 152)}

HEADS = {
    "ArcFace": "arcface@evolve",
    "CosFace": "cosface@evolve",
    "SphereFace": "sphereface@evolve",
    "Am_softmax": "amsoftmax:scale=30",
}
LOSSES = {"Focal": "focal@evolve", "Softmax": "cross_entropy"}

WARM_UP_PARTS = 25
"""Its trainer warms up for so many of the epochs, rounded down."""


def read(path: Path, number: int = 1) -> dict[str, Any]:
    """The entries of one of the configurations.

    Raises:
        InputError: there is no dict of configurations, or not this one.
    """
    found = assigned(parse_python(path), "configurations")
    if not isinstance(found, dict):
        raise InputError(f"{path}: no dict named configurations, as face.evoLVe's config.py has")
    if not isinstance(found.get(number), dict):
        known = ", ".join(str(key) for key, value in found.items() if isinstance(value, dict))
        raise InputError(f"{path}: there is no configuration {number}; known: {known}")
    return found[number]


def translate(given: dict[str, Any]) -> Translation:
    """Ours for the entries of `read`."""
    made = Translation("face.evoLVe", given)
    _, backbone = made.choose("BACKBONE_NAME", BACKBONES, "IR_SE_50")
    made.put("model.backbone", _sized(made, backbone), "BACKBONE_NAME", "INPUT_SIZE", "EMBEDDING_SIZE")
    head, spec = made.choose("HEAD_NAME", HEADS, "ArcFace")
    made.put("model.head", spec, "HEAD_NAME")
    if head == "Am_softmax":
        made.left.append("HEAD_NAME = Am_softmax: its code forgets to normalise the embedding; the formula is taken")
    made.put("model.loss", made.choose("LOSS_NAME", LOSSES, "Focal")[1], "LOSS_NAME")
    root = made.take("DATA_ROOT", str, "data")
    made.put("data.train", spec_text("folder", root=f"{root.rstrip('/')}/imgs"), "DATA_ROOT")
    if not made.take("DROP_LAST", bool, True):
        made.put("data.sampler", "shuffle:last=fill", "DROP_LAST")
    made.put("data.transforms", ["crop@evolve", "flip"], "its training transforms")
    made.move("BATCH_SIZE", "data.batch_size", int)
    made.move("NUM_WORKERS", "data.workers", int)
    made.move("LR", "optim.lr", float)
    made.move("MOMENTUM", "optim.momentum", float)
    made.move("WEIGHT_DECAY", "optim.weight_decay", float)
    made.put("schedule.name", "step", "its schedule")
    made.put("schedule.milestones", made.numbers("STAGES", (35, 65, 95)), "STAGES")
    epochs = made.take("NUM_EPOCH", int, 125)
    made.put("schedule.warmup_epochs", epochs // WARM_UP_PARTS, f"NUM_EPOCH // {WARM_UP_PARTS}")
    made.put("train.epochs", epochs, "NUM_EPOCH")
    made.move("SEED", "train.seed", int)
    _leave(made)
    return made


def _sized(made: Translation, backbone: str) -> str:
    size = made.numbers("INPUT_SIZE", (112, 112))
    dim = made.take("EMBEDDING_SIZE", int, 512)
    options: dict[str, Any] = {}
    if size != [112, 112]:
        options["input_size"] = size
    if dim != 512:
        options["embedding_dim"] = dim
    return with_options(backbone, **options)


def _leave(made: Translation) -> None:
    for key in ("RGB_MEAN", "RGB_STD"):
        if key in made and made.numbers(key) != [0.5, 0.5, 0.5]:
            made.left.append(f"{key}: crops are always scaled to [-1, 1], which is 0.5")
    for key in ("BACKBONE_RESUME_ROOT", "HEAD_RESUME_ROOT"):
        made.leave("what facezoo import makes of a file can be model.start", key)
    made.leave("the run folder is --out", "MODEL_ROOT", "LOG_ROOT")
    made.leave("processes are started by torchrun, see docs/training.md", "MULTI_GPU", "GPU_ID")
    made.leave("train.device chooses a GPU where there is one", "DEVICE")
    made.leave("crops go to the GPU from pinned memory", "PIN_MEMORY")
