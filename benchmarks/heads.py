"""Time and memory of one step of a head: forward, backward and optimiser, with the gradient for the embeddings.

    python benchmarks/heads.py --threads 2                       # 10k, 200k and 100k classes
    python benchmarks/heads.py --classes 1000000 --most-gb 14    # a dense step of a million takes 12 GB

Each form runs in a process of its own, one after the other. `dense` is how the reference projects write it: normalised
copy of the centres, cosines, a copy with the margin, F.cross_entropy, torch.optim.SGD. `pytorch-metric-learning`
takes part if it is installed. Time is the median over the steps. Memory is the process's peak, less what it had before
the head was made, less weights and momentum, all of whose pages are in use.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facezoo.config import OptimConfig
from facezoo.heads import create_head
from facezoo.heads.margin import add_angle
from facezoo.optim import create_optimizer, parameter_groups, set_lr

MARGIN, SCALE, LR, MOMENTUM, DECAY = 0.5, 64.0, 0.1, 0.9, 5e-4
Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Form:
    """One way to write the head.

    Attributes:
        make: from classes and D, the parameters' owner, its loss, and its optimiser.
        copies: tensors of the size of float32 centres that it holds at once, to leave out what does not fit.
        fewest: classes that it needs.
    """

    name: str
    make: Callable[[int, int], tuple[nn.Module, Loss, torch.optim.Optimizer]]
    copies: float
    fewest: int = 1


class Dense(nn.Module):
    """ArcFace as the reference projects write it."""

    def __init__(self, classes: int, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(classes, dim).normal_(std=0.01))

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        cosine = F.linear(F.normalize(embeddings), F.normalize(self.weight))
        logits = cosine.clone()
        rows = torch.arange(len(labels))
        logits[rows, labels] = add_angle(cosine[rows, labels], MARGIN)
        return F.cross_entropy(SCALE * logits, labels)


def plain_sgd(module: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(module.parameters(), lr=LR, momentum=MOMENTUM, weight_decay=DECAY)


def dense(classes: int, dim: int) -> tuple[nn.Module, Loss, torch.optim.Optimizer]:
    head = Dense(classes, dim)
    return head, head, plain_sgd(head)


def peer(classes: int, dim: int) -> tuple[nn.Module, Loss, torch.optim.Optimizer]:
    from pytorch_metric_learning.losses import ArcFaceLoss

    loss = ArcFaceLoss(classes, dim, margin=MARGIN * 180 / torch.pi, scale=SCALE)
    return loss, loss, plain_sgd(loss)


def ours(
    rate: float = 1.0, rows: int = 0, sub_centres: int = 1, centres: str = "fp32", optimizer: str = "sgd"
) -> Callable:
    """Our head; `rows` is a number of sampled classes instead of a rate."""

    def make(classes: int, dim: int) -> tuple[nn.Module, Loss, torch.optim.Optimizer]:
        config = OptimConfig(name=optimizer, lr=LR, momentum=MOMENTUM, weight_decay=DECAY)
        share = min(1, rows / classes) if rows else rate
        spec = f"arcface:margin={MARGIN},scale={SCALE}"
        head = create_head(spec, dim, classes, sample_rate=share, sub_centres=sub_centres, centres=centres)
        optimiser = create_optimizer(parameter_groups(head, config), config)
        set_lr(optimiser, LR)
        return head, lambda embeddings, labels: sum(head(embeddings, labels).values()), optimiser

    return make


FORMS = {
    form.name: form
    for form in [
        Form("dense", dense, 7.5),
        Form("pytorch-metric-learning", peer, 8.5),
        Form("facezoo", ours(), 3.5),
        Form("facezoo, bf16 centres", ours(centres="bf16"), 1.8),
        Form("facezoo, 3 sub-centres", ours(sub_centres=3), 9.6),
        Form("facezoo, Partial FC 10 %", ours(rate=0.1), 2.3),
        Form("facezoo, Partial FC 10 %, bf16", ours(rate=0.1, centres="bf16"), 1.2),
        Form("facezoo, Partial FC of 20,000", ours(rows=20_000), 2.3, fewest=40_000),
        Form("facezoo, Partial FC 10 %, AdamW", ours(rate=0.1, optimizer="adamw"), 3.3),
    ]
}


def peak_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def bytes_of(tensors: list[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def measure(name: str, classes: int, dim: int, batch: int, threads: int, steps: int, seconds: float) -> dict:
    """Run one form in this process: milliseconds (wall and CPU) of a step, and bytes."""
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    torch.manual_seed(0)
    embeddings = torch.randn(batch, dim, requires_grad=True)

    def make_step(classes: int) -> tuple[Callable[[], None], nn.Module, torch.optim.Optimizer]:
        module, loss, optimizer = FORMS[name].make(classes, dim)

        def step() -> None:
            optimizer.zero_grad(set_to_none=True)
            embeddings.grad = None
            loss(embeddings, torch.randint(classes, (batch,))).backward()
            optimizer.step()

        return step, module, optimizer

    make_step(batch)[0]()  # what the libraries load and keep at their first use
    base = peak_bytes()
    step, module, optimizer = make_step(classes)
    step()
    state = [value for entry in optimizer.state.values() for value in entry.values() if isinstance(value, Tensor)]
    for tensor in state:
        tensor.mul_(1)  # so that pages of rows that have not yet been sampled are in use, as they are after an epoch
    step()
    walls: list[float] = []
    cpus: list[float] = []
    begin = time.perf_counter()
    while len(walls) < 3 or (len(walls) < steps and time.perf_counter() - begin < seconds):
        wall, cpu = time.perf_counter(), time.process_time()
        step()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    held = bytes_of([*module.parameters()]) + bytes_of(state)
    return {
        "form": name,
        "classes": classes,
        "steps": len(walls),
        "ms": 1e3 * statistics.median(walls),
        "fastest_ms": 1e3 * min(walls),
        "cpu_ms": 1e3 * statistics.median(cpus),
        "held_bytes": held,
        "beyond_bytes": peak_bytes() - base - held,
    }


def table(rows: list[dict]) -> str:
    """Markdown; ratios are to the dense form with as many classes."""
    lines = [
        "| classes | form | step, ms | fastest | CPU ms | dense / this | held, MB | beyond, MB | of dense |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    plain = {row["classes"]: row for row in rows if row["form"] == "dense"}
    for row in rows:
        reference = plain.get(row["classes"])
        faster = f"{reference['ms'] / row['ms']:.2f}" if reference else ""
        share = f"{row['beyond_bytes'] / reference['beyond_bytes']:.2f}" if reference else ""
        lines.append(
            f"| {row['classes']:,} | {row['form']} | {row['ms']:.1f} | {row['fastest_ms']:.1f} | {row['cpu_ms']:.1f} | "
            f"{faster} | {row['held_bytes'] / 1e6:.0f} | {row['beyond_bytes'] / 1e6:.0f} | {share} |"
        )
    return "\n".join(lines)


FORM_HELP = "; ".join(FORMS).replace("%", "%%")  # argparse formats it


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--classes", type=int, nargs="+", default=[10_000, 100_000, 200_000])
    parser.add_argument("--forms", nargs="+", choices=FORMS, default=list(FORMS), metavar="FORM", help=FORM_HELP)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=15, help="steps that are timed, at most")
    parser.add_argument(
        "--seconds", type=float, default=15, help="after which no further step is timed, from the third on"
    )
    parser.add_argument("--most-gb", type=float, default=8, help="leave out forms that hold more")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        settings = (options.dim, options.batch, options.threads, options.steps, options.seconds)
        print(json.dumps(measure(options.one, options.classes[0], *settings)))
        return

    rows = []
    for classes in options.classes:
        for name in options.forms:
            needed = FORMS[name].copies * classes * options.dim * 4 / 1e9
            if needed > options.most_gb:
                print(f"{classes:,} classes, {name}: left out, it takes about {needed:.0f} GB", file=sys.stderr)
                continue
            if FORMS[name].make is peer and importlib.util.find_spec("pytorch_metric_learning") is None:
                print(f"{name}: left out, it is not installed", file=sys.stderr)
                continue
            if classes >= FORMS[name].fewest:
                rows.append(_in_own_process(name, classes, options))
    if options.json:
        print(
            json.dumps({"threads": options.threads, "batch": options.batch, "torch": torch.__version__, "rows": rows})
        )
        return
    print(
        f"batch {options.batch}, D {options.dim}, {options.threads} threads, torch {torch.__version__}\n\n{table(rows)}"
    )


def _in_own_process(name: str, classes: int, options: argparse.Namespace) -> dict:
    command = [sys.executable, __file__, "--one", name, "--classes", str(classes)]
    for key in ("dim", "batch", "threads", "steps", "seconds"):
        command += [f"--{key}", str(getattr(options, key))]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


if __name__ == "__main__":
    main()
