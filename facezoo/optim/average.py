"""The moving average of a network's weights."""

from __future__ import annotations

import torch
from torch import nn


class Ema:
    """Moving average of a module's floating-point state, buffers included: avg <- d avg + (1 - d) state."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.state = {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        # The young average would be dominated by the random start: its memory grows with the steps.
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, tensor in module.state_dict().items():
            if tensor.is_floating_point():
                self.state[name].lerp_(tensor, 1 - decay)
            else:
                self.state[name].copy_(tensor)
