"""What can be seen of a network without photos: whether its embeddings say something, and depend on the crop alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from facezoo.embedder import Embedder
from facezoo.types import Crop, FloatArray

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
