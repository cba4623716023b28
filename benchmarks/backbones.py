"""The table of docs/backbones.md: what every registered backbone costs on two cores, beside published accuracies.

    python benchmarks/backbones.py --out docs/backbones.md [--only 'ir*'] [--cache FILE]
    python benchmarks/backbones.py --counts          # after a new backbone: parameters and multiply-adds alone

Every measured backbone is stored in the cache at once, so an interrupted run goes on where it was. Times are the best
of a few passes of random crops; training is one step of SGD with ArcFace on 1,000 classes in float32.
"""

from __future__ import annotations

import argparse
import fnmatch
import gc
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from facezoo.files import write_text
from facezoo.heads import create_head
from facezoo.measure.backbones import backbone_rows, count_backbone, write_counts
from facezoo.registry import BACKBONES

BEGIN, END = "<!-- backbones: begin (benchmarks/backbones.py writes this) -->", "<!-- backbones: end -->"

CLASSES, TRAIN_BATCH = 1000, 16

# What the projects state: LFW, CFP-FP, AgeDB, CALFW, CPLFW accuracy, IJB-C TAR at FAR 1e-4, MegaFace rank 1; per cent.
BENCHMARKS = ("LFW", "CFP-FP", "AgeDB", "CALFW", "CPLFW", "IJB-C", "MegaFace")
PUBLISHED: dict[str, list[tuple[str, tuple[float | None, ...]]]] = {
    "mobilefacenet": [
        ("FaceX-Zoo, MS1M-v1c-r", (99.57, None, 95.97, 93.82, 83.33, None, 90.39)),
    ],
    "mobilefacenet:affine=false": [("TFace, MS1MV2", (99.52, 91.66, 95.82, 95.12, 87.93, 89.13))],
    "ir50:flavor=facexzoo": [
        ("FaceX-Zoo, MS1M-v1c-r", (99.78, None, 97.77, 95.47, 88.20, None, 96.67)),
        ("face.evoLVe, MS1M", (99.78, 98.14, 97.53, 95.87, 92.45)),
    ],
    "ir152:flavor=facexzoo": [("face.evoLVe, MS1M", (99.82, 98.37, 98.07, 96.03, 93.05))],
    "attention92": [("FaceX-Zoo, MS1M-v1c-r", (99.82, None, 98.08, 95.88, 90.33, None, 98.09))],
    "swin_s:input_size=224": [("FaceX-Zoo, MS1M-v1c-r", (99.85, None, 98.05, 95.92, 90.03, None, 98.17))],
    "ir18": [("CVLface, WF4M", (99.58, 97.80, 96.48, 95.52, 92.28, 94.79))],
    "ir50": [
        ("TFace, MS1MV2", (99.80, 97.63, 97.92, 96.05, 92.50, 95.16)),
        ("CVLface, WF4M", (99.78, 98.99, 97.78, 95.98, 94.17, 97.01)),
    ],
    "ir101": [
        ("TFace, MS1MV2", (99.77, 98.27, 98.15, 95.45, 92.08, 95.6)),
        ("CVLface, WF4M", (99.83, 99.27, 97.90, 96.05, 94.63, 97.46)),
    ],
    "mbf": [("insightface, MS1MV3", (None, None, None, None, None, 94.23))],
    "iresnet50": [
        ("insightface, MS1MV3", (None, None, None, None, None, 96.37)),
        ("insightface, Glint360K", (None, None, None, None, None, 97.16)),
    ],
    "iresnet100": [
        ("insightface, MS1MV3", (None, None, None, None, None, 96.85)),
        ("insightface, Glint360K", (None, None, None, None, None, 97.55)),
    ],
    "vit_b": [("insightface, WF42M", (None, None, None, None, None, 97.90))],
    "vit_l": [("insightface, WF42M", (None, None, None, None, None, 98.00))],
    "edgeface_base": [("EdgeFace", (99.83, 97.01, 97.60, 96.07, 93.75))],
    "edgeface_s": [("EdgeFace", (99.78, 95.74, 97.03, 95.55, 92.48))],
    "edgeface_xs": [("EdgeFace", (99.73, 94.71, 96.08, 95.28, 91.58))],
    "edgeface_xxs": [("EdgeFace", (99.57, 93.63, 94.92, 94.83, 90.27))],
    "ghostfacenet_v1": [("GhostFaceNets, MS1MV3", (99.73, 96.83, 98.00, None, None, 94.94))],
    "inceptionresnetv1": [("facenet-pytorch, VGGFace2", (99.65,))],
}


def specs() -> list[str]:
    """Every registered backbone that needs no further name, and the forms that accuracies are published of."""
    names = [row.name for row in backbone_rows() if row.parameters is not None]
    further = {name: [spec for spec in PUBLISHED if spec.startswith(f"{name}:")] for name in names}
    return [spec for name in names for spec in (name, *further[name])]


LONG = 1.0
"""Seconds: of a pass that takes longer the first one counts, what comes once is little of it."""


