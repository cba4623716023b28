"""Configs of insightface's arcface_torch: `config.NAME = value` on an EasyDict."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from facezoo.config_import.python_file import attributes, parse_python
from facezoo.config_import.translation import Translation, with_options
from facezoo.data.subset import spec_text
from facezoo.types import InputError

DEFAULTS: dict[str, Any] = {
    "margin_list": [1.0, 0.5, 0.0],
    "network": "r50",
    "embedding_size": 512,
    "sample_rate": 1.0,
    "interclass_filtering_threshold": 0,
    "fp16": True,
    "optimizer": "sgd",
    "lr": 0.1,
    "weight_decay": 5e-4,
    "batch_size": 128,
    "gradient_acc": 1,
    "num_epoch": 20,
    "warmup_epoch": 0,
    "seed": 2048,
}
"""What its base config says, where a config says nothing."""

NETWORKS = {f"r{depth}": f"iresnet{depth}" for depth in (18, 34, 50, 100, 200, 2060)}
NETWORKS |= {name: name for name in ("mbf", "mbf_large")}
VIT = re.compile(r"(vit_[tsblh])(?:_dp(\d+))?(?:_mask_?(\d+))?")
"""Such as vit_b_dp005_mask_005: drop path 0.05, a share of 0.05 of the tokens left out."""

DALI = ["low_resolution@insightface", "blur@insightface", "hsv@insightface", "grey@insightface", "flip"]


def read(paths: list[Path]) -> dict[str, Any]:
    """The entries of one or several files over those of the base config; a later file wins."""
    found = dict(DEFAULTS)
    for path in paths:
        entries = attributes(parse_python(path), "config")
        if not entries:
            raise InputError(f"{path}: no line config.NAME = value, as arcface_torch's configs have")
        found |= entries
    return found


def translate(given: dict[str, Any], gpus: int = 8) -> Translation:
    """Ours for the entries of `read`, trained on so many GPUs."""
    made = Translation("arcface_torch", given)
    made.put("model.backbone", _backbone(made), "network", "embedding_size")
    _head(made)
    made.move("sample_rate", "model.sample_rate", float)
    _data(made, gpus)
    if "optimizer" in made:
        made.put("optim.name", made.choose("optimizer", {"sgd": "sgd", "adamw": "adamw"}, "sgd")[1], "optimizer")
    made.move("lr", "optim.lr", float)
    if made.values["optim"]["name"] == "sgd":
        made.move("momentum", "optim.momentum", float)
    made.leave("AdamW has no momentum", "momentum")
    made.move("weight_decay", "optim.weight_decay", float)
    made.move("gradient_acc", "optim.accumulate", int)
    made.put("optim.decay_norms", True, "its optimiser decays everything")
    made.put("optim.clip_norm", 5.0, "its loop clips the network's gradient at 5")
    made.put("schedule.name", "polynomial", "its schedule")
    made.move("warmup_epoch", "schedule.warmup_epochs", float)
    made.move("num_epoch", "train.epochs", float)
    made.move("seed", "train.seed", int)
    made.move("frequent", "train.log_every", int)
    if made.take("fp16", bool, True):
        made.put("train.amp", "fp16", "fp16")
    made.leave("name the sets in validation.benchmarks, such as bin:path=lfw.bin", "val_targets")
    made.leave("validation.every_epochs counts epochs, not steps", "verbose")
    made.leave("the run folder is --out", "output")
    made.leave("a run goes on when the same command is given again", "resume", "save_all_states")
    made.leave("images are read by data.workers on the CPU", "dali")
    made.leave(
        "TensorBoard's files are in the run folder",
        *("using_wandb", "wandb_key", "wandb_entity", "wandb_project", "wandb_resume", "wandb_log_all"),
        *("suffix_run_name", "save_artifacts", "notes"),
    )
    return made


def _backbone(made: Translation) -> str:
    name = made.take("network", str, "r50")
    vit = VIT.fullmatch(name)
    if name not in NETWORKS and not vit:
        raise InputError(f"arcface_torch: network {name!r} is not known; known: {', '.join(NETWORKS)}, vit_t to vit_h")
    options: dict[str, Any] = {}
    if vit:
        shares = {"drop_path": vit[2], "mask_ratio": vit[3]}
        options = {key: int(digits) / 10 ** (len(digits) - 1) for key, digits in shares.items() if digits}
    dim = made.take("embedding_size", int, 512)
    if dim != 512:
        options["embedding_dim"] = dim
    return with_options(vit[1] if vit else NETWORKS[name], **{k: v for k, v in options.items() if v})


def _head(made: Translation) -> None:
    margins = made.numbers("margin_list", (1.0, 0.5, 0.0))
    limit = made.take("interclass_filtering_threshold", float, 0.0)
    if len(margins) != 3:
        raise InputError(f"arcface_torch: margin_list is {margins}, it must be three numbers")
    m1, m2, m3 = (float(m) for m in margins)
    if m3 > 0 and (m1, m2) != (1, 0):
        made.leave_value("margin_list", margins, "its code takes the third margin alone if that is above 0")
        m1, m2 = 1.0, 0.0
    elif m1 != 1:
        raise InputError(f"arcface_torch: margin_list is {margins}; its code takes (1, m, 0) and (1, 0, m)")
    if limit:
        head = with_options("combined@insightface", m1=m1, m2=m2, m3=m3, filter=limit)
    elif m3:
        head = with_options("cosface", margin=m3)
    else:
        head = with_options("arcface@insightface", margin=m2)
    made.put("model.head", head, "margin_list", "interclass_filtering_threshold")


def _data(made: Translation, gpus: int) -> None:
    folder = made.take("rec", str, "")
    if folder in ("", "synthetic"):
        made.put("data.train", "rec:path=data/train.rec", "rec names no data: a path to be set")
    else:
        made.put("data.train", spec_text("rec", path=f"{folder.rstrip('/')}/train.rec"), "rec")
    if made.take("dali_aug", bool, False):
        made.put("data.transforms", DALI, "dali_aug")
    made.put("data.batch_size", made.take("batch_size", int, 128) * gpus, "batch_size", f"{gpus} GPUs")
    made.move("num_workers", "data.workers", int)
    made.classes = made.take("num_classes", int, 0)
    made.images = made.take("num_image", int, 0)
