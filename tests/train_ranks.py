"""What torchrun starts in test_train_ranks: a run, with the statistics of BatchNorm held still if asked.

Each rank normalises its own part of a batch; without that, the number of ranks changes nothing but the rounding.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import torch

from facezoo import distributed
from facezoo.config import load_config
from facezoo.train import Trainer


def main(recipe: str, out: str, still: str = "", stop_after: str = "") -> None:
    torch.set_num_threads(1)
    with distributed.process_group("cpu"):
        trainer = Trainer(load_config(Path(recipe)), Path(out))
        if still:
            for module in trainer.backbone.modules():
                if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
                    module.eval().train = lambda mode=True, module=module: module
        if stop_after:
            step = trainer._step

            def killed(batches):
                if trainer.step == int(stop_after) and distributed.rank() == distributed.ranks() - 1:
                    os.kill(os.getpid(), signal.SIGKILL)
                return step(batches)

            trainer._step = killed
        trainer.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
