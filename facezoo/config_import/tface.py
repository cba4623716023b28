"""TFace's train.yaml."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

from facezoo.config_import.translation import Translation, with_options
from facezoo.config_import.yaml_file import read_yaml
from facezoo.data.subset import spec_text
from facezoo.types import InputError

BACKBONES = {f"IR_{depth}": f"ir{depth}" for depth in (18, 34, 50, 101, 152, 200)}
BACKBONES |= {f"IR_SE_{depth}": f"ir_se{depth}" for depth in (50, 101, 152, 200)}
BACKBONES |= {
    "MobileFaceNet": "mobilefacenet:affine=false",
    "GhostNet": "ghostnet:flavor=tface,width=1.3",
    "EfficientNetB0": "efficientnet_b0:flavor=tface",
    "EfficientNetB1": "efficientnet_b1:flavor=tface",
    "fbnet_a": "fbnet_a",
    "fbnet_b": "fbnet_b",
    "fbnet_c": "fbnet_c",
}
HEADS = {
    "ArcFace": "arcface@tface",
    "CosFace": "cosface@tface",
    "CurricularFace": "curricularface@tface",
    "CIFP": "cifp@tface",
    "NormFace": "normface@tface",
    "PartialFC": "cosface@tface",
}
SAMPLE_RATE = 0.1
"""Fixed in its Partial FC."""

GAMMA = 0.1


def read(path: Path) -> dict[str, Any]:
    """The entries of the file.

    Raises:
        InputError: it names no backbone.
    """
    found = read_yaml(path)
    if "BACKBONE_NAME" not in found:
        raise InputError(f"{path}: no BACKBONE_NAME, as TFace's train.yaml has")
    return found


def translate(given: dict[str, Any], gpus: int = 8) -> Translation:
    """Ours for the entries of `read`, trained on so many GPUs."""
    made = Translation("TFace", given)
    _, backbone = made.choose("BACKBONE_NAME", BACKBONES, "IR_50")
    options: dict[str, Any] = {}
    if (size := made.numbers("INPUT_SIZE", (112, 112))) != [112, 112]:
        options["input_size"] = size
    if (dim := made.take("EMBEDDING_SIZE", int, 512)) != 512:
        options["embedding_dim"] = dim
    made.put("model.backbone", with_options(backbone, **options), "BACKBONE_NAME", "INPUT_SIZE", "EMBEDDING_SIZE")
    _data_and_head(made, gpus)
    made.move("WEIGHT_DECAY", "optim.weight_decay", float)
    made.move("MOMENTUM", "optim.momentum", float)
    if backbone.startswith("ir"):
        made.put("optim.decay_norms", True, "its rule by name misses the norms of IR networks")
    _schedule(made)
    made.move("SEED", "train.seed", int)
    if made.take("AMP", bool, False):
        made.put("train.amp", "fp16", "AMP")
    made.leave("what facezoo import makes of a file can be model.start", "BACKBONE_RESUME")
    made.leave("a run goes on when the same command is given again", "HEAD_RESUME", "META_RESUME", "START_EPOCH")
    made.leave("the run folder is --out", "MODEL_ROOT", "CKPT_ROOT", "LOG_ROOT", "SAVE_EPOCHS")
    made.leave("the loss is cross-entropy, whatever it says", "LOSS_NAME")
    made.leave("crops are always scaled to [-1, 1]", "RGB_MEAN", "RGB_STD")
    made.leave(
        "processes are started by torchrun, see docs/training.md", "DIST_BACKEND", "DIST_URL", "WORLD_SIZE", "RANK"
    )
    return made


def _data_and_head(made: Translation, gpus: int) -> None:
    name, head = made.choose("HEAD_NAME", HEADS, "ArcFace")
    sets = [entry for entry in made.take("DATASETS", list, []) if isinstance(entry, dict)]
    if not sets:
        raise InputError("TFace: DATASETS is empty, it must name the data")
    first = sets[0]
    given = {key: first[key] for key in ("scale", "margin") if isinstance(first.get(key), int | float)}
    if name == "NormFace":
        given.pop("margin", None)
    made.put("model.head", with_options(head, **given), "HEAD_NAME", "DATASETS[0]")
    if name == "PartialFC":
        made.put("model.sample_rate", SAMPLE_RATE, "HEAD_NAME, whose rate is fixed")
    root = made.take("INDEX_ROOT", str, "") or made.take("DATA_ROOT", str, "") or "data"
    made.leave("the index names the shards; keep them beside it", "DATA_ROOT")
    specs = [spec_text("tfrecord", path=f"{root.rstrip('/')}/{entry.get('name', '')}.txt") for entry in sets]
    train = specs[0] if len(specs) == 1 else f"multi:sets={json.dumps(specs)},separate=true"
    made.put("data.train", train, "DATASETS", "INDEX_ROOT")
    if len(sets) > 1:
        made.left.append(
            "DATASETS: margin, scale, weight of the loss and batch of each set are one for all sets here; margin and "
            "scale of the first are taken, and the sum of the batches"
        )
    batch = sum(entry.get("batch_size", 0) for entry in sets) or made.take("BATCH_SIZE", int, 128)
    made.put("data.batch_size", batch * gpus, "batch_size of DATASETS", f"{gpus} GPUs")
    made.move("NUM_WORKERS", "data.workers", int)


def _schedule(made: Translation) -> None:
    rates, stages = made.numbers("LRS"), made.numbers("STAGES")
    lr = float(rates[0]) if rates else made.take("LR", float, 0.1)
    made.put("optim.lr", lr, "LRS" if rates else "LR")
    made.put("schedule.name", "step", "its schedule")
    made.put("schedule.milestones", stages[: len(rates) - 1] if rates else stages, "STAGES")
    if any(abs(after / before - GAMMA) > 1e-6 for before, after in pairwise(rates)):
        made.left.append(f"LRS = {rates}: each stage has a tenth of the one before here")
    if made.take("WARMUP_STEP", int, -1) > 0:
        made.left.append("WARMUP_STEP counts steps; set schedule.warmup_epochs")
    made.move("NUM_EPOCH", "train.epochs", float)
