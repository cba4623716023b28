"""What test_every_mode starts as processes of their own: all runs in one go, to their end or until they are killed."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import torch

from facezoo import distributed
from facezoo.config import load_config
from facezoo.train import Trainer


def hold_still(trainer: Trainer) -> None:
    """Keep the statistics of BatchNorm: else each rank normalises its own part of a batch."""
    for module in trainer.mode.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.eval().train = lambda mode=True, module=module: module


def killed(recipe: str, out: str, step: int) -> int:
    """The signal by which a run ended that was killed in the midst of a step."""
    child = os.fork()
    if child == 0:
        trainer = Trainer(load_config(Path(recipe)), Path(out))
        after = trainer.mode.after_step

        def die() -> None:
            if trainer.step == step:
                os.kill(os.getpid(), signal.SIGKILL)
            after()

        trainer.mode.after_step = die
        trainer.run()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main(what: str, folder: str, out: str, *step: str) -> None:
    """Run every recipe of a folder into a folder of its name below `out`."""
    torch.set_num_threads(1)
    recipes = sorted(Path(folder).glob("*.toml"))
    if what == "killed":  # torch is imported once, each run is a fork
        ends = [killed(str(recipe), f"{out}/{recipe.stem}", int(step[0])) for recipe in recipes]
        sys.exit(ends != [-signal.SIGKILL] * len(recipes))
    with distributed.process_group("cpu"):
        for recipe in recipes:
            trainer = Trainer(load_config(recipe), Path(out) / recipe.stem)
            hold_still(trainer)
            trainer.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
