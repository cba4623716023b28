"""The command that says what a model file is and costs."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from facezoo.cli.app import app, print_json


@app.command
def info(model: Path, /, *, threads: int = 0, json: bool = False) -> None:
    """Print a model's contract, parameters, multiply-adds, memory and measured time.

    Args:
        model: .safetensors or .onnx file, or run folder.
        threads: for the measurement; 0 lets torch or onnxruntime choose.
        json: print it as JSON.
    """
    from facezoo.measure import measure_model

    found = measure_model(model, threads)
    if json:
        print_json(found.to_dict())
        return
    contract = asdict(found.contract)
    lines = {"file": str(found.path), "network": found.network}
    lines |= {name.replace("_", " "): _text(value) for name, value in contract.items()}
    lines["parameters"] = f"{found.parameters:,}"
    lines["multiply-adds"] = "unknown" if found.macs is None else f"{found.macs:,} a crop"
    lines["file size"] = _megabytes(found.file_bytes)
    lines["weights"] = _megabytes(found.weight_bytes)
    threads_text = f"{found.threads} thread{'' if found.threads == 1 else 's'}" if found.threads else "all threads"
    for batch, milliseconds in found.milliseconds.items():
        lines[f"batch of {batch}"] = (
            f"{milliseconds:.1f} ms ({threads_text}, median), about {_megabytes(found.peak_bytes[batch])} at most"
        )
    for name, value in lines.items():
        print(f"{name:16}{value}")


def _text(value: object) -> str:
    if value is None:
        return "not measured"
    return " ".join(f"{v:g}" for v in value) if isinstance(value, list | tuple) else str(value)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
