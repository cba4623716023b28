"""Class centres as a file of their own: which people a head knows, and how to change them for fine-tuning."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from facezoo.checkpoint import save_tensors
from facezoo.config import load_config
from facezoo.heads.classifier import Classifier
from facezoo.registry import HEADS, LOSSES
from facezoo.run import RunFolder
from facezoo.types import InputError

log = logging.getLogger(__name__)

HEAD_KEY = "facezoo.head"
"""Metadata key of the margin's spec string."""

CLASSES_KEY = "facezoo.classes"
"""Metadata key of the classes' names, a JSON list in the order of the centres."""

LOSS_KEY = "facezoo.loss"
"""Metadata key of the loss's spec string; its tensors have names with `loss.` before them."""


@dataclass(frozen=True, eq=False)
class HeadFile:
    """A head without its network.

    Attributes:
        spec: the margin's spec string.
        classes: C names, in the order of the centres.
        weight: centres (C, D), or (C, K, D) with sub-centres.
        margin: the margin's parameters and buffers by name.
        loss: the loss's spec string; empty where it is not known.
        loss_state: the loss's parameters and buffers by name, such as UniFace's bias.
    """

    spec: str
    classes: list[str]
    weight: Tensor
    margin: dict[str, Tensor] = field(default_factory=dict)
    loss: str = ""
    loss_state: dict[str, Tensor] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> HeadFile:
        """A head from its file, or from the newest state of a run folder.

        Raises:
            InputError: neither of the two, or names and centres that do not fit together.
        """
        path = Path(path)
        found = cls._of_run(path) if path.is_dir() else cls._of_file(path)
        found._check(path)
        return found

    def _check(self, path: Path) -> None:
        if len(self.classes) != len(self.weight):
            raise InputError(f"{path}: {len(self.weight)} centres and {len(self.classes)} names of classes")
        _refuse_twice(self.classes, f"{path}: class")

    @classmethod
    def _of_file(cls, path: Path) -> HeadFile:
        try:
            with safetensors.safe_open(path, framework="pt") as file:
                header = file.metadata() or {}
        except FileNotFoundError:
            raise InputError(f"{path}: no such file") from None
        except safetensors.SafetensorError as error:
            raise InputError(f"{path}: not a readable safetensors file ({error})") from None
        if HEAD_KEY not in header or CLASSES_KEY not in header:
            raise InputError(f"{path}: not a head file; facezoo head export RUN FILE writes one from a run folder")
        tensors = safetensors.torch.load_file(path)
        prefix = "loss."
        loss_state = {k.removeprefix(prefix): tensors.pop(k) for k in list(tensors) if k.startswith(prefix)}
        classes, weight = json.loads(header[CLASSES_KEY]), tensors.pop("weight")
        return cls(header[HEAD_KEY], classes, weight, tensors, header.get(LOSS_KEY, ""), loss_state)

    @classmethod
    def _of_run(cls, path: Path) -> HeadFile:
        if not (path / "config.toml").is_file():
            raise InputError(f"{path}: not a run folder, there is no config.toml in it")
        config = load_config(path / "config.toml")
        folder = RunFolder(path, config)
        state = folder.load_state()
        names = path / "classes.json"
        if state is None or not names.exists():
            raise InputError(f"{path}: the run has not saved a state yet")
        parts = [folder.load_part(state["step"], part, state["parts"])["rows"] for part in range(state["parts"])]
        if not all("head.weight" in part for part in parts):
            raise InputError(f"{path}: its mode {config.model.mode!r} has no class centres")
        margin, loss_state = (
            {k.removeprefix(prefix): v.clone() for k, v in state["mode"].items() if k.startswith(prefix)}
            for prefix in ("head.margin.", "head.loss.")
        )
        weight = torch.cat([part["head.weight"] for part in parts])
        classes = json.loads(names.read_text(encoding="utf-8"))
        return cls(config.model.head, classes, weight, margin, config.model.loss, loss_state)

    def write(self, path: Path) -> None:
        """Write the head as a file.

        Raises:
            InputError: names and centres do not fit together.
        """
        self._check(path)
        of_loss = {f"loss.{name}": tensor for name, tensor in self.loss_state.items()}
        tensors = {"weight": self.weight, **self.margin, **of_loss}
        header = {HEAD_KEY: self.spec, CLASSES_KEY: json.dumps(self.classes, ensure_ascii=False)}
        if self.loss:
            header[LOSS_KEY] = self.loss
        save_tensors(Path(path), {name: tensor.contiguous() for name, tensor in tensors.items()}, header)

    @property
    def embedding_dim(self) -> int:
        return self.weight.shape[-1]

    @property
    def sub_centres(self) -> int:
        return self.weight.shape[1] if self.weight.dim() == 3 else 1

    def per_class(self) -> set[str]:
        """Names of the margin's tensors with one entry a class."""
        return set(getattr(self._fresh(len(self.classes)), "per_class", ())) & set(self.margin)

    def _fresh(self, classes: int) -> Any:
        return HEADS.create_for(self.spec, num_classes=classes)

    def places(self, names: Sequence[str]) -> list[int]:
        """Where the classes are.

        Raises:
            InputError: one of them is not in the head, or is named twice.
        """
        _refuse_twice(names, "class")
        known = {name: place for place, name in enumerate(self.classes)}
        if missing := [name for name in names if name not in known]:
            raise InputError(f"the head has no class {missing[0]!r} (and {len(missing) - 1} more of those named)")
        return [known[name] for name in names]

    def remove(self, names: Sequence[str]) -> HeadFile:
        """Without these classes."""
        gone = set(self.places(names))
        kept = [place for place in range(len(self.classes)) if place not in gone]
        if not kept:
            raise InputError("every class would be removed; a head needs at least one")
        return self._taken(kept)

    def only(self, names: Sequence[str]) -> HeadFile:
        """These classes alone, in this order."""
        return self._taken(self.places(names))

    def merge(self, names: Sequence[str], into: str) -> HeadFile:
        """One class in place of several, at the first one's place: the mean of their directions and lengths.

        Sub-centres go together in their order.
        """
        places = self.places(names)
        if len(places) < 2:
            raise InputError("merge: name at least two different classes")
        if into in self.classes and into not in names:
            raise InputError(f"merge: the head has another class {into!r}")
        rows = self.weight[places].float()
        lengths = torch.linalg.vector_norm(rows, dim=-1, keepdim=True)
        direction = torch.nn.functional.normalize((rows / lengths.clamp(min=1e-12)).mean(0), dim=-1)
        weight = self.weight.clone()
        weight[places[0]] = (direction * lengths.mean(0)).to(weight.dtype)
        margin = dict(self.margin)
        for name in self.per_class():
            margin[name] = margin[name].clone()
            margin[name][places[0]] = margin[name][places].mean(0)
        classes = list(self.classes)
        classes[places[0]] = into
        gone = set(places[1:])
        merged = replace(self, classes=classes, weight=weight, margin=margin)
        return merged._taken([place for place in range(len(classes)) if place not in gone])

    def add(self, names: Sequence[str], centres: Tensor | None = None) -> HeadFile:
        """With further classes at the end.

        Args:
            centres: their directions (n, D), such as the mean of their photos' embeddings; they get the median
                length of the centres there are. Without, they are drawn as for a new head.

        Raises:
            InputError: a name is in the head already or given twice, or the centres do not fit.
        """
        _refuse_twice(names, "class")
        known = set(self.classes)
        if twice := [name for name in names if name in known]:
            raise InputError(f"the head has a class {twice[0]!r} already (and {len(twice) - 1} more of those named)")
        if not names:
            raise InputError("no class to add")
        if centres is None:
            rows = torch.randn(len(names), *self.weight.shape[1:]) * 0.01
        else:
            if centres.shape != (len(names), self.embedding_dim):
                raise InputError(
                    f"the centres have {self.embedding_dim} dimensions, the embeddings {centres.shape[-1]}"
                )
            length = torch.linalg.vector_norm(self.weight.float(), dim=-1).median()
            rows = torch.nn.functional.normalize(centres.float(), dim=1) * length
            if self.sub_centres > 1:
                rows = rows[:, None].expand(-1, self.sub_centres, -1)
        margin, fresh = dict(self.margin), self._fresh(len(self.classes) + len(names)).state_dict()
        for name in self.per_class():
            margin[name] = torch.cat([margin[name], fresh[name][-len(names) :].to(margin[name].dtype)])
        weight = torch.cat([self.weight, rows.to(self.weight.dtype)])
        return replace(self, classes=[*self.classes, *names], weight=weight, margin=margin)

    def _taken(self, places: list[int]) -> HeadFile:
        per_class = self.per_class()
        margin = {name: tensor[places] if name in per_class else tensor for name, tensor in self.margin.items()}
        return replace(self, classes=[self.classes[p] for p in places], weight=self.weight[places], margin=margin)

    @torch.no_grad()
    def fill(self, head: Classifier, classes: Sequence[str], entry: str = "model.start_head") -> None:
        """Give the classes of a classifier the centres that classes of the same names have here.

        Classes that are only here are left out, those that are only there keep their own centres. What the margin has
        learnt or counted goes along if both margins are of one kind, and so for the loss; but for what follows from the
        options and the number of classes, see `facezoo.heads.margin`.

        Args:
            head: the classifier.
            classes: its classes' names.
            entry: of the config, for messages.

        Raises:
            InputError: other dimensions or sub-centres, or no class in common.
        """
        if (head.embedding_dim, head.sub_centres) != (self.embedding_dim, self.sub_centres):
            raise InputError(
                f"{entry}: {self.sub_centres} centres a class of {self.embedding_dim} dimensions, the run has "
                f"{head.sub_centres} of {head.embedding_dim}"
            )
        known = {name: place for place, name in enumerate(self.classes)}
        pairs = [(there, known[name]) for there, name in enumerate(classes) if name in known]
        if not pairs:
            raise InputError(f"{entry}: none of the data's {len(classes)} classes is in it")
        log.info("%s: %d of %d classes are taken from it", entry, len(pairs), len(classes))
        there, here = torch.tensor(pairs).T
        own = (there >= head.first) & (there < head.last)
        head.weight[there[own] - head.first] = self.weight[here[own]].to(head.weight.dtype)
        _carry_over(self.margin, self._fresh(len(self.classes)), head.margin, here, there)
        if self.loss:
            loss = LOSSES.create_for(self.loss, num_classes=len(self.classes))
            _carry_over(self.loss_state, loss, head.loss, here, there)


