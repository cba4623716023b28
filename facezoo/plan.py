"""What a config would train, before anything is trained."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.modules.batchnorm import _BatchNorm

from facezoo import distributed
from facezoo.align import shows, template_points
from facezoo.checkpoint import load_model, load_weights
from facezoo.config import Config, ModelConfig
from facezoo.data.dataset import Dataset
from facezoo.data.samplers import Sampler
from facezoo.data.side_by_side import class_sets, people
from facezoo.distillation import Teacher, kinds
from facezoo.head_file import HeadFile
from facezoo.heads import Classifier, create_embedding_losses, create_head
from facezoo.recipes import recipes
from facezoo.registry import BACKBONES, EMBEDDERS, LOSSES, MODES, SAMPLERS, parse_spec
from facezoo.teacher import create_teacher
from facezoo.types import Contract, InputError

log = logging.getLogger(__name__)


def create_sampler(config: Config, data: Dataset, mode: Any) -> Sampler:
    """Which samples every epoch takes.

    Args:
        mode: that the batches are for.

    Raises:
        InputError: the sampler cannot be made for these data, leaves their weights without effect, or does not make
            the batches that the mode takes.
    """
    spec = config.data.sampler
    given = {
        "labels": data.labels,
        "shards": data.shards,
        "weights": data.weights,
        "source": data.source,
        "classes": data.classes,
        "batch_size": config.data.batch_size,
        "accumulate": config.optim.accumulate,
        "seed": config.train.seed,
    }
    if data.weights is not None and "weights" not in SAMPLERS.taken(spec, given):
        raise InputError(f"data.sampler: {spec!r} does not take the weights of the data; write shuffle, or no weights")
    sampler = SAMPLERS.create_for(spec, **given)
    mode.check_order(lambda: torch.as_tensor(data.labels[sampler.epoch(0)[: sampler.size // sampler.batches]]))
    if config.data.batch_size == 1 and any(isinstance(part, _BatchNorm) for part in mode.backbone.modules()):
        raise InputError("data.batch_size is 1, it must be at least 2: BatchNorm has no statistics of one crop")
    if mode.own_negatives and (SAMPLERS.option(spec, "exclude") or 0) < mode.queue and distributed.is_first():
        log.warning(
            "data.sampler: %s lets an identity come again while it is in the queue, and its own prototypes count as "
            "negatives; write exclude=%d, or mask_duplicates=true in model.mode",
            spec,
            mode.queue,
        )
    return sampler


def steps(sampler: Sampler, config: Config) -> tuple[int, int]:
    """Steps of the optimiser an epoch, and of the whole run."""
    per_epoch = sampler.batches // config.optim.accumulate
    return per_epoch, max(1, round(config.train.epochs * per_epoch))


@dataclass(frozen=True)
class Need:
    """Something that a mode may need.

    Attributes:
        entries: of `[model]`, which have an effect in the modes that need this.
        make: from the config, the data, the network, and whether the run is a fresh one.
        wanted: whether the options of the mode leave a use for it.
    """

    entries: tuple[str, ...]
    make: Callable[[Config, Dataset, Any, bool], Any]
    wanted: Callable[[Config], bool] = lambda config: True


def _classifier(config: Config, data: Dataset, backbone: Any, fresh: bool) -> Classifier:
    model = config.model
    head = create_head(
        model.head,
        backbone.embedding_dim,
        len(data.classes),
        model.loss,
        sample_rate=model.sample_rate,
        sub_centres=model.sub_centres,
        centres=model.centres,
        spaces=data.spaces,
    )
    if model.start_head and fresh:
        HeadFile.read(Path(model.start_head)).fill(head, data.classes)
    return head


def _centres(config: Config, data: Dataset, backbone: Any, fresh: bool) -> torch.Tensor:
    """(C, D) of `model.start_head`, for modes that leave network and centres as they are."""
    model = config.model
    if not (model.start and model.start_head):
        raise InputError(f"mode {model.mode} starts from a finished network: give model.start and model.start_head")
    if not fresh:  # the state has them
        return torch.empty(len(data.classes), backbone.embedding_dim)
    centres = HeadFile.read(Path(model.start_head)).only(data.classes).weight.float()
    if centres.shape[1:] != (backbone.embedding_dim,):
        raise InputError(
            f"model.start_head: centres of {' x '.join(map(str, centres.shape[1:]))} numbers, mode {model.mode} takes "
            f"one of {backbone.embedding_dim} a class"
        )
    return centres


def _teacher(config: Config, data: Dataset, backbone: Any, fresh: bool) -> Teacher:
    model, wanted = config.model, {}
    if model.teacher and parse_spec(model.teacher)[0] not in EMBEDDERS:
        wanted["teacher"] = model.teacher
    if model.teacher_head and "logits" in kinds(model.distillation):
        wanted["teacher_head"] = model.teacher_head
    for entry, name in wanted.items():
        if not Path(name).exists():
            raise InputError(f"model.{entry}: {name} is not there; {_made_by(name)}")
    return create_teacher(config, data, create_contract(config, backbone, data))


def _made_by(name: str) -> str:
    """How to make a teacher that is missing: a run folder that has the name of a recipe by that recipe."""
    recipe = Path(name).name
    if recipe in {recipe.name for recipe in recipes()}:
        return f"train it first: facezoo train {recipe}"
    return f"train it first, or extract a model's embeddings of the data: facezoo extract MODEL DATA {name}"


def _scores_logits(config: Config) -> bool:
    """Whether labels or a teacher's logits stand against a classifier's."""
    return MODES.option(config.model.mode, "labels") != 0 or "logits" in kinds(config.model.distillation)


def _embedding_losses(config: Config, data: Dataset, backbone: Any, fresh: bool) -> torch.nn.ModuleDict:
    for spec in config.model.embedding_losses:
        if (name := parse_spec(spec)[0]) in LOSSES:
            raise InputError(
                f"model.embedding_losses: {name} is a loss over class centres; write model.loss = {spec!r} in mode "
                "conventional"
            )
    return create_embedding_losses(config.model.embedding_losses, len(data.classes), backbone.embedding_dim)


NEEDS: dict[str, Need] = {
    "head": Need(("head", "loss", "start_head", "sample_rate", "sub_centres", "centres"), _classifier, _scores_logits),
    "margin": Need(("head",), lambda config, data, backbone, fresh: config.model.head),
    "embedding_losses": Need(("embedding_losses",), _embedding_losses),
    "centres": Need(("start_head",), _centres),
    "backbone_spec": Need((), lambda config, data, backbone, fresh: config.model.backbone),
    "sets": Need((), lambda config, data, backbone, fresh: class_sets(data.labels, data.source)),
    "people": Need((), lambda config, data, backbone, fresh: people(data.classes)),
    "teacher": Need(("teacher", "teacher_head"), _teacher),
    "distillation": Need(("distillation",), lambda config, data, backbone, fresh: config.model.distillation),
}
"""What a mode can name among its arguments, beside the backbone."""


def create_mode(config: Config, data: Dataset, fresh: bool = True) -> Any:
    """The network in the mode of the config, with what the mode needs.

    Args:
        fresh: start from `model.start` and `model.start_head`.

    Raises:
        InputError: a part cannot be made, or an entry of `[model]` has no effect in this mode.
    """
    model = config.model
    needs = {name: need for name, need in MODES.taken(model.mode, NEEDS).items() if need.wanted(config)}
    heeded = {entry for need in needs.values() for entry in need.entries}
    for entry in sorted({entry for need in NEEDS.values() for entry in need.entries} - heeded):
        if getattr(model, entry) != getattr(ModelConfig(), entry):
            raise InputError(f"model.{entry} has no effect in mode {model.mode}; leave it out")
    backbone = create_backbone(config, fresh)
    made = {name: need.make(config, data, backbone, fresh) for name, need in needs.items()}
    return MODES.create_for(model.mode, backbone=backbone, **made)


def create_contract(config: Config, backbone: Any, data: Any) -> Contract:
    """What the model will expect and give.

    Raises:
        InputError: unknown alignment template, or one that the data's crops do not show.
    """
    size = tuple(backbone.input_size)
    template = config.model.template or config.data.template
    template_points(template, size)
    if not shows(config.data.template, template):
        raise InputError(
            f"model.template is {template!r}, which crops aligned to {config.data.template!r} do not show; align the "
            "photos anew"
        )
    kind = config.data.train.partition(":")[0]
    return Contract(
        name=config.name,
        input_size=size,
        template=template,
        embedding_dim=backbone.embedding_dim,
        flip=config.validation.flip,
        training_data=f"{kind} of {len(data):,} images of {len(data.classes):,} identities",
    )


def create_backbone(config: Config, fresh: bool = True) -> Any:
    """The network, with random weights or those of `model.start`."""
    backbone = BACKBONES.create(config.model.backbone)
    if config.model.start and fresh:
        weights, _ = load_model(Path(config.model.start))
        load_weights(backbone, weights.state_dict(), config.model.start)
    return backbone


def check_ranks(config: Config, ranks: int) -> None:
    """Refuse a batch that leaves a process with one crop, of which BatchNorm has no statistics.

    Raises:
        InputError: there are too many processes.
    """
    if ranks > 1 and config.data.batch_size < 2 * ranks:
        raise InputError(
            f"data.batch_size is {config.data.batch_size}, it must be at least {2 * ranks}: two crops for each of "
            f"{ranks} processes"
        )


def find_device(name: str) -> torch.device:
    """The device of `train.device`.

    Raises:
        InputError: there is no such device here.
    """
    if name in ("auto", "cuda") and torch.cuda.is_available():
        return torch.device("cuda", torch.cuda.current_device())
    if name == "auto":
        return torch.device("cpu")
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # as the device's part of torch has it
        raise InputError(f"train.device is {name!r}: {str(error).splitlines()[0]}") from None
    return torch.device(name)


LARGER_IS_BETTER = ("accuracy", "auc", "d_prime", "tar@")
"""Metrics whose name begins so can choose the best model."""


def check_metric(metric: str, benchmarks: Sequence[Any]) -> None:
    """Refuse a `validation.metric` that cannot choose the best model on these benchmarks, before anything is trained.

    Raises:
        InputError: a benchmark does not measure it, or it is not better when larger.
    """
    for benchmark in benchmarks:
        noise = np.random.default_rng(0).normal(size=(len(benchmark.photos), 2))
        measured = replace(benchmark, resamples=0).score(noise).metrics
        known = [name for name, value in measured.items() if value is not None and name.startswith(LARGER_IS_BETTER)]
        if metric not in known:
            raise InputError(
                f"validation.metric: {benchmark.name} does not measure {metric!r}, or it is not better when larger; "
                f"choose one of: {', '.join(known)}"
            )