def best(run: Callable[[], Any], passes: int) -> float:
    """Seconds of the fastest of some passes, after one that is not counted unless it is long."""
    taken: list[float] = []
    for number in range(passes + 1):
        begin = time.perf_counter()
        run()
        seconds = time.perf_counter() - begin
        if number or seconds > LONG:
            taken.append(seconds)
        if seconds > LONG:
            break
    return min(taken)


def measure(spec: str, passes: int, largest: int) -> dict[str, float | None]:
    """Milliseconds of inference and images a second of training; None where the network is too large for that."""
    found = _counted(spec)
    parameters = int(found["parameters"] or 0)
    if parameters > 3 * largest:
        return found
    torch.manual_seed(0)
    network = BACKBONES.create(spec)
    size = network.input_size
    network.eval()
    with torch.inference_mode():
        for batch in (1, 32):
            crops = torch.rand(batch, 3, *size) * 2 - 1
            found[f"ms{batch}"] = 1e3 * best(lambda crops=crops: network(crops), passes)
    if parameters <= largest:
        network.train()
        crops = torch.rand(TRAIN_BATCH, 3, *size) * 2 - 1
        labels = torch.randint(CLASSES, (TRAIN_BATCH,))
        classifier = create_head("arcface", network.embedding_dim, CLASSES)
        weights = [p for p in (*network.parameters(), *classifier.parameters()) if p.requires_grad]
        optimizer = torch.optim.SGD(weights, lr=0.01, momentum=0.9)

        def step() -> None:
            optimizer.zero_grad(set_to_none=True)
            sum(classifier(network(crops), labels).values()).backward()  # type: ignore[union-attr]
            optimizer.step()

        found["train"] = TRAIN_BATCH / best(step, passes)
    return found


def _counted(spec: str) -> dict[str, float | None]:
    parameters, macs = count_backbone(spec)
    return {"parameters": parameters, "macs": macs, "ms1": None, "ms32": None, "train": None}


def table(found: dict[str, dict[str, float | None]], threads: int) -> str:
    lines = [
        f"Threads: {threads}. Float32, random crops of the default size, "
        f"PyTorch {torch.__version__}; training in batches of {TRAIN_BATCH}. Accuracies are the projects' own, in "
        "per cent (IJB-C: TAR at FAR 1e-4, MegaFace: rank 1); they depend on data and head as much as on the backbone. "
        "Where there is no time none was taken (training of networks above 400 M parameters).",
        "",
        "| backbone | parameters, M | MACs, G | train, img/s | 1 crop, ms | 32 crops, ms | published |",
        "|---|--:|--:|--:|--:|--:|---|",
    ]
    for spec, row in found.items():
        published = "; ".join(f"{who}: {_accuracies(values)}" for who, values in PUBLISHED.get(spec, []))
        numbers = (
            f"{(row['parameters'] or 0) / 1e6:.2f} | {(row['macs'] or 0) / 1e9:.2f} | {_number(row['train'])} | "
            f"{_number(row['ms1'])} | {_number(row['ms32'])}"
        )
        lines.append(f"| `{spec}` | {numbers} | {published} |")
    return "\n".join(lines)


def _accuracies(values: tuple[float | None, ...]) -> str:
    return ", ".join(f"{name} {value:.2f}" for name, value in zip(BENCHMARKS, values) if value is not None)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="Markdown file with the two marks between which the table goes")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "facezoo-backbones.json")
    parser.add_argument("--only", default="*", help="pattern of spec strings to measure; the table takes all measured")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--passes", type=int, default=3)
    parser.add_argument("--largest", type=int, default=200_000_000, help="parameters; larger ones are not trained")
    parser.add_argument("--counts", action="store_true", help="count all backbones anew and stop")
    given = parser.parse_args()
    if given.counts:
        write_counts(row.name for row in backbone_rows() if row.parameters is not None)
        return
    torch.set_num_threads(given.threads)
    found = json.loads(given.cache.read_text()) if given.cache.exists() else {}
    wanted = specs()
    for spec in sorted(wanted, key=lambda spec: count_backbone(spec)[1]):
        if spec not in found and fnmatch.fnmatch(spec, given.only):
            found[spec] = measure(spec, given.passes, given.largest)
            write_text(given.cache, json.dumps(found, indent=1))
            print(spec, found[spec], flush=True)
            gc.collect()
    text = table({spec: found.get(spec) or _counted(spec) for spec in wanted}, given.threads)
    if given.out is None:
        print(text)
        return
    page = given.out.read_text(encoding="utf-8")
    if BEGIN not in page or END not in page:
        raise SystemExit(f"{given.out}: lacks the lines {BEGIN} and {END}")
    before, after = page.partition(BEGIN)[0], page.partition(END)[2]
    write_text(given.out, f"{before}{BEGIN}\n{text}\n{END}{after}")


if __name__ == "__main__":
    main()
