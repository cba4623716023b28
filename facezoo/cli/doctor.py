"""The command that finds out what is wrong between a model and its contract."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facezoo.cli.app import app, print_json
from facezoo.cli.outputs import check_reports
from facezoo.types import InputError

if TYPE_CHECKING:
    from facezoo.doctor import Diagnosis, Variant


@app.command
def doctor(
    model: str,
    benchmark: str | None = None,
    /,
    *,
    pairs: int = 100,
    seed: int = 0,
    write: Path | None = None,
    contract: Path | None = None,
    batch_size: int = 32,
    device: str = "cpu",
    detector: str = "yunet:threads=1",
    json: bool = False,
) -> None:
    """Find a wrong contract (colour order, normalisation, template, size, flip) and a network that is not well.

    Pairs of photos are embedded as the contract says and with one entry of it changed at a time. Without photos only
    the network itself is looked at: dead or constant embeddings, random layers, a batch that is normalised.

    Args:
        model: name such as dlib-resnet29, .onnx or .safetensors file, or run folder.
        benchmark: pairs of photos, such as lfw:root=data/lfw, or a folder with one folder of photos for each person.
        pairs: genuine pairs whose photos are taken; all of these are compared with each other.
        seed: of the choice.
        write: also write a copy of the model file with the corrected contract here.
        contract: TOML file of the contract, for a file that carries none or in place of its own.
        batch_size: crops per forward pass.
        device: of a torch model.
        detector: finds landmarks in raw photos that come without.
        json: print the diagnosis as JSON.
    """
    from facezoo.cli.models import Extraction
    from facezoo.contract import write_contract
    from facezoo.doctor import diagnose
    from facezoo.embedder import Embedder
    from facezoo.evaluation import Verification
    from facezoo.registry import BENCHMARKS

    if pairs < 4:
        raise InputError(f"--pairs is {pairs}, it must be 4 or more")
    if write and not Path(model).is_file():
        raise InputError(f"--write: {model} is no model file, .onnx or .safetensors, that could be copied")
    check_reports(write)
    how = Extraction(contract, None, batch_size, device, detector)
    embed, _ = how.open(model)
    if not isinstance(embed, Embedder):
        raise InputError(f"{model}: are embeddings; the doctor needs the model itself")
    made, locate = None, None
    if benchmark is not None:
        made = BENCHMARKS.create(f"folder:root={benchmark}" if Path(benchmark).is_dir() else benchmark)
        if not isinstance(made, Verification):
            raise InputError(f"{benchmark}: the doctor needs pairs of photos, such as lfw:root=... or folder:root=...")
        locate = how.locate([made])
    found = diagnose(embed, made, locate, pairs=pairs, seed=seed)
    if write:
        write_contract(Path(model), write, found.contract)
    if json:
        print_json({**asdict(found), "changes": found.changes})
        return
    _print(found, made is not None)
    if write:
        print(f"{write}: {model} with this contract")


def _print(found: Diagnosis, compared: bool) -> None:
    from facezoo.evaluation.report import aligned_columns

    for finding in found.findings:
        print(f"{'FAULT' if finding.fault else 'ok':5}  {finding.check}: {finding.words}")
    if not compared:
        print("not looked at without photos: colour order, normalisation, template, flip; name a benchmark or folder")
    for number, variants in enumerate(found.rounds):
        changed = [f"{key} = {_toml(new)}" for key, (_, new) in found.changes.items()] if number else []
        start = "With what was corrected" if changed else "As the contract says"
        print(f"\n{start}, {found.pairs:,} pairs; crops alone, mirror images count for the entry flip only:")
        print(aligned_columns([["entry", "value", "separation", "eer", "gain", ""], *map(_row, variants)]))
    print()
    if found.changes:
        print("The contract should say:")
        for key, (old, new) in found.changes.items():
            print(f"  {key} = {_toml(new)}  # not {_toml(old)}")
    elif compared:
        print(unchanged(found.rounds[-1]))


def unchanged(tried: Sequence[Variant]) -> str:
    """What can be said where no change was better beyond doubt."""
    from facezoo.doctor.contract import MATERIAL

    doubtful = [variant for variant in tried if variant.entry and variant.gain > MATERIAL]
    if not doubtful:
        return "The contract is right: no change of it separates these pairs better."
    best = max(doubtful, key=lambda variant: variant.gain / max(variant.deviation, 1e-9))
    return (
        f"No change of the contract is better beyond doubt, but {best.entry} = {best.value} gains "
        f"{100 * best.gain:.1f} % +- {200 * best.deviation:.1f}: more pairs (--pairs) would tell."
    )


def _row(variant: Variant) -> list[str]:
    from facezoo.evaluation.report import show

    gain = f"{100 * variant.gain:+.1f} % +- {200 * variant.deviation:.1f}" if variant.entry else ""
    return [
        variant.entry or "-",
        variant.value,
        f"{variant.separation:.3f}",
        show("eer", variant.eer),
        gain,
        "better" if variant.better else "",
    ]


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(list(value))
