"""What a config would train and need, before anything is trained and, if need be, before the data are there."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from facezoo import distributed
from facezoo.config import Amp, Config
from facezoo.data.dataset import Dataset
from facezoo.data.opening import open_dataset
from facezoo.data.problems import Problems
from facezoo.data.transforms import create_transforms
from facezoo.evaluation.feature_file import is_features
from facezoo.files import whole_file
from facezoo.measure.counts import count
from facezoo.measure.training import StepMemory, step_memory
from facezoo.optim import lr_at, parameter_groups
from facezoo.plan import check_metric, check_ranks, create_contract, create_mode, create_sampler, find_device, steps
from facezoo.precision import find_precision, warn_if_slow
from facezoo.registry import BACKBONES, BENCHMARKS, DATASETS, parse_spec
from facezoo.types import InputError

COLUMNS, ROWS = 64, 6
"""Letters of the learning rate's curve."""

POINTS = 16 * COLUMNS
"""Steps, spread evenly over the run, whose learning rate is told."""

PRECISIONS: dict[Amp, str] = {"off": "float32", "bf16": "bfloat16 autocast", "fp16": "float16 autocast"}

SETS = {"nir_vis": 2}
"""Of datasets that always are several sets."""


class StandIn(Dataset):
    """As many images and identities as asked for, none of which can be read.

    Args:
        sets: that they come from, in equal parts, as of a `multi`; the identities of all have the same names.

    Raises:
        InputError: fewer images than identities, or fewer identities than sets.
    """

    def __init__(self, classes: int, images: int, sets: int = 1) -> None:
        if not sets <= classes <= images:
            raise InputError(f"{images} images of {classes} identities: each identity has one image at least")
        self.labels = np.arange(images) % classes
        self.classes = [""] * classes
        self.problems = Problems(images)
        if sets > 1:
            self.classes = [f"{label % sets}-{label // sets}" for label in range(classes)]
            self.source = self.labels % sets

    def encoded(self, index: int) -> bytes:
        raise InputError(f"{self.name(index)} cannot be read: it stands in for one that is not there")

    def name(self, index: int) -> str:
        return f"image {index}"


