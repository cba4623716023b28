"""The training loop: one for every mode, exactly resumable at any step."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from facezoo import distributed, progress
from facezoo.checkpoint import save_model
from facezoo.config import Config
from facezoo.data.loader import Batch, Order, Samples, create_loader
from facezoo.data.opening import open_dataset
from facezoo.data.transforms import create_transforms
from facezoo.embedder import TorchEmbedder
from facezoo.heap import kept_memory
from facezoo.learner import Learner
from facezoo.optim import NORM_BATCHES
from facezoo.plan import check_ranks, create_contract, create_mode, create_sampler, find_device, steps
from facezoo.precision import warn_if_slow
from facezoo.run import RunFolder
from facezoo.stopping import Stopping
from facezoo.types import InputError
from facezoo.validation import create_benchmarks, validate

log = logging.getLogger(__name__)


class Trainer:
    """Trains one config in one run folder; a folder with a state is continued.

    A CPU run that is killed at any step and started again ends bit-identical to an uninterrupted one: weights,
    optimiser, moving average, gradient scaler, random state and position in the data are restored, and a
    sample's augmentation depends on its place in the run alone.

    Under torchrun each rank trains on its part of every batch, owns its part of the class centres and embeds its part
    of the benchmarks; the first one writes. A run may go on with another number of ranks.

    Args:
        config: the run.
        out: the run folder.
    """

    def __init__(self, config: Config, out: Path) -> None:
        self.config = config
        self.device = find_device(config.train.device)
        check_ranks(config, distributed.ranks())
        warn_if_slow(config.train.amp, self.device)
        if config.train.threads:
            torch.set_num_threads(config.train.threads)
        # Gradients that have all but vanished are denormal numbers, which a CPU multiplies many times slower.
        torch.set_flush_denormal(True)
        torch.manual_seed(config.train.seed)
        self.folder = RunFolder(out, config)
        self.data = open_dataset(config.data.train)
        self._data_digest = self.data.digest()  # over all names and labels: once, not at every save
        # What the run has saved stands in place of what it started from, which may be gone by now.
        self.mode = create_mode(config, self.data, fresh=self.folder.is_fresh())
        self.backbone = self.mode.backbone
        self.sampler = create_sampler(config, self.data, self.mode)
        self.steps_per_epoch, self.total = steps(self.sampler, config)
        self.learner = Learner(config, self.mode, self.device, self.steps_per_epoch, self.total)
        self.transform = create_transforms(config.data.transforms)
        self.contract = create_contract(config, self.backbone, self.data)
        self.benchmarks = create_benchmarks(config.validation, self.contract)
        validate_every = max(1, round(config.validation.every_epochs * self.steps_per_epoch))
        self.intervals = config.train.log_every, validate_every, config.train.save_every or self.steps_per_epoch
        self.step, self.best = 0, float("-inf")
        self.metrics: dict[str, float] = {}
        self.started = self.replaced = 0
        self._seen: list[tuple[int, dict[str, Tensor], list[int]]] = []
        self.folder.begin()
        self._resume()

    # -- state ---------------------------------------------------------------------------------------------

    def _save(self) -> None:
        self._write_model("last.safetensors")
        common, own = self.learner.state()
        state = {
            **common,
            "step": self.step,
            "best": self.best,
            "metrics": self.metrics,
            "unreadable": self._unreadable(),
            "data": self._data_digest,
            "threshold": self.contract.threshold,
        }
        self.folder.save_state(state, own)

    def _resume(self) -> None:
        state = self.folder.load_state()
        distributed.same("the step to go on from", state["step"] if state else 0, self.folder.path)
        if state is not None:
            self._restore(state)
            log.info("%s: continued at step %d of %d", self.folder.path, self.step, self.total)
        self.folder.rewind(self.step)
        self.folder.write_classes(self.data.classes)

    def _restore(self, state: dict[str, Any]) -> None:
        if state["data"] != self._data_digest:
            raise InputError(
                f"{self.config.data.train}: the data has changed since the run in {self.folder.path} was begun; "
                "restore it, or choose another folder"
            )
        self.step = self.started = state["step"]
        self.best, self.metrics = state["best"], state["metrics"]
        self.replaced = state["unreadable"] if distributed.is_first() else 0
        self.contract = replace(self.contract, threshold=state["threshold"])
        parts = state["parts"]
        if parts != distributed.ranks():
            log.info("%s: saved by %d processes, continued by %d", self.folder.path, parts, distributed.ranks())
        self.learner.restore(
            state, parts, lambda part: self.folder.load_part(self.step, part, parts), len(self.data.classes), self.step
        )

    # -- the loop ------------------------------------------------------------------------------------------

    def run(self) -> dict[str, float]:
        """Train to the end; the metrics of the last validation. The folder is free again, however this ends.

        Raises:
            InputError: a loss is not finite, or data or folder cannot be used any more.
            KeyboardInterrupt, SystemExit: Ctrl-C or SIGTERM, once the step at hand is done and its state saved.
        """
        try:
            with kept_memory(), Stopping() as stopping:
                self._loop(stopping)
        finally:
            torch.set_flush_denormal(False)
            self.folder.close()
        return self.metrics

    def _loop(self, stopping: Stopping) -> None:
        batches = self._batches()
        images_per_step = self.config.data.batch_size * self.config.optim.accumulate
        bar = progress.bar(self.total * images_per_step, "train", "img", initial=self.step * images_per_step)
        clock, since = time.perf_counter(), self.step
        self.mode.train()
        with bar:
            while self.step < self.total:
                losses = self._step(batches)
                self.step += 1
                bar.update(images_per_step)
                log_due, validation_due, save_due = map(self._due, self.intervals)
                stop = stopping.asked()
                if not (log_due or validation_due or save_due or stop):
                    continue
                values = self._checked(losses)
                if log_due:
                    seconds = time.perf_counter() - clock
                    values["images_per_second"] = (self.step - since) * images_per_step / seconds
                    self.folder.log(self.step, values, self.started)
                    bar.set_postfix(loss=f"{values['loss']:.3f}", lr=f"{values['lr']:.4f}", refresh=False)
                    clock, since = time.perf_counter(), self.step
                if self.benchmarks and validation_due:
                    self._validate()
                    clock, since = time.perf_counter(), self.step
                if save_due or stop:
                    self._save()
                if stop and self.step < self.total:
                    bar.close()
                    log.info("%s: stopped, the same command goes on from step %d", self.folder.path, self.step)
                    stopping.end()
        if not self.benchmarks:
            self._write_model("best.safetensors")

    def _due(self, interval: int) -> bool:
        return self.step % interval == 0 or self.step == self.total

    def _batches(self) -> Iterator[Batch]:
        accumulate = self.config.optim.accumulate
        return self._loaded(self.step * accumulate, self.total * accumulate)

    def _loaded(self, start: int, stop: int) -> Iterator[Batch]:
        config = self.config
        order = Order(self.sampler, start, stop, distributed.rank(), distributed.ranks())
        size, template = self.contract.input_size, self.contract.template
        samples = Samples(self.data, self.transform, size, config.train.seed, template, config.data.template)
        return create_loader(samples, order, config.data.workers, pin_memory=self.device.type == "cuda")

    def _step(self, batches: Iterator[Batch]) -> dict[str, Tensor]:
        samples: list[int] = []

        def taken() -> Iterator[Batch]:
            for batch in islice(batches, self.config.optim.accumulate):
                samples.extend(batch.samples)
                self.replaced += len(batch.replaced)
                for message in batch.replaced:
                    log.warning("replaced an unreadable file: %s", message)
                yield batch

        first = min(NORM_BATCHES, self.sampler.batches)
        losses = self.learner.step(self.step, taken(), lambda: self._loaded(0, first))
        self._seen.append((self.step + 1, losses, samples))
        return losses

    def _checked(self, losses: dict[str, Tensor]) -> dict[str, float]:
        """The values of a step, once every loss since the last check was finite, on every rank."""
        found = [bad for bad in distributed.gather_objects(self._not_finite()) if bad]
        if found:
            step = min(bad[0] for bad in found)
            told = [bad for bad in found if bad[0] == step]
            files = [name for bad in told for name in bad[2]]
            raise InputError(self.folder.not_finite(step, told[0][1], files))
        self._seen.clear()
        numbers = {name: float(loss) for name, loss in losses.items()}
        return {
            "loss": sum(numbers.values()),
            **numbers,
            "lr": self.learner.lr(self.step - 1),
            "epoch": self.step / self.steps_per_epoch,
            "unreadable": self._unreadable(),
        }

    def _not_finite(self) -> tuple[int, list[str], list[str]] | None:
        """The first step since the last check in which a loss of this rank was not finite, with those losses and the
        files that the rank looked at."""
        for step, losses, samples in self._seen:
            if bad := [f"{name} {float(loss)}" for name, loss in losses.items() if not torch.isfinite(loss)]:
                return step, bad, [self.data.name(index) for index in samples]
        return None

    def _unreadable(self) -> int:
        return int(distributed.total(torch.tensor(self.replaced, device=self.device)))

    # -- validation and models -----------------------------------------------------------------------------

    def _validate(self) -> None:
        network = self.learner.network()
        for tensor in network.state_dict().values():  # between steps each rank has its own statistics of BatchNorm
            tensor.copy_(distributed.broadcast(tensor.to(self.device)))
        if self.config.train.channels_last:
            network.to(memory_format=torch.channels_last)
        embed = TorchEmbedder(network, self.contract, device=str(self.device))
        wanted, folder = self.config.validation.metric, self.folder.path / "reports"
        metrics, score = validate(self.benchmarks, embed, wanted, folder, self.step)
        self.folder.log(self.step, metrics, self.started)
        self.metrics = metrics
        log.info("step %d: %s %.4f", self.step, wanted, score)
        if score > self.best:
            self.best = score
            thresholds = [value for key, value in metrics.items() if key.endswith("/threshold")]
            if thresholds:  # the model file says from which cosine on two faces are taken for one person
                self.contract = replace(self.contract, threshold=sum(thresholds) / len(thresholds))
            self._write_model("best.safetensors")

    def _write_model(self, name: str) -> None:
        if distributed.is_first():
            save_model(self.folder.path / name, self.learner.network(), self.config.model.backbone, self.contract)
            self.mode.write(self.folder.path)
