"""What the training loop asks of a mode."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

from torch import Tensor, nn


class Mode(nn.Module, ABC):
    """Owns the network that is trained and whatever else learns or remembers.

    A mode names what it needs as arguments of `__init__`, and `facezoo.plan.create_mode` makes just that from the
    config: `backbone`, `head` (a classifier over all identities), `margin` (the head's spec string), and so on; see
    `facezoo.plan.NEEDS`. Its own options follow, and are set in the spec string. What is trained or remembered is a
    parameter or a buffer: then it is saved, and resumed to the bit.

    Attributes:
        backbone: the network that is saved, validated and exported.
        own_negatives: what an identity left behind in earlier steps counts against it, unless the sampler's `exclude`
            keeps it away for so long.
    """

    backbone: nn.Module
    own_negatives: bool = False

    @abstractmethod
    def forward(self, images: Tensor, labels: Tensor, samples: Tensor) -> dict[str, Tensor]:
        """Named scalar losses of a batch; the loop adds them up.

        Args:
            images: (B, 3, H, W) RGB in [-1, 1].
            labels: (B,).
            samples: (B,) the indices of the images in the data.
        """

    def check_order(self, first_batch: Callable[[], Tensor]) -> None:
        """Called before anything is trained or written; most modes take any batch.

        Args:
            first_batch: draws the labels (B,) of the first batch of all processes. Of many images that takes seconds.

        Raises:
            InputError: the sampler does not put images together as the mode takes them.
        """

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

    def write(self, folder: Path) -> None:
        """Write into the run folder what is trained beside the network; called whenever that is written."""
