"""What is wrong between a model and its contract: the network is probed, and the contract varied entry by entry.

A wrong contract does not fail, it scores worse. So pairs of photos are embedded as the contract says and with one
entry changed at a time; what separates them better, and more than chance explains, is what the contract should say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from facezoo import progress
from facezoo.align import TEMPLATES, template_points
from facezoo.embedder import Embedder
from facezoo.evaluation.intervals import identity_weights, pair_weights
from facezoo.evaluation.metrics import Sorted, eer
from facezoo.evaluation.photos import Crops, Locate, Photo
from facezoo.evaluation.run import needs_locate
from facezoo.evaluation.verification import Verification
from facezoo.types import Contract, Crop, FloatArray, InputError, unit

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

RESAMPLES = 400
CHANCE = 0.01
"""Probability that some variant of a right contract is taken for better."""

MATERIAL = 0.02
"""Smaller gains in separation, as a share, are not worth a change: 127.5 or 128 is one of them."""

PROBES = 8
"""Crops on which the network itself is looked at."""


@dataclass(frozen=True)
class Finding:
    """One look at the network itself.

    Attributes:
        check: what was looked at.
        fault: whether something is wrong.
        words: what was found.
    """

    check: str
    fault: bool
    words: str


@dataclass(frozen=True)
class Variant:
    """The contract with one entry changed.

    Attributes:
        entry: of the contract: color, normalisation, template, input_size or flip.
        value: in words.
        changes: of the contract.
        separation: distance of the mean genuine and impostor scores, in deviations of the impostor scores.
        eer: equal error rate.
        gain: in separation over the contract as it was, as a share.
        deviation: of that gain, over resampled identities or pairs.
        better: whether the gain is material and not chance.
    """

    entry: str
    value: str
    changes: Mapping[str, Any]
    separation: float = 0.0
    eer: float | None = None
    gain: float = 0.0
    deviation: float = 0.0
    better: bool = False


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
    trial = _Trial.of(benchmark, locate, pairs, seed)
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


def examine(embed: Embedder, crops: Sequence[Crop]) -> list[Finding]:
    """Whether the embeddings say anything, have norms that do, and depend on nothing but the crop."""
    first = embed(crops)
    if not np.isfinite(first).all():
        return [Finding("embeddings", True, "some numbers are not finite")]
    findings = [_alive(first)]
    norms = np.linalg.norm(first.astype(np.float64), axis=1)
    plain = np.linalg.norm(embed.under(flip=False)(crops).astype(np.float64), axis=1) if embed.contract.flip else norms
    if np.ptp(plain) <= 1e-3 * plain.mean():
        words = f"all {plain.mean():.4g}: normalised in the network, so norms say nothing about quality"
        findings.append(Finding("norms", False, words))
    else:
        findings.append(Finding("norms", False, f"{norms.min():.4g} .. {norms.max():.4g}"))
    again = _difference(first, embed(crops))
    findings.append(_same("repeated", again, 1e-5, "the same crops give the same embeddings", "random layers are on"))
    alone = _difference(first, np.concatenate([embed([crop]) for crop in crops]))
    good, bad = "a crop's embedding does not depend on the others", "normalised over the batch, not in evaluation mode"
    findings.append(_same("alone", alone, 1e-3, good, bad))
    return findings


def _alive(embeddings: FloatArray) -> Finding:
    """Constant embeddings, and dimensions that never change."""
    spread = embeddings.astype(np.float64).std(axis=0)
    scale = float(np.sqrt((embeddings.astype(np.float64) ** 2).mean()))
    if scale == 0 or spread.max() <= 1e-4 * scale:
        return Finding("embeddings", True, "constant: they do not depend on the crop")
    dead = int((spread <= 1e-6 * scale).sum())
    if dead:
        return Finding("embeddings", dead > len(spread) // 10, f"{dead} of {len(spread)} dimensions are constant")
    return Finding("embeddings", False, f"{len(spread)} dimensions, all alive")


def _difference(one: FloatArray, other: FloatArray) -> float:
    """Largest distance of two embeddings of a crop over their length."""
    length = np.linalg.norm(one, axis=1).clip(min=1e-12)
    return float((np.linalg.norm(one - other, axis=1) / length).max())


def _same(check: str, difference: float, limit: float, good: str, bad: str) -> Finding:
    if difference <= limit:
        return Finding(check, False, good)
    return Finding(check, True, f"embeddings differ by {100 * difference:.2g} % of their length: {bad}")


def noise(size: tuple[int, int], seed: int) -> list[Crop]:
    """Blurred noise as crops of a size (height, width)."""
    generator = np.random.default_rng(seed)
    crops = []
    for _ in range(PROBES):
        picture = cv2.GaussianBlur(generator.normal(size=(*size, 3)), (0, 0), max(size) / 14)
        crops.append(np.clip(128 + 60 * picture / picture.std(), 0, 255).astype(np.uint8))
    return crops


@dataclass(frozen=True, eq=False)
class _Trial:
    """Pairs of photos whose landmarks are known; crops are kept for each template and size."""

    photos: list[Photo]
    left: NDArray[np.intp]
    right: NDArray[np.intp]
    same: NDArray[np.bool_]
    identity: NDArray[np.intp] | None
    seed: int
    made: dict[tuple[str, tuple[int, int]], list[Crop]] = field(default_factory=dict)

    @classmethod
    def of(cls, benchmark: Verification, locate: Locate | None, pairs: int, seed: int) -> _Trial:
        if needs_locate(benchmark) and locate is None:
            raise InputError(f"{benchmark.name}: raw photos without landmarks need a detector")
        generator = np.random.default_rng(seed)
        same = np.asarray(benchmark.same, bool)
        kinds = [same] if benchmark.identity is not None else [same, ~same]
        order = np.sort(np.concatenate([generator.permutation(np.flatnonzero(kind))[:pairs] for kind in kinds]))
        used = np.unique(np.concatenate([benchmark.left[order], benchmark.right[order]]))
        found = [
            _located(benchmark.photos[k], benchmark.aligned, locate)
            for k in progress.track(used.tolist(), f"{benchmark.name}: read", "photo")
        ]
        there = np.array([photo.landmarks is not None for photo in found], bool)
        photos = [photo for photo in found if photo.landmarks is not None]
        if benchmark.identity is not None:
            # All pairs of the photos: impostor ones cost no embedding, and many of them steady the measure.
            identity = benchmark.identity[used[there]]
            left, right = np.triu_indices(len(photos), 1)
            same = identity[left] == identity[right]
        else:
            identity, place = None, np.cumsum(there) - 1
            left, right = np.searchsorted(used, benchmark.left[order]), np.searchsorted(used, benchmark.right[order])
            kept = there[left] & there[right]
            left, right, same = place[left[kept]], place[right[kept]], same[order][kept]
        if min(same.sum(), (~same).sum()) < 2:
            raise InputError(f"{benchmark.name}: too few pairs of photos with faces; give more photos")
        return cls(photos, left, right, same, identity, seed)

    def crops(self, contract: Contract) -> list[Crop]:
        key = contract.template, contract.input_size
        if key not in self.made:
            self.made[key] = list(Crops(self.photos, contract))
        return self.made[key]

    def scores(self, embeddings: FloatArray) -> FloatArray:
        """Cosine of each pair; 0 where an embedding is not finite."""
        rows = unit(np.nan_to_num(np.asarray(embeddings, np.float64), nan=0.0, posinf=0.0, neginf=0.0))
        return np.einsum("pd,pd->p", rows[self.left], rows[self.right])

    def rated(self, variant: Variant, embeddings: FloatArray) -> tuple[Variant, FloatArray]:
        """The variant with its rates, and its separation as it is and in each resample, (1 + R,)."""
        scores = self.scores(embeddings)
        separations = self.separations(scores)
        rate = eer(Sorted(scores, self.same).tally())
        return replace(variant, separation=float(separations[0]), eer=rate), separations

    def separations(self, scores: FloatArray) -> FloatArray:
        """How many deviations of the impostor scores their mean lies below that of the genuine ones; of all pairs, and
        of each resample, (1 + R,).

        The deviation of the genuine scores is left out: a few wrong labels among them would drown what is sought.
        """
        if self.identity is None:
            drawn = pair_weights(len(scores), RESAMPLES, self.seed)
        else:
            drawn = identity_weights(self.identity[self.left], self.identity[self.right], RESAMPLES, self.seed)
        genuine, impostor = scores[self.same], scores[~self.same]
        found = []
        for weights in (np.ones(len(scores)), *drawn):
            over, under = weights[self.same], weights[~self.same]
            mean = under @ impostor / under.sum()
            deviation = np.sqrt(max(0.0, under @ impostor**2 / under.sum() - mean**2))
            gap = over @ genuine / over.sum() - mean if over.any() else 0.0
            found.append(gap / deviation if deviation > 1e-6 else 0.0)
        return np.array(found)


def _located(photo: Photo, aligned: str | None, locate: Locate | None) -> Photo:
    """The photo with its landmarks; those of a crop are where its template has them."""
    if aligned is not None:
        return replace(photo, landmarks=template_points(aligned, photo.read().shape[:2]))
    if photo.landmarks is not None or locate is None:
        return photo
    return replace(photo, landmarks=locate(photo.read()))


def _compared(embed: Embedder, trial: _Trial, settled: set[str]) -> tuple[Variant, ...]:
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


def _variants(embed: Embedder, settled: set[str]) -> list[Variant]:
    contract = embed.contract
    other = "bgr" if contract.color == "rgb" else "rgb"
    changes: list[tuple[str, str, dict[str, Any]]] = [("color", other, {"color": other})]
    for normalised, (mean, std) in NORMALISATIONS.items():
        if contract.color == "bgr":
            mean, std = mean[::-1], std[::-1]
        if (mean, std) != (contract.mean, contract.std):
            changes.append(("normalisation", normalised, {"mean": mean, "std": std}))
    changes += [("template", name, {"template": name}) for name in sorted(TEMPLATES) if name != contract.template]
    if "input_size" not in settled:
        for size in SIZES:
            if size != contract.input_size and _refusal(embed.under(input_size=size)) is None:
                changes.append(("input_size", f"{size[0]} x {size[1]}", {"input_size": size}))
    return [Variant(*change) for change in changes if change[0] not in settled]