@dataclass(frozen=True)
class DryRun:
    """A run that was built and not trained.

    Attributes:
        rows: what there is to say, by name.
        rates: learning rates of POINTS steps, spread evenly over the run.
        epochs: of the run.
        logarithmic: the rates fall by factors.
    """

    rows: dict[str, str]
    rates: list[float]
    epochs: float
    logarithmic: bool

    def text(self) -> str:
        lines = [f"{name:12}{value}" for name, value in self.rows.items()]
        return "\n".join([*lines, "", *self._curve()])

    def _curve(self) -> Iterator[str]:
        """The learning rate over the epochs, in letters."""
        scale = math.log10 if self.logarithmic else float
        low = scale(min(self.rates)) if self.logarithmic else 0.0
        high = scale(max(self.rates))
        shown = self.rates[:: POINTS // COLUMNS]
        levels = [round((scale(rate) - low) / max(high - low, 1e-12) * (ROWS - 1)) for rate in shown]
        for row in reversed(range(ROWS)):
            value = low + (high - low) * row / (ROWS - 1)
            label = f"{10**value if self.logarithmic else value:.2g}"
            yield (
                f"{'lr' if row == ROWS - 1 else '':4}{label:>8} |"
                + "".join("*" if x == row else " " for x in levels).rstrip()
            )
        yield f"{'':13}+{'-' * COLUMNS}"
        yield f"{'':14}0{'epochs':^{COLUMNS - 6}}{self.epochs:>5g}"

    def draw(self, path: Path) -> None:
        """Write the learning rate's curve as a picture, .png, .svg or .pdf.

        Raises:
            InputError: another ending.
        """
        if path.suffix not in (".png", ".svg", ".pdf"):
            raise InputError(f"{path}: a curve is written as .png, .svg or .pdf")
        from matplotlib.figure import Figure

        figure = Figure(figsize=(6, 3), layout="constrained")
        axes = figure.subplots()
        axes.plot(np.linspace(0, self.epochs, len(self.rates), endpoint=False), self.rates)
        axes.set(xlabel="epoch", ylabel="learning rate", yscale="log" if self.logarithmic else "linear")
        axes.grid(alpha=0.3)
        with whole_file(path) as temporary:
            figure.savefig(temporary)


def dry_run(config: Config, classes: int = 0, images: int = 0, processes: int = 0) -> DryRun:
    """Build everything a run needs, and write nothing.

    Networks are built without memory, so that also those that do not fit here can be looked at; what starts from files
    is built with it, to see that they fit.

    Args:
        classes, images: if given, so many identities and images stand in for the data; then files that weights start
            from are not opened either.
        processes: that would share the batch and the classes; 0 takes those of this run.

    Raises:
        InputError: a part of the config cannot be made.
    """
    device = find_device(config.train.device)
    warn_if_slow(config.train.amp, device)
    processes = processes or distributed.ranks()
    if processes < 1:
        raise InputError(f"{processes} processes cannot train, give 1 or more")
    check_ranks(config, processes)
    data: Dataset = StandIn(classes, images, _sets(config.data.train)) if classes else _opened(config.data.train)
    mode = _mode(config, data)
    sampler = create_sampler(config, data, mode)
    parameter_groups(mode, config.optim)
    create_transforms(config.data.transforms)
    create_contract(config, mode.backbone, data)
    benchmarks = [BENCHMARKS.create(spec) for spec in config.validation.benchmarks]
    check_metric(config.validation.metric, benchmarks)
    per_epoch, total = steps(sampler, config)
    step = config.data.batch_size * config.optim.accumulate
    rows = {
        "images": f"{len(data):,}, {sampler.size:,} an epoch by {config.data.sampler}",
        "identities": f"{len(data.classes):,}",
        "backbone": f"{config.model.backbone}, {_cost(config.model.backbone)}",
        "mode": f"{config.model.mode}: {_parts(mode)}",
        "steps": f"{total:,} ({per_epoch:,} an epoch) of {step:,} images",
        "processes": f"{processes}, {_share(config.data.batch_size, processes)} crops of a batch each",
        "precision": PRECISIONS[find_precision(config.train.amp, device)],
        "memory": _memory(step_memory(mode, config, processes)),
        "validation": ", ".join(benchmark.name for benchmark in benchmarks) or "none",
    }
    at = (part * total // POINTS for part in range(POINTS))
    rates = [lr_at(step, total, per_epoch, config.optim.lr, config.schedule) for step in at]
    falls = config.schedule.name == "step" and min(rates) < max(rates)
    return DryRun(rows, rates, total / per_epoch, falls)


def _share(batch: int, processes: int) -> str:
    least, more = divmod(batch, processes)
    return f"{least} or {least + 1}" if more else f"{least}"


def _sets(spec: str) -> int:
    """How many sets a dataset's spec names."""
    if parse_spec(spec)[0] not in DATASETS:  # a path
        return 1
    sets = DATASETS.option(spec, "sets")
    return len(sets) if sets else SETS.get(parse_spec(spec)[0], 1)


def _opened(text: str) -> Dataset:
    try:
        return open_dataset(text)
    except InputError as error:
        raise InputError(f"{error}; --classes N --images M stand in for data that are not there") from None


def _mode(config: Config, data: Dataset) -> Any:
    fresh = not isinstance(data, StandIn)
    if not fresh and is_features(config.model.teacher):
        raise InputError(
            f"model.teacher: {config.model.teacher} has embeddings of images, which --classes has none of; name the "
            "model that made them, or leave --classes and --images out"
        )
    files = (config.model.start, config.model.start_head) if fresh else ()
    with torch.device("cpu" if any((*files, config.model.teacher)) else "meta"):
        return create_mode(config, data, fresh)


@lru_cache(maxsize=256)
def _cost(spec: str) -> str:
    with torch.device("meta"):
        network: Any = BACKBONES.create(spec)
    found = count(network, network.input_size)
    return f"{found.parameters:,} parameters, {found.macs:,} multiply-adds a crop"


def _parts(mode: nn.Module) -> str:
    """What a mode has beside the backbone, by name, in numbers that it learns or remembers."""
    sizes = {
        name: sum(tensor.numel() for tensor in (*part.parameters(), *part.buffers()))
        for name, part in mode.named_children()
        if part is not mode.backbone
    }
    told = ", ".join(f"{name} of {size:,} numbers" for name, size in sizes.items() if size)
    return told or "nothing beside the backbone"


def _memory(memory: StepMemory) -> str:
    told = ", ".join(f"{name} {_bytes(size)}" for name, size in vars(memory).items() if size)
    return f"about {_bytes(memory.total)} a process: {told}"


def _bytes(size: int) -> str:
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.0f} MB"
