"""A training run as data: frozen dataclasses, read from TOML, strict about keys and types."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

import tomli_w
from pydantic import TypeAdapter, ValidationError

from facezoo.files import parse_toml, read_toml
from facezoo.registry import LIST_WANTED
from facezoo.types import InputError

Amp: TypeAlias = Literal["off", "auto", "bf16", "fp16"]


@dataclass(frozen=True)
class ModelConfig:
    """What is trained.

    Attributes:
        backbone: spec string, such as `mobilefacenet:embedding_dim=512`.
        head: spec string of the margin, such as `arcface:margin=0.5,scale=64`.
        loss: spec string of what the logits are scored with.
        embedding_losses: spec strings of losses between embeddings that are added, such as `centre:weight=0.003`.
        mode: spec string of how a batch becomes losses.
        teacher: what mode `distillation` learns from: a name, model file, run folder, or folder of features.
        teacher_head: the teacher's head file or run folder, for losses between logits.
        distillation: spec strings of losses between student and teacher, such as `cosine:weight=10`.
        start: model file whose weights the backbone starts from; empty for a fresh start.
        start_head: head file or run folder whose centres the classes of the same names start from.
        template: alignment template that the model wants, if it is not that of the data: `arcface-upper` cuts the
            upper half out of crops aligned to `arcface`.
        sample_rate: share of its classes that each process takes part with in a step (Partial FC); 1 takes all.
        sub_centres: centres a class, of which the nearest counts; 1 is off.
        centres: how class centres are stored.
    """

    backbone: str = "mobilefacenet"
    head: str = "arcface"
    loss: str = "cross_entropy"
    embedding_losses: list[str] = field(default_factory=list)
    mode: str = "conventional"
    teacher: str = ""
    teacher_head: str = ""
    distillation: list[str] = field(default_factory=list)
    start: str = ""
    start_head: str = ""
    template: str = ""
    sample_rate: float = 1.0
    sub_centres: int = 1
    centres: Literal["fp32", "bf16"] = "fp32"


@dataclass(frozen=True)
class DataConfig:
    """What it is trained on.

    Attributes:
        train: spec string of the dataset, such as `folder:root=data/faces`, or a path, recognised by its content.
        sampler: spec string of which samples an epoch takes, such as `balanced` or `identities:each=4`.
        transforms: spec strings, applied in order.
        batch_size: crops per step of the optimiser over all processes, before accumulation.
        workers: processes that read and augment; 0 reads in the training process.
        template: the alignment template the crops were made with; it goes into the model's contract, unless
            `model.template` is a part of it.
    """

    train: str
    sampler: str = "shuffle"
    transforms: list[str] = field(default_factory=lambda: ["flip"])
    batch_size: int = 64
    workers: int = 1
    template: str = "arcface"


@dataclass(frozen=True)
class OptimConfig:
    """How the weights move.

    Attributes:
        name: optimiser.
        lr: learning rate after warm-up.
        groups: rules for parts, in order, such as `head:lr_scale=10` and `backbone.stem:lr_scale=0`; see
            `facezoo.optim.groups`.
        momentum: of SGD.
        betas: of AdamW.
        weight_decay: on weights of convolutions, linear layers and class centres.
        decay_norms: also decay norm layers, biases and PReLU slopes, as FaceX-Zoo and TFace's recipes do.
        clip_norm: largest gradient norm of the backbone; 0 does not clip.
        accumulate: batches whose gradients are averaged in one step.
        ema: decay of the moving average of the weights that is validated and saved; 0 is off.
        swa: epoch from whose end on the weights at the end of every epoch are averaged, all alike; the average is
            validated and saved. https://arxiv.org/abs/1803.05407; 0 is off.
    """

    name: Literal["sgd", "adamw"] = "sgd"
    lr: float = 0.1
    groups: list[str] = field(default_factory=list)
    momentum: float = 0.9
    nesterov: bool = False
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 5e-4
    decay_norms: bool = False
    clip_norm: float = 0.0
    accumulate: int = 1
    ema: float = 0.0
    swa: float = 0.0


@dataclass(frozen=True)
class ScheduleConfig:
    """How the learning rate runs, per step.

    Attributes:
        name: step, cosine, polynomial or constant.
        warmup_epochs: linear from lr / steps to lr.
        milestones: epochs after which `step` multiplies by gamma.
        power: of `polynomial`; 1 is linear.
        final: `cosine` and `polynomial` end at this share of lr.
    """

    name: Literal["step", "cosine", "polynomial", "constant"] = "cosine"
    warmup_epochs: float = 0.0
    milestones: list[float] = field(default_factory=list)
    gamma: float = 0.1
    power: float = 1.0
    final: float = 0.0


@dataclass(frozen=True)
class TrainConfig:
    """The loop.

    Attributes:
        epochs: passes over the data; fractions are allowed.
        seed: of weights, order and augmentation.
        device: `auto` takes a GPU where there is one.
        amp: autocast of the backbone; fp16 brings a gradient scaler, `auto` is bf16 on a device that is fast in it and
            off elsewhere. The head stays float32.
        channels_last: memory format of the convolutions.
        compile: torch.compile the backbone.
        threads: of torch on the CPU; 0 leaves its choice.
        log_every: steps between lines in metrics.jsonl and TensorBoard.
        save_every: steps between states to resume from; 0 saves at the end of each epoch.
    """

    epochs: float = 20.0
    seed: int = 0
    device: str = "auto"
    amp: Amp = "off"
    channels_last: bool = True
    compile: bool = False
    threads: int = 0
    log_every: int = 20
    save_every: int = 0


@dataclass(frozen=True)
class ValidationConfig:
    """What is measured on the way.

    Attributes:
        benchmarks: spec strings; the mean of `metric` over them chooses the best model.
        every_epochs: epochs between validations; the last step is always validated.
        metric: of the reports; larger is better.
        flip: add the embedding of the mirror image, as in the final evaluation.
    """

    benchmarks: list[str] = field(default_factory=list)
    every_epochs: float = 1.0
    metric: str = "accuracy"
    flip: bool = True


@dataclass(frozen=True)
class Config:
    """One run."""

    data: DataConfig
    name: str = "facezoo-model"
    model: ModelConfig = field(default_factory=ModelConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)

    def __post_init__(self) -> None:
        positive = {
            "data.batch_size": self.data.batch_size,
            "optim.accumulate": self.optim.accumulate,
            "optim.lr": self.optim.lr,
            "train.epochs": self.train.epochs,
            "train.log_every": self.train.log_every,
            "validation.every_epochs": self.validation.every_epochs,
        }
        for key, value in positive.items():
            if not value > 0:
                raise InputError(f"{key} is {value}, it must be above 0")
        for section in ("data", "optim", "schedule", "train"):
            for name, value in vars(getattr(self, section)).items():
                if isinstance(value, int | float) and not value >= 0:
                    raise InputError(f"{section}.{name} is {value}, it must be at least 0")
        milestones = self.schedule.milestones
        if milestones != sorted(set(milestones)) or any(epoch < 0 for epoch in milestones):
            raise InputError(f"schedule.milestones is {milestones}, it must be epochs in rising order")
        if self.schedule.warmup_epochs > self.train.epochs:
            raise InputError(
                f"schedule.warmup_epochs is {self.schedule.warmup_epochs:g}, it must be at most train.epochs = "
                f"{self.train.epochs:g}"
            )
        _refuse_idle(self.optim, "optim", OPTIM_ONLY)
        _refuse_idle(self.schedule, "schedule", SCHEDULE_ONLY)
        if self.schedule.name == "step" and not milestones:
            raise InputError("schedule.name is step, which needs schedule.milestones; give epochs, or write constant")
        for key, shares in {"momentum": (self.optim.momentum,), "betas": self.optim.betas}.items():
            if not all(0 <= share < 1 for share in shares):
                raise InputError(f"optim.{key} is {getattr(self.optim, key)}, it must be at least 0 and below 1")
        if self.optim.nesterov and not self.optim.momentum:
            raise InputError("optim.nesterov needs optim.momentum above 0")
        if not 0 <= self.optim.ema < 1:
            raise InputError(f"optim.ema is {self.optim.ema}, it must be in [0, 1)")
        if self.optim.swa and self.optim.ema:
            raise InputError("optim.swa and optim.ema are two averages of the weights, give one")
        if self.optim.swa and self.train.epochs < 2:
            raise InputError(
                f"optim.swa averages the weights of two epochs at least, and train.epochs is {self.train.epochs:g}"
            )
        if self.optim.swa and self.optim.swa > self.train.epochs - 1:
            raise InputError(
                f"optim.swa is {self.optim.swa}, it must be at most {self.train.epochs - 1:g}: of train.epochs = "
                f"{self.train.epochs:g} it must average two at least"
            )


OPTIM_ONLY: dict[str, tuple[str, ...]] = {"momentum": ("sgd",), "nesterov": ("sgd",), "betas": ("adamw",)}
SCHEDULE_ONLY: dict[str, tuple[str, ...]] = {
    "milestones": ("step",),
    "gamma": ("step",),
    "power": ("polynomial",),
    "final": ("cosine", "polynomial"),
}


def _refuse_idle(section: OptimConfig | ScheduleConfig, name: str, only: dict[str, tuple[str, ...]]) -> None:
    """Refuse what is set and has no effect under the section's name; defaults are nobody's wish."""
    defaults = type(section)()
    for key, names in only.items():
        value = getattr(section, key)
        if section.name not in names and value != getattr(defaults, key):
            raise InputError(
                f"{name}.{key} is {value}, which has an effect with {' or '.join(names)} only: "
                f"{name}.name is {section.name}"
            )


def load_config(path: Path, overrides: dict[str, str] | None = None) -> Config:
    """Read a TOML file; `overrides` maps `section.key` to text, read as TOML where it is TOML, else as a string."""
    values = read_toml(path)
    for key, text in (overrides or {}).items():
        _put(values, key, text)
    return config_from_dict(values, str(path))


def config_from_dict(values: dict[str, Any], name: str = "config") -> Config:
    _refuse_unknown(Config, values, name)
    try:
        return TypeAdapter(Config).validate_json(json.dumps(values), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        if first["type"] == "value_error":  # of `Config.__post_init__`, a sentence already
            raise InputError(f"{name}: {first['ctx']['error']}") from None
        where = ".".join(str(part) for part in first["loc"])
        if first["type"] in ("list_type", "tuple_type"):
            raise InputError(f"{name}: {where} is {first['input']!r}, {LIST_WANTED}") from None
        raise InputError(f"{name}: {where}: {first['msg']}, got {first['input']!r}") from None


def config_to_toml(config: Config) -> str:
    return tomli_w.dumps(dataclasses.asdict(config))


def _put(values: dict[str, Any], key: str, text: str) -> None:
    *sections, last = key.split(".")
    table = values
    for section in sections:
        table = table.setdefault(section, {})
        if not isinstance(table, dict):
            raise InputError(f"--{key}: {section} is not a section")
    try:
        table[last] = parse_toml(f"value = {text}")["value"]
    except ValueError:  # a bare word, such as a spec string
        table[last] = text


def _refuse_unknown(kind: type, values: dict[str, Any], name: str, prefix: str = "") -> None:
    known = {f.name: f for f in dataclasses.fields(kind)}
    for key, value in values.items():
        if key not in known:
            raise InputError(f"{name}: unknown key {prefix}{key!r}; known: {', '.join(known)}")
        section = SECTIONS.get(key) if kind is Config else None
        if section is not None and isinstance(value, dict):
            _refuse_unknown(section, value, name, f"{key}.")


SECTIONS: dict[str, type] = {
    "data": DataConfig,
    "model": ModelConfig,
    "optim": OptimConfig,
    "schedule": ScheduleConfig,
    "train": TrainConfig,
    "validation": ValidationConfig,
}
