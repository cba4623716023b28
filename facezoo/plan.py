"""What a config would train, before anything is trained."""

from __future__ import annotations

import torch

from facezoo.config import Config
from facezoo.data.transforms import create_transforms
from facezoo.heads.classifier import create_head
from facezoo.optim import lr_at
from facezoo.registry import BACKBONES, BENCHMARKS, DATASETS, MODES
from facezoo.types import InputError


def describe(config: Config) -> str:
    """What a config would train: sizes, steps, validation and the learning rate along the way; nothing is written.

    Raises:
        InputError: a part of the config cannot be made.
    """
    data = DATASETS.create(config.data.train)
    backbone = BACKBONES.create(config.model.backbone)
    head = create_head(config.model.head, backbone.embedding_dim, len(data.classes), config.model.loss)
    MODES.create(config.model.mode, backbone=backbone, head=head)
    create_transforms(config.data.transforms)
    benchmarks = [BENCHMARKS.create(spec) for spec in config.validation.benchmarks]
    per_epoch, total = steps_per_epoch(len(data), config), total_steps(len(data), config)
    rates = [lr_at(total * part // 8, total, per_epoch, config.optim.lr, config.schedule) for part in range(8)]
    rows = {
        "images": f"{len(data):,}",
        "identities": f"{len(data.classes):,}",
        "backbone": f"{config.model.backbone}, {count(backbone):,} parameters",
        "head": f"{config.model.head}, {count(head):,} parameters",
        "steps": f"{total:,} ({per_epoch:,} an epoch) of {config.data.batch_size * config.optim.accumulate} images",
        "validation": ", ".join(benchmark.name for benchmark in benchmarks) or "none",
        "lr": " ".join(f"{rate:.4g}" for rate in rates),
    }
    return "\n".join(f"{name:12}{value}" for name, value in rows.items())


def count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def steps_per_epoch(images: int, config: Config) -> int:
    per_step = config.data.batch_size * config.optim.accumulate
    if images < per_step:
        raise InputError(f"{config.data.train}: {images} images, fewer than one step of {per_step}")
    return images // config.data.batch_size // config.optim.accumulate


def total_steps(images: int, config: Config) -> int:
    return max(1, round(config.train.epochs * steps_per_epoch(images, config)))
