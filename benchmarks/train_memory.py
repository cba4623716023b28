"""The memory that a dry run foretells against what a training process takes: `python benchmarks/train_memory.py`.

Each case trains a few steps on noise in a process of its own and reads the largest resident set of it, less that of the
same process before the first step. On Linux; some 4 GB of memory.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
from pathlib import Path

DISTILLED = {"model.mode": "distillation"}

CASES = (
    ("mobilefacenet", 64, 1_000, {}),
    ("mobilefacenet", 32, 200_000, {}),
    ("mobilefacenet", 32, 200_000, {"model.sample_rate": "0.1"}),
    ("iresnet18", 32, 1_000, {}),
    ("iresnet50", 16, 1_000, {"optim.name": "adamw"}),
    ("vit_t", 32, 1_000, {}),
    ("mobilefacenet", 32, 1_000, DISTILLED | {"model.teacher": "iresnet50", "model.distillation": '["cosine", "at"]'}),
    ("mobilefacenet", 32, 1_000, DISTILLED | {"model.teacher": "dlib-resnet29", "model.distillation": '["cosine"]'}),
    ("mobilefacenet", 64, 1_000, {"model.mode": "semi_siamese:queue=1024"}),
)
"""Backbone, crops a batch, identities, other entries; a teacher that is a backbone is made with random weights."""


def measure(backbone: str, batch: int, classes: int, *entries: str) -> None:
    """In a process of its own: print bytes before the first step, at most, and as foretold."""
    import numpy as np
    import torch

    from facezoo.checkpoint import save_model
    from facezoo.config import load_config
    from facezoo.dry_run import StandIn
    from facezoo.measure.training import step_memory
    from facezoo.optim import create_optimizer, parameter_groups
    from facezoo.plan import create_mode
    from facezoo.registry import BACKBONES
    from facezoo.types import Contract

    torch.set_num_threads(1)
    given = dict(entry.split("=", 1) for entry in entries)
    with tempfile.TemporaryDirectory() as folder:
        path, teacher = Path(folder) / "config.toml", Path(folder) / "teacher.safetensors"
        path.write_text(f'[data]\ntrain = "none"\nbatch_size = {batch}\n[model]\nbackbone = "{backbone}"\n')
        spec = given.get("model.teacher", "")
        if spec in BACKBONES:
            network = BACKBONES.create(spec)
            save_model(teacher, network, spec, Contract(spec, network.input_size, embedding_dim=network.embedding_dim))
            given["model.teacher"] = str(teacher)
            del network
        config = load_config(path, given)
        data = StandIn(classes, 2 * classes)
        network = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.Flatten(), torch.nn.LazyLinear(8))
        network(torch.rand(2, 3, 32, 32)).sum().backward()  # what the libraries take at their first use
        before = _resident()
        mode = create_mode(config, data).train().to(memory_format=torch.channels_last)
    optimizer = create_optimizer(parameter_groups(mode, config.optim), config.optim)
    for _ in range(3):
        images = torch.rand(batch, 3, *mode.backbone.input_size).contiguous(memory_format=torch.channels_last)
        labels = torch.from_numpy(np.random.default_rng(0).integers(0, classes, batch // 2)).repeat_interleave(2)
        optimizer.zero_grad(set_to_none=True)
        torch.stack(list(mode(images, labels, labels).values())).sum().backward()
        optimizer.step()
        mode.after_step()
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(before, most, step_memory(mode, config).total)


def _resident() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))


def main() -> None:
    print(f"{'backbone':16}{'batch':>6}{'identities':>12}  {'foretold MB':>12}{'measured MB':>12}{'ratio':>7}")
    for backbone, batch, classes, entries in CASES:
        command = [
            sys.executable,
            __file__,
            backbone,
            str(batch),
            str(classes),
            *(f"{k}={v}" for k, v in entries.items()),
        ]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        before, most, foretold = map(int, done.stdout.split())
        told = " ".join(f"{key}={value}" for key, value in entries.items())
        print(
            f"{backbone:16}{batch:6}{classes:12,}  {foretold / 1e6:12,.0f}{(most - before) / 1e6:12,.0f}"
            f"{foretold / (most - before):7.2f}  {told}"
        )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        measure(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:])
    else:
        main()