def warn_of_two_runs(head: Path, model: str) -> None:
    """Say so if head and model are known to be of different runs: embeddings are compared with their own run's centres.

    They may be meant: a head that was trained on a frozen network fits the network's own run too.

    Args:
        head: head file or run folder.
        model: name, file or run folder.
    """
    runs = [_run_of(Path(head)), _run_of(Path(model))]
    if all(runs) and runs[0] != runs[1]:
        log.warning(
            "the head is of %s and the model of %s: their cosines mean little, unless one froze the other's network",
            head,
            model,
        )


def _run_of(path: Path) -> Path | None:
    """The run folder that a path is, or lies in."""
    folder = (path if path.is_dir() else path.parent).resolve()
    return folder if path.exists() and (folder / "config.toml").is_file() else None


def _refuse_twice(names: Sequence[str], what: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise InputError(f"{what} {name!r} is named twice; name each class once")
        seen.add(name)


def _carry_over(tensors: dict[str, Tensor], source: nn.Module, target: nn.Module, here: Tensor, there: Tensor) -> None:
    """Copy the state of one margin or loss into another of the same kind; of what is per class the places `here`."""
    if type(source) is not type(target):
        return
    per_class = getattr(source, "per_class", ())
    left_out = {*getattr(source, "determined", ()), *getattr(target, "determined", ())}
    state = target.state_dict()
    for name in tensors.keys() & state.keys() - left_out:
        if name in per_class:
            state[name][there] = tensors[name][here].to(state[name].dtype)
        else:
            state[name].copy_(tensors[name])
