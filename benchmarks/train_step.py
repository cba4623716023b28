"""Images a second of one training step, forms of number and memory side by side.

    python benchmarks/train_step.py --threads 2 --compile

The forms take turns, so that what else the machine does meets all of them; of each the best step counts.
`plain` is how the reference projects run it on a CPU: float32, NCHW, PyTorch's own layers. `kept` keeps freed memory,
as training does. A processor without bfloat16 instructions is spared those forms unless `--slow` asks for them.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field

import torch
from torch import nn

from facezoo.backbones.kernels import PReLU, StridedDepthwise
from facezoo.heads import create_head
from facezoo.heap import kept_memory
from facezoo.precision import is_fast
from facezoo.registry import BACKBONES

STOCK = {PReLU: nn.PReLU, StridedDepthwise: nn.Conv2d}


@dataclass
class Form:
    name: str
    low: bool = False
    channels_last: bool = False
    stock: bool = False
    compiled: bool = False
    kept: bool = False
    warm_up: float = 0.0
    seconds: list[float] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)


def make_step(form: Form, backbone: str, head: str, batch: int, classes: int) -> Callable[[], None]:
    torch.manual_seed(0)
    network = BACKBONES.create(backbone)
    for module in network.modules():
        if form.stock and type(module) in STOCK:
            module.__class__ = STOCK[type(module)]
    crops = torch.rand(batch, 3, *network.input_size) * 2 - 1
    labels = torch.randint(classes, (batch,))
    if form.channels_last:
        network = network.to(memory_format=torch.channels_last)
        crops = crops.contiguous(memory_format=torch.channels_last)
    classifier = create_head(head, network.embedding_dim, classes)
    parameters = [*network.parameters(), *classifier.parameters()]
    optimizer = torch.optim.SGD(parameters, lr=0.1, momentum=0.9, weight_decay=5e-4, fused=not form.stock)
    run = torch.compile(network) if form.compiled else network

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=form.low):
            embeddings = run(crops)
        sum(classifier(embeddings, labels).values()).backward()  # type: ignore[union-attr]
        optimizer.step()

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="mobilefacenet")
    parser.add_argument("--head", default="arcface")
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--compile", action="store_true", help="also the compiled form; compiling takes minutes")
    parser.add_argument("--slow", action="store_true", help="bf16 also where the processor has no instructions for it")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    forms = [
        Form("plain: fp32", stock=True),
        Form("fp32 channels_last", channels_last=True),
        Form("fp32 channels_last kept", channels_last=True, kept=True),
        Form("bf16 channels_last, PyTorch's layers", low=True, channels_last=True, stock=True),
        Form("bf16 channels_last", low=True, channels_last=True),
        Form("bf16 channels_last kept", low=True, channels_last=True, kept=True),
    ]
    if options.compile:
        forms.append(Form("bf16 channels_last compiled", low=True, channels_last=True, compiled=True))
    if not (options.slow or is_fast("bf16", torch.device("cpu"))):
        forms = [form for form in forms if not form.low]
    steps = []
    for form in forms:
        step = make_step(form, options.backbone, options.head, options.batch, options.classes)
        begin = time.perf_counter()
        step()
        form.warm_up = time.perf_counter() - begin
        steps.append(step)
    for _ in range(options.rounds):
        for form, step in zip(forms, steps, strict=True):
            with kept_memory() if form.kept else nullcontext():
                if form.kept:
                    step()  # what is to be kept must have been taken once
                begin, cpu = time.perf_counter(), time.process_time()
                step()
                form.seconds.append(time.perf_counter() - begin)
                form.cpu_seconds.append(time.process_time() - cpu)

    print(f"{options.backbone} + {options.head}, batch {options.batch}, {options.threads} threads, {torch.__version__}")
    print(f"{'form':38} {'images/s':>9} {'ratio':>6} {'images/CPU s':>13} {'ratio':>6} {'first step s':>13}")
    for form in forms:
        wall, cpu = options.batch / min(form.seconds), options.batch / min(form.cpu_seconds)
        plain, plain_cpu = options.batch / min(forms[0].seconds), options.batch / min(forms[0].cpu_seconds)
        print(f"{form.name:38} {wall:9.1f} {wall / plain:6.2f} {cpu:13.1f} {cpu / plain_cpu:6.2f} {form.warm_up:13.1f}")


if __name__ == "__main__":
    main()
