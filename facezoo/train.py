"""The training loop: one for every mode, exactly resumable at any step."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.distributed.fsdp.sharded_grad_scaler import ShardedGradScaler
from torch.nn.parallel import DistributedDataParallel

from facezoo import distributed, progress
from facezoo.checkpoint import rebuild, save_model
from facezoo.config import Config
from facezoo.data.loader import Batch, Order, Samples, create_loader
from facezoo.data.opening import open_dataset
from facezoo.data.transforms import create_transforms
from facezoo.embedder import TorchEmbedder
from facezoo.optim import NORM_BATCHES, create_average, create_optimizer, lr_at, parameter_groups, set_lr
from facezoo.plan import check_ranks, create_contract, create_mode, create_sampler, find_device, steps
from facezoo.run import RunFolder
from facezoo.state import join_state, own_rows, replicated_names, split_state
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
        if config.train.threads:
            torch.set_num_threads(config.train.threads)
        # Gradients that have all but vanished are denormal numbers, which a CPU multiplies many times slower.
        torch.set_flush_denormal(True)
        torch.manual_seed(config.train.seed)
        self.folder = RunFolder(out, config)
        self.data = open_dataset(config.data.train)
        self._data_digest = self.data.digest()  # over all names and labels: once, not at every save
        self._build()
        self._plan()
        self.benchmarks = create_benchmarks(config.validation, self.contract)
        self.step, self.best = 0, float("-inf")
        self.metrics: dict[str, float] = {}
        self.started = self.replaced = 0
        self._seen: list[tuple[int, dict[str, Tensor], list[int]]] = []
        self.folder.begin()
        self._resume()

    def _build(self) -> None:
        config = self.config
        # What the run has saved stands in place of what it started from, which may be gone by now.
        self.mode = create_mode(config, self.data, fresh=self.folder.is_fresh()).to(self.device)
        self.backbone = self.mode.backbone
        if config.train.channels_last:
            self.mode.to(memory_format=torch.channels_last)
        self.optimizer = create_optimizer(parameter_groups(self.mode, config.optim), config.optim)
        # Of several ranks one alone may meet an overflow, in its part of the centres: all of them must skip the step.
        scaler = torch.amp.GradScaler if distributed.ranks() == 1 else ShardedGradScaler
        self.scaler = scaler(self.device.type, enabled=config.train.amp == "fp16")
        if config.train.compile:
            self.backbone.compile()
        # Every rank has made the same network so far; from here on each draws its own dropout and its own samples.
        torch.manual_seed(config.train.seed + 7919 * distributed.rank())
        self.parallel = distributed.averaged(self.mode, replicated_names(self.mode, self.backbone), self.device)
        self.transform = create_transforms(config.data.transforms)
        self.contract = create_contract(config, self.backbone, self.data)

    def _plan(self) -> None:
        config = self.config
        self.sampler = create_sampler(config, self.data, self.mode)
        self.steps_per_epoch, self.total = steps(self.sampler, config)
        per_epoch = self.steps_per_epoch
        self.average = create_average(self.backbone, config.optim, per_epoch)
        validate_every = max(1, round(config.validation.every_epochs * per_epoch))
        self.intervals = config.train.log_every, validate_every, config.train.save_every or per_epoch

    # -- state ---------------------------------------------------------------------------------------------

    def _save(self) -> None:
        self._write_model("last.safetensors")
        common, rows = split_state(self.mode, self.optimizer)
        state = {
            **common,
            "step": self.step,
            "best": self.best,
            "metrics": self.metrics,
            "unreadable": self._unreadable(),
            "data": self._data_digest,
            "threshold": self.contract.threshold,
            "scaler": self.scaler.state_dict(),
            "average": self.average.state if self.average else {},
        }
        cuda = torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else None
        self.folder.save_state(state, {"rows": rows, "rng": torch.get_rng_state(), "cuda_rng": cuda})

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
        self.step, self.best = state["step"], state["best"]
        self.metrics = state["metrics"]
        self.replaced = state["unreadable"] if distributed.is_first() else 0
        self.contract = replace(self.contract, threshold=state["threshold"])
        parts = state["parts"]
        rows = own_rows(
            len(self.data.classes), parts, lambda part: self.folder.load_part(self.step, part, parts)["rows"]
        )
        join_state(self.mode, self.optimizer, state, rows)
        self.scaler.load_state_dict(state["scaler"])
        if self.average:
            self.average.state = {k: v.to(self.device) for k, v in state["average"].items()}
        if parts == distributed.ranks():
            own = self.folder.load_part(self.step, distributed.rank(), parts)
            torch.set_rng_state(own["rng"].clone())
            if own["cuda_rng"] is not None:
                torch.cuda.set_rng_state(own["cuda_rng"].clone(), self.device)
        else:
            log.info("%s: saved by %d processes, continued by %d", self.folder.path, parts, distributed.ranks())
            torch.manual_seed(self.config.train.seed + 7919 * distributed.rank() + 104729 * self.step)
        self.started = self.step

    # -- the loop ------------------------------------------------------------------------------------------

    def run(self) -> dict[str, float]:
        """Train to the end; the metrics of the last validation. The folder is free again, however this ends."""
        try:
            self._loop()
        finally:
            torch.set_flush_denormal(False)
            self.folder.close()
        return self.metrics

    def _loop(self) -> None:
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
                if not (log_due or validation_due or save_due):
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
                if save_due:
                    self._save()
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
        config = self.config
        set_lr(self.optimizer, self._lr(self.step))
        self.optimizer.zero_grad(set_to_none=True)
        sums: dict[str, Tensor] = {}
        samples: list[int] = []
        for number in range(config.optim.accumulate):
            batch = next(batches)
            samples += batch.samples
            self.replaced += len(batch.replaced)
            for message in batch.replaced:
                log.warning("replaced an unreadable file: %s", message)
            images = self._images(batch.crops)
            with self._collecting(number):
                with self._autocast():  # the backward pass follows the forward's types by itself
                    losses = self.parallel(images, self._moved(batch.labels), self._moved(torch.tensor(batch.samples)))
                total = torch.stack(list(losses.values())).sum() / config.optim.accumulate
                self.scaler.scale(total).backward()
            for name, loss in losses.items():
                sums[name] = sums.get(name, 0) + loss.detach() / config.optim.accumulate
        self._seen.append((self.step, sums, samples))
        self.scaler.unscale_(self.optimizer)
        if config.optim.clip_norm:
            torch.nn.utils.clip_grad_norm_(self.backbone.parameters(), config.optim.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.mode.after_step()
        if self.average and self.average.update(self.backbone, self.step):
            seen = (self._images(batch.crops) for batch in self._loaded(0, min(NORM_BATCHES, self.sampler.batches)))
            self.average.settle(self._network().to(self.device), self.backbone, seen)
        return sums

    def _lr(self, step: int) -> float:
        """Learning rate of a step, before the factors of `optim.groups`."""
        return lr_at(step, self.total, self.steps_per_epoch, self.config.optim.lr, self.config.schedule)

    def _collecting(self, number: int) -> Any:
        """Ranks exchange gradients with the last batch of a step only."""
        if isinstance(self.parallel, DistributedDataParallel) and number + 1 < self.config.optim.accumulate:
            return self.parallel.no_sync()
        return nullcontext()

    def _moved(self, tensor: Tensor) -> Tensor:
        return tensor.to(self.device, non_blocking=True)

    def _images(self, crops: Tensor) -> Tensor:
        """uint8 (B, H, W, 3) to float (B, 3, H, W) in [-1, 1]; a permuted view is channels-last already."""
        images = self._moved(crops).permute(0, 3, 1, 2)
        images = (images.float() - 127.5) / 127.5
        return images if self.config.train.channels_last else images.contiguous()

    def _autocast(self) -> Any:
        kind = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(self.config.train.amp)
        return nullcontext() if kind is None else torch.autocast(self.device.type, dtype=kind)

    def _checked(self, losses: dict[str, Tensor]) -> dict[str, float]:
        """The values of a step, once every loss since the last check was finite."""
        for step, values, samples in self._seen:
            bad = [f"{name} {float(loss)}" for name, loss in values.items() if not torch.isfinite(loss)]
            if bad:
                parts = distributed.gather_objects([self.data.name(index) for index in samples])
                raise InputError(self.folder.not_finite(step + 1, bad, [name for part in parts for name in part]))
        self._seen.clear()
        numbers = {name: float(loss) for name, loss in losses.items()}
        return {
            "loss": sum(numbers.values()),
            **numbers,
            "lr": self._lr(self.step - 1),
            "epoch": self.step / self.steps_per_epoch,
            "unreadable": self._unreadable(),
        }

    def _unreadable(self) -> int:
        return int(distributed.total(torch.tensor(self.replaced, device=self.device)))

    # -- validation and models -----------------------------------------------------------------------------

    def _weights(self) -> dict[str, Tensor]:
        return self.average.state if self.average else self.backbone.state_dict()

    def _network(self) -> torch.nn.Module:
        """A copy of the network with the weights that count, in float32, uncompiled."""
        # Rebuilding draws random weights: the run's own random state must not notice.
        with torch.random.fork_rng():
            network = rebuild(self.config.model.backbone)
        network.load_state_dict({name: tensor.cpu() for name, tensor in self._weights().items()})
        return network.eval()

    def _validate(self) -> None:
        network = self._network()
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
            save_model(self.folder.path / name, self._network(), self.config.model.backbone, self.contract)
            self.mode.write(self.folder.path)
