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

from facezoo import evaluation, progress
from facezoo.align import template_points
from facezoo.checkpoint import rebuild, save_model
from facezoo.config import Config
from facezoo.data.loader import Batch, Order, Samples, create_loader
from facezoo.data.transforms import create_transforms
from facezoo.embedder import TorchEmbedder
from facezoo.evaluation import needs_locate
from facezoo.evaluation.photos import Crops
from facezoo.heads.classifier import create_head
from facezoo.optim import Ema, create_optimizer, lr_at, parameter_groups, set_lr
from facezoo.plan import check_metric, create_backbone, find_device, steps_per_epoch, total_steps
from facezoo.registry import BENCHMARKS, DATASETS, MODES
from facezoo.run import RunFolder
from facezoo.sdk import FaceAnalyzer
from facezoo.types import Contract, InputError

log = logging.getLogger(__name__)


class Trainer:
    """Trains one config in one run folder; a folder with a state is continued.

    A CPU run that is killed at any step and started again ends bit-identical to an uninterrupted one: weights,
    optimiser, moving average, gradient scaler, random state and position in the data are restored, and a
    sample's augmentation depends on its place in the run alone.

    Args:
        config: the run.
        out: the run folder.
    """

    def __init__(self, config: Config, out: Path) -> None:
        self.config = config
        self.device = find_device(config.train.device)
        if config.train.threads:
            torch.set_num_threads(config.train.threads)
        # Gradients that have all but vanished are denormal numbers, which a CPU multiplies many times slower.
        torch.set_flush_denormal(True)
        torch.manual_seed(config.train.seed)
        self.folder = RunFolder(out, config)
        self.data = DATASETS.create(config.data.train)
        self._data_digest = self.data.digest()  # over all names and labels: once, not at every save
        self._build()
        self._plan()
        self.benchmarks = self._benchmarks()
        self.step, self.best = 0, float("-inf")
        self.metrics: dict[str, float] = {}
        self.started = self.replaced = 0
        self.folder.begin()
        self._resume()

    def _build(self) -> None:
        config = self.config
        backbone = create_backbone(config)
        head = create_head(config.model.head, backbone.embedding_dim, len(self.data.classes), config.model.loss)
        self.mode = MODES.create(config.model.mode, backbone=backbone, head=head).to(self.device)
        self.backbone = self.mode.backbone
        if config.train.channels_last:
            self.backbone.to(memory_format=torch.channels_last)
        groups = parameter_groups(self.mode.backbone, self.mode.head, config.optim)
        self.optimizer = create_optimizer(groups, config.optim)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=config.train.amp == "fp16")
        self.ema = Ema(self.backbone, config.optim.ema) if config.optim.ema else None
        if config.train.compile:
            self.backbone.compile()
        self.transform = create_transforms(config.data.transforms)
        template_points(config.data.template, tuple(backbone.input_size))  # refuses an unknown template
        kind = config.data.train.partition(":")[0]
        self.contract = Contract(
            name=config.name,
            input_size=tuple(backbone.input_size),
            template=config.data.template,
            embedding_dim=backbone.embedding_dim,
            flip=config.validation.flip,
            training_data=f"{kind} of {len(self.data):,} images of {len(self.data.classes):,} identities",
        )

    def _plan(self) -> None:
        config = self.config
        per_epoch = steps_per_epoch(len(self.data), config)
        self.steps_per_epoch = per_epoch
        self.total = total_steps(len(self.data), config)
        validate_every = max(1, round(config.validation.every_epochs * per_epoch))
        self.intervals = config.train.log_every, validate_every, config.train.save_every or per_epoch

    def _benchmarks(self) -> list[Any]:
        """What is validated on; what would stop the run at its first validation stops it here."""
        benchmarks = [_benchmark(spec) for spec in self.config.validation.benchmarks]
        names = [benchmark.name for benchmark in benchmarks]
        if twice := [name for name in names if names.count(name) > 1]:
            raise InputError(f"validation.benchmarks: two are named {twice[0]!r}, give one another name")
        for benchmark in benchmarks:
            Crops(benchmark.photos, self.contract, benchmark.aligned)  # refuses crops of another template
        check_metric(self.config.validation.metric, benchmarks)
        return benchmarks

    # -- state ---------------------------------------------------------------------------------------------

    def _state(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "best": self.best,
            "metrics": self.metrics,
            "unreadable": self.replaced,
            "data": self._data_digest,
            "threshold": self.contract.threshold,
            "mode": self.mode.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "ema": self.ema.state if self.ema else {},
            "rng": torch.get_rng_state(),
            "cuda_rng": torch.cuda.get_rng_state_all() if self.device.type == "cuda" else [],
        }

    def _resume(self) -> None:
        state = self.folder.load_state()
        if state is not None:
            self._restore(state)
            log.info("%s: continued at step %d of %d", self.folder.path, self.step, self.total)
        self.folder.rewind(self.step)

    def _restore(self, state: dict[str, Any]) -> None:
        if state["data"] != self._data_digest:
            raise InputError(
                f"{self.config.data.train}: the data has changed since the run in {self.folder.path} was begun; "
                "restore it, or choose another folder"
            )
        self.step, self.best = state["step"], state["best"]
        self.metrics, self.replaced = state["metrics"], state["unreadable"]
        self.contract = replace(self.contract, threshold=state["threshold"])
        self.mode.load_state_dict(state["mode"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        if self.ema:
            self.ema.state = {k: v.to(self.device) for k, v in state["ema"].items()}
        torch.set_rng_state(state["rng"])
        if state["cuda_rng"]:
            torch.cuda.set_rng_state_all(state["cuda_rng"])
        self.started = self.step

    # -- the loop ------------------------------------------------------------------------------------------

    def run(self) -> dict[str, float]:
        """Train to the end; the metrics of the last validation. The folder is free again, however this ends."""
        try:
            self._loop()
        finally:
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
        config = self.config
        accumulate, per_epoch = config.optim.accumulate, self.steps_per_epoch * config.optim.accumulate
        # An epoch is a whole number of steps, so that a step's batches never straddle two permutations.
        order = Order(
            len(self.data),
            config.data.batch_size,
            per_epoch,
            config.train.seed,
            start=self.step * accumulate,
            stop=self.total * accumulate,
        )
        samples = Samples(self.data, self.transform, tuple(self.backbone.input_size), config.train.seed)
        return create_loader(samples, order, config.data.workers, pin_memory=self.device.type == "cuda")

    def _step(self, batches: Iterator[Batch]) -> dict[str, Tensor]:
        config = self.config
        set_lr(self.optimizer, lr_at(self.step, self.total, self.steps_per_epoch, config.optim.lr, config.schedule))
        self.optimizer.zero_grad(set_to_none=True)
        sums: dict[str, Tensor] = {}
        for _ in range(config.optim.accumulate):
            batch = next(batches)
            self.replaced += len(batch.replaced)
            for message in batch.replaced:
                log.warning("replaced an unreadable file: %s", message)
            images = self._images(batch.crops)
            with self._autocast():
                losses = self.mode(images, batch.labels.to(self.device, non_blocking=True))
            total = torch.stack(list(losses.values())).sum() / config.optim.accumulate
            self.scaler.scale(total).backward()
            for name, loss in losses.items():
                sums[name] = sums.get(name, 0) + loss.detach() / config.optim.accumulate
        self.scaler.unscale_(self.optimizer)
        if config.optim.clip_norm:
            torch.nn.utils.clip_grad_norm_(self.backbone.parameters(), config.optim.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.mode.after_step()
        if self.ema:
            self.ema.update(self.backbone, self.step)
        return sums

    def _images(self, crops: Tensor) -> Tensor:
        """uint8 (B, H, W, 3) to float (B, 3, H, W) in [-1, 1]; a permuted view is channels-last already."""
        images = crops.to(self.device, non_blocking=True).permute(0, 3, 1, 2)
        images = (images.float() - 127.5) / 127.5
        return images if self.config.train.channels_last else images.contiguous()

    def _autocast(self) -> Any:
        kind = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(self.config.train.amp)
        return nullcontext() if kind is None else torch.autocast(self.device.type, dtype=kind)

    def _checked(self, losses: dict[str, Tensor]) -> dict[str, float]:
        values = {name: float(loss) for name, loss in losses.items()}
        if bad := [f"{name} {value}" for name, value in values.items() if not abs(value) < float("inf")]:
            raise InputError(f"step {self.step}: the loss is not finite ({', '.join(bad)}); lower optim.lr")
        lr = self.optimizer.param_groups[0]["lr"]
        return {
            "loss": sum(values.values()),
            **values,
            "lr": lr,
            "epoch": self.step / self.steps_per_epoch,
            "unreadable": self.replaced,
        }

    # -- validation and models -----------------------------------------------------------------------------

    def _weights(self) -> dict[str, Tensor]:
        return self.ema.state if self.ema else self.backbone.state_dict()

    def _network(self) -> torch.nn.Module:
        """A copy of the network with the weights that count, in float32, uncompiled."""
        # Rebuilding draws random weights: the run's own random state must not notice.
        with torch.random.fork_rng():
            network = rebuild(self.config.model.backbone)
        network.load_state_dict({name: tensor.cpu() for name, tensor in self._weights().items()})
        return network.eval()

    def _validate(self) -> None:
        network = self._network()
        if self.config.train.channels_last:
            network.to(memory_format=torch.channels_last)
        embed = TorchEmbedder(network, self.contract, device=str(self.device))
        metrics: dict[str, float] = {}
        wanted, scores = self.config.validation.metric, []
        for benchmark in self.benchmarks:
            report = evaluation.evaluate(benchmark, embed)
            evaluation.write_json([report], self.folder.path / "reports" / f"{report.name}-{self.step:08d}.json")
            measured = {key: float(value) for key, value in report.metrics.items() if value is not None}
            if wanted not in measured:
                known = ", ".join(measured)
                raise InputError(f"validation.metric: {report.name} does not measure {wanted!r}; it measures {known}")
            scores.append(measured[wanted])
            metrics |= {f"{report.name}/{key}": value for key, value in measured.items()}
        self.folder.log(self.step, metrics, self.started)
        self.metrics = metrics
        score = sum(scores) / len(scores)
        log.info("step %d: %s %.4f", self.step, wanted, score)
        if score > self.best:
            self.best = score
            thresholds = [value for key, value in metrics.items() if key.endswith("/threshold")]
            if thresholds:  # the model file says from which cosine on two faces are taken for one person
                self.contract = replace(self.contract, threshold=sum(thresholds) / len(thresholds))
            self._write_model("best.safetensors")

    def _write_model(self, name: str) -> None:
        save_model(self.folder.path / name, self._network(), self.config.model.backbone, self.contract)

    def _save(self) -> None:
        self._write_model("last.safetensors")
        self.folder.save_state(self._state())


def _benchmark(spec: str) -> Any:
    """A benchmark of crops or of photos with landmarks; those of raw photos are found here, once for the run."""
    benchmark = BENCHMARKS.create(spec)
    return evaluation.with_landmarks(benchmark, FaceAnalyzer().locate) if needs_locate(benchmark) else benchmark
