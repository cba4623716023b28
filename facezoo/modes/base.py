"""What the training loop asks of a mode."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn


class Mode(nn.Module, ABC):
    """Owns the network that is trained and whatever else learns or remembers.

    Attributes:
        backbone: the network that is saved, validated and exported.
        head: parameters that belong to the training only, such as class centres.
    """

    backbone: nn.Module
    head: nn.Module

    @abstractmethod
    def forward(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Named scalar losses of images (B, 3, H, W) RGB in [-1, 1] and labels (B,); the loop adds them up."""

    def train(self, mode: bool = True) -> Mode:
        """Training or evaluation mode; what is frozen as a whole stays in evaluation mode, with its statistics."""
        super().train(mode)
        for module in self.modules():
            parameters = list(module.parameters())
            if parameters and not any(parameter.requires_grad for parameter in parameters):
                module.eval()
        return self

    def after_step(self) -> None:
        """Called after every step of the optimiser, for moving averages and queues."""
