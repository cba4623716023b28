"""What is wrong between a model and its contract: the network is probed, and the contract varied entry by entry.

A wrong contract does not fail, it scores worse. So pairs of photos are embedded as the contract says and with one
entry changed at a time; what separates them better, and more than chance explains, is what the contract should say.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import ndtri

from facezoo import progress
from facezoo.align import TEMPLATES
from facezoo.doctor.network import PROBES, Finding, examine, noise
from facezoo.doctor.trial import Trial, Variant
from facezoo.embedder import Embedder
from facezoo.evaluation.photos import Locate
from facezoo.evaluation.verification import Verification
from facezoo.types import Contract, FloatArray, InputError

IMAGENET_MEAN, IMAGENET_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
"""Of red, green and blue."""

NORMALISATIONS = {
    "[-1, 1]": ((127.5,) * 3, (127.5,) * 3),
    "(x - 127.5) / 128": ((127.5,) * 3, (128.0,) * 3),
    "[0, 1]": ((0.0,) * 3, (255.0,) * 3),
    "0..255": ((0.0,) * 3, (1.0,) * 3),
    "ImageNet mean and std": (IMAGENET_MEAN, IMAGENET_STD),
}

SIZES = ((112, 112), (112, 96), (128, 128), (150, 150), (160, 160), (224, 224))

CHANCE = 0.01
"""Probability that some variant of a right contract is taken for better."""

MATERIAL = 0.02
"""Smaller gains in separation, as a share, are not worth a change: 127.5 or 128 is one of them."""


@dataclass(frozen=True)
class Diagnosis:
    """What was found.

    Attributes:
        findings: about the network itself.
        stated: the contract as it was.
        contract: as it should be.
        rounds: for each entry that was changed, and at last for none, what was compared; the first of each is the
            contract as it stood then.
        pairs: compared, 0 without photos.
    """

    findings: tuple[Finding, ...]
    stated: Contract
    contract: Contract
    rounds: tuple[tuple[Variant, ...], ...] = ()
    pairs: int = 0

    @property
    def changes(self) -> dict[str, tuple[Any, Any]]:
        """Entries of the contract that should change: what is there, and what should be."""
        names = ("color", "mean", "std", "template", "input_size", "flip")
        values = {name: (getattr(self.stated, name), getattr(self.contract, name)) for name in names}
        return {name: value for name, value in values.items() if value[0] != value[1]}

    @property
    def faults(self) -> int:
        return sum(finding.fault for finding in self.findings) + len(self.changes)


def diagnose(
    embed: Embedder,
    benchmark: Verification | None = None,
    locate: Locate | None = None,
    *,
    pairs: int = 100,
    seed: int = 0,
) -> Diagnosis:
    """Look at a network, and find the contract under which it separates people best.

    Args:
        embed: the model with the contract in question.
        benchmark: pairs of photos; without it only the network itself is looked at, on noise.
        locate: landmarks of raw photos that come without.
        pairs: genuine pairs whose photos are taken; these are all compared with each other. Where people are not
            known, as many impostor pairs.
        seed: of the choice.

    Raises:
        InputError: raw photos without `locate`, or too few pairs with faces.
    """
    stated = embed.contract
    embed, unfit = _runnable(embed)
    if benchmark is None:
        findings = unfit + examine(embed, noise(embed.contract.input_size, seed))
        return Diagnosis(tuple(findings), stated, embed.contract)
    trial = Trial.of(benchmark, locate, pairs, seed)
    findings = unfit + examine(embed, trial.crops(embed.contract)[:PROBES])
    rounds: list[tuple[Variant, ...]] = []
    settled: set[str] = set()
    while True:
        compared = _compared(embed, trial, settled)
        rounds.append(compared)
        best = max(compared, key=lambda variant: (variant.better, variant.gain))
        if not best.better:
            return Diagnosis(tuple(findings), stated, embed.contract, tuple(rounds), len(trial.same))
        embed = embed.under(**best.changes)
        settled.add(best.entry)


def _runnable(embed: Embedder) -> tuple[Embedder, list[Finding]]:
    """The model, with another input size if it does not run on its own."""
    if (why := _refusal(embed)) is None:
        return embed, []
    for size in SIZES:
        other = embed.under(input_size=size)
        if _refusal(other) is None:
            return other, [Finding("input size", True, f"does not run on crops of {embed.contract.input_size}")]
    raise InputError(f"{embed.contract.name}: the network runs on crops of no known size: {why}")


def _refusal(embed: Embedder) -> str | None:
    """Why the network does not run on crops of its contract's size; None if it does."""
    try:
        embed(noise(embed.contract.input_size, 0)[:1])
    except (InputError, RuntimeError, AssertionError) as error:  # torch has many ways to refuse a shape
        return str(error).partition("\n")[0]
    return None


def _compared(embed: Embedder, trial: Trial, settled: set[str]) -> tuple[Variant, ...]:
    """The contract as it stands, and with each entry that is not settled changed; all but flip without flip."""
    plain = embed.under(flip=False)
    tried = _variants(embed, settled)
    limit = float(ndtri(1 - CHANCE / (len(tried) + 1)))
    crops = trial.crops(embed.contract)
    alone = plain(crops)
    stated, base = trial.rated(Variant("", "as stated", {}), alone)
    found = [stated]
    for variant in progress.track(tried, "doctor", "variant"):
        other = plain.under(**variant.changes)
        rated, separations = trial.rated(variant, other(trial.crops(other.contract)))
        found.append(_judged(rated, separations, base, limit))
    if "flip" not in settled:
        mirrored = plain(np.ascontiguousarray(crop[:, ::-1]) for crop in crops)
        added, both = trial.rated(Variant("flip", "mirror image added", {"flip": True}), alone + mirrored)
        if embed.contract.flip:
            single = replace(stated, entry="flip", value="crop alone", changes={"flip": False})
            found.append(_judged(single, base, both, limit))
        else:
            found.append(_judged(added, both, base, limit))
    return tuple(found)


def _judged(variant: Variant, separations: FloatArray, stated: FloatArray, limit: float) -> Variant:
    gains = (separations - stated) / max(abs(float(stated[0])), 1e-6)
    gain, deviation = float(gains[0]), float(gains[1:].std())
    return replace(variant, gain=gain, deviation=deviation, better=gain > max(MATERIAL, limit * deviation))


def _others(template: str) -> list[str]:
    """The other templates; of one that is a part the size is the part's too, which no entry alone can change."""
    return [name for name in sorted(TEMPLATES) if name != template and not TEMPLATES[name].part_of]


def _variants(embed: Embedder, settled: set[str]) -> list[Variant]:
    contract = embed.contract
    other = "bgr" if contract.color == "rgb" else "rgb"
    changes: list[tuple[str, str, dict[str, Any]]] = [("color", other, {"color": other})]
    for normalised, (mean, std) in NORMALISATIONS.items():
        if contract.color == "bgr":
            mean, std = mean[::-1], std[::-1]
        if (mean, std) != (contract.mean, contract.std):
            changes.append(("normalisation", normalised, {"mean": mean, "std": std}))
    changes += [("template", name, {"template": name}) for name in _others(contract.template)]
    if "input_size" not in settled:
        for size in SIZES:
            if size != contract.input_size and _refusal(embed.under(input_size=size)) is None:
                changes.append(("input_size", f"{size[0]} x {size[1]}", {"input_size": size}))
    return [Variant(*change) for change in changes if change[0] not in settled]
