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

from facezoo.config import Config, config_to_toml, load_config
from facezoo.files import whole_file, write_text
from facezoo.types import InputError

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class RunFolder:
    """`config.toml`, `metrics.jsonl`, `tensorboard/`, `reports/`, `best.safetensors`, `last.safetensors`, `state/`.

    Args:
        path: the folder; made by `begin`.
        config: what is run. A folder that holds another config is refused, unless it differs only in what decides
            nothing of the result: `data.workers`, `train.log_every`, `train.save_every`.
    """

    def __init__(self, path: Path, config: Config) -> None:
        self.path = Path(path)
        self.state_file = self.path / "state" / "last.pt"
        self.metrics_file = self.path / "metrics.jsonl"
        self._writer: SummaryWriter | None = None
        self._lock = FileLock(self.path / ".lock")
        self.config, self._stored = config, self.path / "config.toml"
        if self._stored.exists() and _decisive(load_config(self._stored)) != _decisive(config):
            raise InputError(
                f"{self.path}: holds a run of another config (see {self._stored}); choose another folder or remove it"
            )

    def begin(self) -> None:
        """Take the folder and write the config, once everything that it names could be made.

        Raises:
            InputError: another process trains in it. Its lock goes with the process, however that ends.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire(blocking=False)
        except Timeout:
            raise InputError(f"{self.path}: another process trains in this folder") from None
        write_text(self._stored, config_to_toml(self.config))

    def load_state(self) -> dict[str, Any] | None:
        """The newest training state, or None in a fresh folder."""
        if not self.state_file.exists():
            return None
        return torch.load(self.state_file, map_location="cpu", weights_only=True)

    def save_state(self, state: dict[str, Any]) -> None:
        with whole_file(self.state_file) as temporary:
            torch.save(state, temporary)

    def rewind(self, step: int) -> None:
        """Forget what was logged after `step`, and a line that was cut off: the steps will be run again."""
        if not self.metrics_file.exists():
            return
        kept = [line for line in self.metrics_file.read_text().splitlines() if 0 <= _step(line) <= step]
        write_text(self.metrics_file, "".join(f"{line}\n" for line in kept))

    def log(self, step: int, values: dict[str, float], start: int = 0) -> None:
        """One line in metrics.jsonl and one point a value in TensorBoard; `start` is where this process began."""
        with self.metrics_file.open("a", encoding="utf-8") as file:
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

    def close(self) -> None:
        """Finish TensorBoard's file and let others have the folder."""
        if self._writer is not None:
            self._writer.close()
        self._lock.release()


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
