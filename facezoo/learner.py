"""What learns in a run: a mode with its optimiser, gradient scaler and moving average; a step of it, and its state."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.distributed.fsdp.sharded_grad_scaler import ShardedGradScaler
from torch.nn.parallel import DistributedDataParallel

from facezoo import distributed
from facezoo.checkpoint import rebuild
from facezoo.config import Config
from facezoo.data.loader import Batch
from facezoo.modes.base import Mode
from facezoo.optim import create_average, create_optimizer, lr_at, parameter_groups, set_lr
from facezoo.precision import TYPES, find_precision
from facezoo.state import join_state, own_rows, replicated_names, split_state

log = logging.getLogger(__name__)


class Learner:
    """Makes steps of a config's optimiser; what it learns and remembers is saved and restored to the bit.

    Args:
        config: the run.
        mode: what is trained, as it was created: alike on all ranks.
        device: where it is trained.
        steps_per_epoch, total: steps of an epoch and of the run.
    """

    def __init__(self, config: Config, mode: Mode, device: torch.device, steps_per_epoch: int, total: int) -> None:
        self.config, self.device = config, device
        self.steps_per_epoch, self.total = steps_per_epoch, total
        self.mode = mode.to(device)
        self.backbone = mode.backbone
        if config.train.channels_last:
            self.mode.to(memory_format=torch.channels_last)
        self.optimizer = create_optimizer(parameter_groups(self.mode, config.optim), config.optim)
        self.amp = find_precision(config.train.amp, device)
        # Of several ranks one alone may meet an overflow, in its part of the centres: all of them must skip the step.
        scaler = torch.amp.GradScaler if distributed.ranks() == 1 else ShardedGradScaler
        self.scaler = scaler(device.type, enabled=self.amp == "fp16")
        if config.train.compile:
            self.backbone.compile()
        # Every rank has made the same network so far; from here on each draws its own dropout and its own samples.
        torch.manual_seed(config.train.seed + 7919 * distributed.rank())
        self.parallel = distributed.averaged(self.mode, replicated_names(self.mode, self.backbone), device)
        self.average = create_average(self.backbone, config.optim, steps_per_epoch)

    def lr(self, step: int) -> float:
        """Learning rate of a step, before the factors of `optim.groups`."""
        return lr_at(step, self.total, self.steps_per_epoch, self.config.optim.lr, self.config.schedule)

    # -- a step --------------------------------------------------------------------------------------------

    def step(
        self, number: int, batches: Iterable[Batch], first_batches: Callable[[], Iterable[Batch]]
    ) -> dict[str, Tensor]:
        """Make step `number` of the run; the losses, averaged over the batches, without gradient.

        Args:
            batches: this rank's parts of `optim.accumulate` batches.
            first_batches: gives those of the run's beginning, for the statistics of BatchNorm in an average.
        """
        optim = self.config.optim
        set_lr(self.optimizer, self.lr(number))
        self.optimizer.zero_grad(set_to_none=True)
        sums: dict[str, Tensor] = {}
        for place, batch in enumerate(batches):
            images = self._images(batch.crops)
            with self._exchanging(last=place + 1 == optim.accumulate):
                with self._autocast():  # the backward pass follows the forward's types by itself
                    losses = self.parallel(images, self._moved(batch.labels), self._moved(torch.tensor(batch.samples)))
                total = torch.stack(list(losses.values())).sum() / optim.accumulate
                self.scaler.scale(total).backward()
            for name, loss in losses.items():
                sums[name] = sums.get(name, 0) + loss.detach() / optim.accumulate
        self.scaler.unscale_(self.optimizer)
        if optim.clip_norm:
            torch.nn.utils.clip_grad_norm_(self.backbone.parameters(), optim.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.mode.after_step()
        if self.average and self.average.update(self.backbone, number):
            seen = (self._images(batch.crops) for batch in first_batches())
            self.average.settle(self.network().to(self.device), self.backbone, seen)
        return sums

    def _exchanging(self, last: bool) -> Any:
        """Ranks exchange gradients with the last batch of a step only."""
        return (
            nullcontext() if last or not isinstance(self.parallel, DistributedDataParallel) else self.parallel.no_sync()
        )

    def _moved(self, tensor: Tensor) -> Tensor:
        return tensor.to(self.device, non_blocking=True)

    def _images(self, crops: Tensor) -> Tensor:
        """uint8 (B, H, W, 3) to float (B, 3, H, W) in [-1, 1]; a permuted view is channels-last already."""
        images = self._moved(crops).permute(0, 3, 1, 2)
        images = (images.float() - 127.5) / 127.5
        return images if self.config.train.channels_last else images.contiguous()

    def _autocast(self) -> Any:
        kind = TYPES.get(self.amp)
        return nullcontext() if kind is None else torch.autocast(self.device.type, dtype=kind)

    # -- state ---------------------------------------------------------------------------------------------

    def network(self) -> torch.nn.Module:
        """A copy of the network with the weights that count, in float32, uncompiled."""
        # Rebuilding draws random weights: the run's own random state must not notice.
        with torch.random.fork_rng():
            network = rebuild(self.config.model.backbone)
        weights = self.average.state if self.average else self.backbone.state_dict()
        network.load_state_dict({name: tensor.cpu() for name, tensor in weights.items()})
        return network.eval()

    def state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """What all ranks have alike, and what belongs to this one: its class centres and its random state."""
        common, rows = split_state(self.mode, self.optimizer)
        common["amp"] = self.amp
        common["scaler"] = self.scaler.state_dict()
        common["average"] = self.average.state if self.average else {}
        cuda = torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else None
        return common, {"rows": rows, "rng": torch.get_rng_state(), "cuda_rng": cuda}

    def restore(
        self, state: dict[str, Any], parts: int, read: Callable[[int], dict[str, Any]], classes: int, step: int
    ) -> None:
        """Take over what `state` gave after a step, saved by `parts` ranks.

        Args:
            state: what they had alike.
            read: gives what belonged to one of them.
            classes: of the data.
        """
        rows = own_rows(classes, parts, lambda part: read(part)["rows"])
        join_state(self.mode, self.optimizer, state, rows)
        before = state.get("amp", self.amp)  # states of the first version have none
        if before != self.amp and distributed.is_first():
            log.warning("train.amp: the run was in %s so far and goes on in %s on this device", before, self.amp)
        self.scaler.load_state_dict(state["scaler"])
        if self.average:
            self.average.state = {name: self._moved(tensor) for name, tensor in state["average"].items()}
        if parts == distributed.ranks():
            own = read(distributed.rank())
            torch.set_rng_state(own["rng"].clone())
            if own["cuda_rng"] is not None:
                torch.cuda.set_rng_state(own["cuda_rng"].clone(), self.device)
        else:
            torch.manual_seed(self.config.train.seed + 7919 * distributed.rank() + 104729 * step)
