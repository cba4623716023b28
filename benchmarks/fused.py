"""What a network's form for inference gains: training form, fused form, and both as ONNX, in evaluation mode.

    python benchmarks/fused.py repvgg_a0 repvgg_b0

Milliseconds of processor time on one thread; the forms take turns and of each the best run counts.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import onnxruntime
import torch

from facezoo.registry import BACKBONES

BATCHES, SIDE = (1, 32), 112


def onnx_run(network: torch.nn.Module, folder: Path, crops: torch.Tensor) -> Callable[[], object]:
    path = folder / "network.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns of its own deprecated parts
        program = torch.onnx.export(network, (crops,), dynamo=True, verbose=False)
    assert program is not None
    program.save(str(path))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    given = {session.get_inputs()[0].name: crops.numpy()}
    return lambda: session.run(None, given)


def measure(name: str, batch: int, seconds: float) -> dict[str, float]:
    """Milliseconds a run of each form."""
    torch.manual_seed(0)
    network = BACKBONES.create(name).eval()
    fused, crops = network.fused(), torch.rand(batch, 3, SIDE, SIDE)
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        forms: dict[str, Callable[[], object]] = {
            "training": lambda: network(crops),
            "fused": lambda: fused(crops),
        }
        with torch.inference_mode(False):
            forms["training, ONNX"] = onnx_run(network, Path(folder), crops)
            forms["fused, ONNX"] = onnx_run(fused, Path(folder), crops)
        best = dict.fromkeys(forms, float("inf"))
        for run in forms.values():
            run()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for form, run in forms.items():
                start = time.process_time()
                run()
                best[form] = min(best[form], 1000 * (time.process_time() - start))
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", help="backbones that have fused()")
    parser.add_argument("--seconds", type=float, default=15, help="of measuring, each network and batch")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for name in arguments.names:
        for batch in BATCHES:
            best = measure(name, batch, arguments.seconds)
            forms = "  ".join(
                f"{form} {value:.1f} ms ({best['training'] / value:.2f}x)" for form, value in best.items()
            )
            print(f"{name}  batch {batch}: {forms}", flush=True)


if __name__ == "__main__":
    main()
