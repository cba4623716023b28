"""The folder of a training run: config, metrics, TensorBoard events, models, and the state to resume from."""

from __future__ import annotations

import json
import os
import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from filelock import FileLock, Timeout

from facezoo import distributed
from facezoo.config import Config, config_to_toml, load_config
from facezoo.files import named, whole_file, write_text
from facezoo.types import InputError

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class RunFolder:
    """`config.toml`, `classes.json`, `metrics.jsonl`, `tensorboard/`, `reports/`, `best.safetensors`,
    `last.safetensors`, `state/`.

    Of several ranks the first one writes; each writes its own part of the state.

    Args:
        path: the folder; made by `begin`.
        config: what is run. A folder with a model or state of another config is refused, unless it differs only in
            what decides nothing of the result: `data.workers`, `train.log_every`, `train.save_every`. One in which no
            run came that far is taken over.
    """

    def __init__(self, path: Path, config: Config) -> None:
        self.path = Path(path)
        self.state_file = self.path / "state" / "last.pt"
        self.metrics_file = self.path / "metrics.jsonl"
        self._writer: SummaryWriter | None = None
        self._lock = FileLock(self.path / ".lock")
        self.config, self._stored = config, self.path / "config.toml"
        if self._stored.exists() and self._has_result() and _decisive(load_config(self._stored)) != _decisive(config):
            raise InputError(
                f"{self.path}: holds a run of another config (see {self._stored}); choose another folder or remove it"
            )

    def begin(self) -> None:
        """Take the folder and write the config, once everything that it names could be made.

        Raises:
            InputError: another process trains in it. Its lock goes with the process, however that ends.
        """
        if distributed.is_first():
            self.path.mkdir(parents=True, exist_ok=True)
            try:
                self._lock.acquire(blocking=False)
            except Timeout:
                raise InputError(f"{self.path}: another process trains in this folder") from None
            write_text(self._stored, config_to_toml(self.config))
        distributed.barrier()

    def _has_result(self) -> bool:
        return any(
            path.exists() for path in (self.state_file, self.path / "best.safetensors", self.path / "last.safetensors")
        )

    def is_fresh(self) -> bool:
        """Whether no state to go on from has been saved."""
        return not self.state_file.exists()

    def load_state(self) -> dict[str, Any] | None:
        """The newest training state, or None in a fresh folder; what belongs to ranks is read by `load_part`.

        Raises:
            InputError: it is not a state of this version.
        """
        if not self.state_file.exists():
            return None
        state = torch.load(self.state_file, map_location="cpu", weights_only=True)
        if not {"parts", "average"} <= state.keys():
            raise InputError(f"{self.state_file}: written by an earlier version of facezoo; choose another folder")
        return state

    def load_part(self, step: int, part: int, parts: int) -> dict[str, Any]:
        """What rank `part` of `parts` saved at a step. Tensors stay in the file until they are used.

        Raises:
            InputError: the file is missing.
        """
        path = self._part_file(step, part, parts)
        if not path.exists():
            raise InputError(f"{path}: missing; the state of the run's processes is not whole, choose another folder")
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True)

    def save_state(self, state: dict[str, Any], own: dict[str, Any]) -> None:
        """Write the state: `own` by every rank, then, once all have, `state` by the first.

        The parts carry the step in their names: until `state` stands, the last state and its parts do.
        """
        step, parts = state["step"], distributed.ranks()
        _save(self._part_file(step, distributed.rank(), parts), own)
        distributed.barrier()
        if not distributed.is_first():
            return
        _save(self.state_file, {**state, "parts": parts})
        kept = {self._part_file(step, part, parts) for part in range(parts)}
        for path in self.state_file.parent.glob("part-*.pt"):
            # A rank that is ahead may be writing the next state's part.
            if path not in kept and int(path.name.split("-")[1]) <= step:
                path.unlink()

    def _part_file(self, step: int, part: int, parts: int) -> Path:
        return self.state_file.parent / f"part-{step:08d}-{part}-of-{parts}.pt"

    def write_classes(self, classes: list[str]) -> None:
        """The names of the classes, in the order of the centres."""
        if distributed.is_first():
            write_text(self.path / "classes.json", json.dumps(classes, ensure_ascii=False))

    def rewind(self, step: int) -> None:
        """Forget what was logged after `step`, and a line that was cut off: the steps will be run again."""
        if not (distributed.is_first() and self.metrics_file.exists()):
            return
        kept = [line for line in self.metrics_file.read_text().splitlines() if 0 <= _step(line) <= step]
        write_text(self.metrics_file, "".join(f"{line}\n" for line in kept))

    def log(self, step: int, values: dict[str, float], start: int = 0) -> None:
        """One line in metrics.jsonl and one point a value in TensorBoard; `start` is where this process began."""
        if not distributed.is_first():
            return
        with named(self.metrics_file), self.metrics_file.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **values}) + "\n")
            file.flush()
            os.fsync(file.fileno())
        if self._writer is None:
            with warnings.catch_warnings():
                # tensorboard's generated protobuf code and its numpy use warn in their own files
                warnings.simplefilter("ignore")
                from torch.utils.tensorboard import SummaryWriter

                # The points of a killed process from here on are hidden: these steps are run again.
                self._writer = SummaryWriter(str(self.path / "tensorboard"), purge_step=start + 1)
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def not_finite(self, step: int, losses: list[str], files: list[str]) -> str:
        """What to tell about a loss that is not finite; the batch's files are written down, for a closer look."""
        path = self.path / "not_finite.txt"
        if distributed.is_first():
            write_text(path, "".join(f"{name}\n" for name in files))
        return (
            f"step {step}: the loss is not finite ({', '.join(losses)}); lower optim.lr, or look at the {len(files)} "
            f"files of its batch in {path}: {', '.join(files[:3])}{', ...' if len(files) > 3 else ''}"
        )

    def close(self) -> None:
        """Finish TensorBoard's file and let others have the folder."""
        if self._writer is not None:
            self._writer.close()
        self._lock.release()


def _save(path: Path, values: dict[str, Any]) -> None:
    with whole_file(path) as temporary, temporary.open("wb") as file:
        try:
            torch.save(values, file)
        except RuntimeError as error:  # of a disk that is full torch tells the place where it stopped
            raise error.__context__ if isinstance(error.__context__, OSError) else error from None


def _decisive(config: Config) -> Config:
    """The config without what may differ between the parts of one run."""
    data, train = replace(config.data, workers=0), replace(config.train, log_every=1, save_every=0)
    return replace(config, data=data, train=train)


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of a run's metrics.jsonl."""
    return [json.loads(line) for line in Path(path).read_text().splitlines() if _step(line) >= 0]


def _step(line: str) -> int:
    """The step of a log line; -1 for one that was cut off when the process was killed."""
    try:
        return int(json.loads(line)["step"])
    except json.JSONDecodeError:
        return -1
